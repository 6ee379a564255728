// log-target.ts — where access log lines go: stdout, a file (0600, appended to), or nowhere.

import { createWriteStream, type WriteStream } from 'node:fs'
import type { Clock } from '../kernel/clock.ts'
import { FairleadError } from '../kernel/errors.ts'
import type { Closable } from '../kernel/lifetime.ts'
import type { Log } from '../kernel/log.ts'
import { AccessLog } from './access-log.ts'

export interface LogTarget extends Closable {
  readonly log: AccessLog
}

/** `where`: a path, `off`, or undefined for stdout. @throws FairleadError INVALID_INPUT */
export async function openAccessLog(where: string | undefined, clock: Clock, log: Log): Promise<LogTarget | undefined> {
  if (where === 'off') return undefined
  const file = where === undefined ? undefined : await openFile(where)
  file?.on('error', (error) => log.error({ error, file: where }, 'access log failed'))
  const accessLog = new AccessLog(clock, file ?? process.stdout)
  return {
    log: accessLog,
    async close() {
      await accessLog.close()
      if (accessLog.dropped > 0) log.warn({ dropped: accessLog.dropped }, 'access log lines were dropped')
      if (file) await new Promise<void>((resolve) => file.end(() => resolve()))
    },
  }
}

function openFile(path: string): Promise<WriteStream> {
  return new Promise((resolve, reject) => {
    const file = createWriteStream(path, { flags: 'a', mode: 0o600 })
    file.once('open', () => resolve(file))
    file.once('error', (cause) => {
      reject(new FairleadError('INVALID_INPUT', `Cannot write the access log ${path}: ${cause.message}`, { cause }))
    })
  })
}
