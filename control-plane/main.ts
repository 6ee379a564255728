// main.ts — the control plane as a process. Flags: options.ts; ready line: {"api", "stream", "registry"}.

import { systemClock } from '../kernel/clock.ts'
import { createLog } from '../kernel/log.ts'
import { runProcess } from '../kernel/process.ts'
import { systemRandom } from '../kernel/random.ts'
import { startControlPlane } from './control-plane.ts'
import { parseOptions } from './options.ts'

const log = createLog({ process: 'control-plane' })

await runProcess({ log }, async (life) => {
  const options = parseOptions(process.argv.slice(2), process.env)
  const ports = await startControlPlane(options, { clock: systemClock, random: systemRandom, log }, life)
  return { ports: { ...ports } }
})
