// failure.ts — how a handler says what kind of failure it met, and how any thrown thing becomes an attempt's error.
//
// Transient is the default: a job is retried unless its handler knows that another try cannot help.

import { FairleadError } from '../kernel/errors.ts'
import type { AttemptError } from './contract.ts'

export interface FailureDetail {
  /** A word of the handler's own, e.g. `CARD_DECLINED`. */
  readonly code?: string
  readonly exitCode?: number
  readonly cause?: unknown
}

/** Another try cannot help: the job ends `failed`. */
export class PermanentError extends Error {
  readonly code: string
  readonly exitCode: number | undefined
  constructor(message: string, detail: FailureDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.name = 'PermanentError'
    this.code = detail.code ?? 'HANDLER_FAILED'
    this.exitCode = detail.exitCode
  }
}

/** Another try may help: the job is retried with back-off while it has attempts left. */
export class TransientError extends Error {
  readonly code: string
  readonly exitCode: number | undefined
  constructor(message: string, detail: FailureDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.name = 'TransientError'
    this.code = detail.code ?? 'HANDLER_FAILED'
    this.exitCode = detail.exitCode
  }
}

const MESSAGE_CHARS_MAX = 4_096
const CODE = /^[A-Za-z0-9_.:-]{1,64}$/

export function toAttemptError(thrown: unknown): AttemptError {
  const message = (thrown instanceof Error ? thrown.message : String(thrown)).slice(0, MESSAGE_CHARS_MAX)
  if (thrown instanceof PermanentError || thrown instanceof TransientError) {
    const kind = thrown instanceof PermanentError ? 'permanent' : 'transient'
    const exit = thrown.exitCode === undefined ? {} : { exitCode: thrown.exitCode }
    return { code: CODE.test(thrown.code) ? thrown.code : 'HANDLER_FAILED', class: kind, message, ...exit }
  }
  if (thrown instanceof FairleadError) {
    return { code: thrown.code, class: thrown.spec.retry ? 'transient' : 'permanent', message }
  }
  return { code: 'HANDLER_FAILED', class: 'transient', message }
}
