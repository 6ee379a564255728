// log.ts — JSON lines on stdout (pino); one logger per process, children per part.
//
// Fields that mean the same everywhere: task_id, tenant_id, worker_id, attempt, duration_ms, trace_id, span_id.
// Never: payloads, keys, tokens or header values outside an allow-list.

import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'

export type Log = Logger
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

export interface LogOptions {
  /** The process role: control-plane, proxy, scheduler, worker, cli. */
  readonly process: string
  readonly instance?: string
  readonly level?: LogLevel
  readonly to?: DestinationStream
}

export function createLog(options: LogOptions): Log {
  const base = { process: options.process, ...(options.instance ? { instance: options.instance } : {}) }
  const settings = {
    level: options.level ?? process.env['FAIRLEAD_LOG_LEVEL'] ?? 'info',
    base,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    messageKey: 'message',
    errorKey: 'error',
  }
  return options.to ? pino(settings, options.to) : pino(settings)
}

export const silentLog: Log = pino({ level: 'silent' })
