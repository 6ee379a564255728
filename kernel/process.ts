// process.ts — the frame of every long-running process: ready line, signals, exit code.
//
// `ready`: one log line `{"message":"ready","ports":{…}}` on stdout; supervisors wait for it.
// SIGTERM, SIGINT or the loss of the supervisor's IPC channel close the parts in reverse order; a second signal, or
// `drainMsMax`, ends the process at once. Modes: starting → serving → closing → gone.

import { Lifetime } from './lifetime.ts'
import type { Log } from './log.ts'

export interface Ready {
  readonly ports: Readonly<Record<string, number>>
}

export interface ProcessOptions {
  readonly log: Log
  /** Past this the process exits with 1; 30 s by default. */
  readonly drainMsMax?: number
}

export async function runProcess(options: ProcessOptions, start: (life: Lifetime) => Promise<Ready>): Promise<void> {
  const { log } = options
  const life = new Lifetime()
  let closing = false
  const stop = (why: string): void => {
    if (closing) {
      log.warn({ why }, 'stopped again; leaving at once')
      process.exit(130)
    }
    closing = true
    log.info({ why }, 'closing')
    const hard = setTimeout(() => {
      log.error('drain took too long')
      process.exit(1)
    }, options.drainMsMax ?? 30_000)
    hard.unref()
    life.close().then(
      () => exitSoon(0),
      (error: unknown) => {
        log.error({ error }, 'closing failed')
        exitSoon(1)
      },
    )
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  process.on('SIGINT', () => stop('SIGINT'))
  // A supervisor that died must not leave us behind; its death closes the channel.
  process.once('disconnect', () => {
    if (!closing) stop('supervisor gone')
  })
  process.on('uncaughtException', (error) => {
    log.fatal({ error }, 'uncaught exception')
    exitSoon(1)
  })
  process.on('unhandledRejection', (error) => {
    log.fatal({ error }, 'unhandled rejection')
    exitSoon(1)
  })
  try {
    const ready = await start(life)
    if (!closing) log.info({ ports: ready.ports }, 'ready')
  } catch (error) {
    // Told to leave while it started: `stop` ends the process, and that is no failure.
    if (closing) return
    log.fatal({ error }, 'start failed')
    await life.close().catch((failure: unknown) => log.error({ error: failure }, 'closing failed'))
    exitSoon(1)
  }
}

/** Lets stdout drain (pino writes synchronously to files and pipes, so one turn is enough). */
function exitSoon(code: number): void {
  process.exitCode = code
  setImmediate(() => process.exit(code))
}
