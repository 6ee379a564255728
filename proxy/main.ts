// main.ts — the sidecar process: flags in, a serving sidecar out (see the two modes).

import { systemClock } from '../kernel/clock.ts'
import { createLog } from '../kernel/log.ts'
import { runProcess } from '../kernel/process.ts'
import { systemRandom } from '../kernel/random.ts'
import { startTracing } from '../kernel/tracing.ts'
import { parseFlags, type Settings } from './flags.ts'
import { startMeshSidecar } from './mesh-mode.ts'
import { startStandaloneSidecar } from './standalone-mode.ts'

const log = createLog({ process: 'proxy' })

await runProcess({ log }, async (life) => {
  const settings = parseFlags(process.argv.slice(2))
  const { service = 'standalone', version = '', instance = 'standalone' } = settings.mesh ?? {}
  const tracing = life.own(await startTracing({ serviceName: service, serviceVersion: version, instance }))
  const around = { clock: systemClock, random: systemRandom, log: log.child({ instance }), tracing }
  return { ports: await start(settings) }

  function start({ mesh, standalone }: Settings): Promise<Record<string, number>> {
    if (mesh) return startMeshSidecar(life, settings, mesh, around)
    return startStandaloneSidecar(life, settings, standalone!, around)
  }
})
