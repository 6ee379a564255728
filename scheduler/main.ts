// main.ts — the scheduler as a process. Flags: options.ts; ready line: {"api"}.

import { systemClock } from '../kernel/clock.ts'
import { createLog } from '../kernel/log.ts'
import { runProcess } from '../kernel/process.ts'
import { systemRandom } from '../kernel/random.ts'
import { parseOptions } from './options.ts'
import { startScheduler } from './scheduler.ts'

// Payloads and results lie in the data directory: for this user only.
process.umask(0o077)

const log = createLog({ process: 'scheduler' })

await runProcess({ log }, async (life) => {
  const options = parseOptions(process.argv.slice(2), process.env)
  const ports = await startScheduler(
    options,
    {
      clock: systemClock,
      random: systemRandom,
      log,
      // Thrown outside of any promise: runProcess logs it and ends the process; the supervisor starts it again.
      onFatal: (error) =>
        setImmediate(() => {
          throw error
        }),
      sampleRatio: sampleRatio(process.env['OTEL_TRACES_SAMPLER_ARG']),
    },
    life,
  )
  return { ports: { ...ports } }
})

/** OpenTelemetry's own variable, as a ratio; 1 % by default like the sidecars. */
function sampleRatio(text: string | undefined): number {
  const ratio = Number(text ?? '0.01')
  return ratio >= 0 && ratio <= 1 ? ratio : 0.01
}
