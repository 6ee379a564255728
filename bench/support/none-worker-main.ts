// none-worker-main.ts — a worker whose handler does nothing. Flags: --sidecar http://HOST:PORT --port N --slots N

import { parseArgs } from 'node:util'
import { systemClock } from '../../kernel/clock.ts'
import { createLog } from '../../kernel/log.ts'
import { runProcess } from '../../kernel/process.ts'
import { systemRandom } from '../../kernel/random.ts'
import { defineHandler } from '../../workers/handler.ts'
import { startWorker } from '../../workers/worker.ts'

const log = createLog({ process: 'worker' })
const { values } = parseArgs({
  options: { sidecar: { type: 'string' }, port: { type: 'string' }, slots: { type: 'string', default: '1000' } },
})
const none = defineHandler({ type: 'bench.none', run: () => null })

await runProcess({ log }, async (life) => {
  const worker = await startWorker({
    handlers: [none],
    listen: { host: '127.0.0.1', port: Number(values.port) },
    sidecar: values.sidecar!,
    slots: Number(values.slots),
    log,
    clock: systemClock,
    random: systemRandom,
  })
  life.own(worker)
  return { ports: { app: worker.port } }
})
