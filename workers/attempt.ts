// attempt.ts — one attempt from `accepted` to its result.
//
// Owns: the handler's context, its timers (execution, deadline, heartbeat, cancel grace), the log cap, the span.
// Settles exactly once: the result that counts is the first of the handler's own word, a time-out, or the end of the
// cancel grace. A handler that goes on after that is a zombie: `gone` resolves when it returns at last.
// Never: throws; whatever a handler does becomes a result.

import type { Clock, MonotonicMs, Timer } from '../kernel/clock.ts'
import { ERRORS, type ErrorCode, FairleadError } from '../kernel/errors.ts'
import { parseWith } from '../kernel/parse.ts'
import { type ActiveSpan, formatTraceparent, parseTraceparent, type Tracing } from '../kernel/tracing.ts'
import {
  type AttemptError,
  type DispatchJob,
  LOG_BYTES_MAX,
  type Outcome,
  RESULT_BYTES_MAX,
  type WorkerEvent,
  type WorkerResult,
} from './contract.ts'
import { toAttemptError } from './failure.ts'
import type { AnyHandler, HandlerContext } from './handler.ts'

/** How long a cancelled handler may take to stop before its attempt is reported without its word. */
export const CANCEL_GRACE_MS = 5_000

/** Why a handler's signal aborts; it is the signal's `reason`. */
export class AttemptStopped extends Error {
  readonly why: StopWhy
  constructor(why: StopWhy) {
    super(STOP_MESSAGES[why])
    this.name = 'AttemptStopped'
    this.why = why
  }
}

export type StopWhy = 'timedOut' | 'deadline' | 'silent' | 'cancelled' | 'superseded' | 'session' | 'drain'

const STOP_MESSAGES: Record<StopWhy, string> = {
  timedOut: 'the execution timeout passed',
  deadline: "the job's deadline passed",
  silent: 'no progress and no log line within the heartbeat timeout',
  cancelled: 'the job was cancelled',
  superseded: 'the scheduler no longer counts this attempt as ours',
  session: 'the worker session ended',
  drain: 'the worker stopped before the handler was done',
}

/** What a stop means. `WORKER_LOST` tells the scheduler that the attempt is lost: uncharged. */
const STOP_ENDS: Record<StopWhy, { outcome: Outcome; code?: ErrorCode }> = {
  timedOut: { outcome: 'timedOut', code: 'EXECUTION_TIMEOUT' },
  deadline: { outcome: 'timedOut', code: 'DEADLINE_PASSED' },
  silent: { outcome: 'timedOut', code: 'EXECUTION_TIMEOUT' },
  cancelled: { outcome: 'cancelled' },
  superseded: { outcome: 'cancelled', code: 'TOKEN_STALE' },
  session: { outcome: 'failed', code: 'WORKER_LOST' },
  drain: { outcome: 'failed', code: 'WORKER_LOST' },
}

export interface AttemptParts {
  readonly clock: Clock
  readonly tracing: Tracing
  emit(event: WorkerEvent): void
}

export interface Attempt {
  readonly job: string
  readonly token: string
  /** The result, already emitted. */
  readonly settled: Promise<WorkerResult>
  /** The handler returned; its memory is free. Never rejects. */
  readonly gone: Promise<void>
  stop(why: StopWhy): void
}

export function startAttempt(handler: AnyHandler, job: DispatchJob, parts: AttemptParts): Attempt {
  return new RunningAttempt(handler, job, parts)
}

class RunningAttempt implements Attempt {
  readonly job: string
  readonly token: string
  readonly settled: Promise<WorkerResult>
  readonly gone: Promise<void>
  readonly #parts: AttemptParts
  readonly #control = new AbortController()
  readonly #timers: Timer[] = []
  readonly #startedAt: MonotonicMs
  readonly #heartbeatMs: number | undefined
  readonly #span: ActiveSpan | undefined
  #heartbeat: Timer | undefined
  #logBytes = 0
  #logSeq = 0
  #logFull = false
  #done = false
  #settle!: (result: WorkerResult) => void

  constructor(handler: AnyHandler, job: DispatchJob, parts: AttemptParts) {
    this.job = job.job
    this.token = job.token
    this.#parts = parts
    this.#startedAt = parts.clock.now()
    this.#heartbeatMs = job.heartbeatTimeoutMs
    this.#span = startSpan(job, parts.tracing)
    this.settled = new Promise((resolve) => {
      this.#settle = resolve
    })
    this.#startTimers(job)
    parts.emit({ t: 'accepted', job: job.job, token: job.token })
    this.gone = this.#run(handler, job)
  }

  stop(why: StopWhy): void {
    if (this.#done || this.#control.signal.aborted) return
    const reason = new AttemptStopped(why)
    this.#control.abort(reason)
    if (why === 'cancelled') this.#later(CANCEL_GRACE_MS, () => this.#end(stopEnding(reason)))
    else this.#end(stopEnding(reason))
  }

  async #run(handler: AnyHandler, job: DispatchJob): Promise<void> {
    await undefined // whoever started us holds the attempt before its first result
    try {
      const input = inputOf(handler, job)
      const value = await handler.run(input as never, this.#context(job))
      this.#end(endingOf(value))
    } catch (thrown) {
      this.#end(this.#failureOf(thrown))
    }
  }

  /** A handler that stops because it was told to has no word of its own: the stop's does. */
  #failureOf(thrown: unknown): Ending {
    const reason: unknown = this.#control.signal.reason
    if (reason instanceof AttemptStopped) return stopEnding(reason)
    return { outcome: 'failed', error: toAttemptError(thrown) }
  }

  #end(ending: Ending): void {
    if (this.#done) return
    this.#done = true
    for (const timer of this.#timers) timer.cancel()
    this.#heartbeat?.cancel()
    this.#span?.end(ending.error?.message)
    const durationMs = Math.round(this.#parts.clock.now() - this.#startedAt)
    const result: WorkerResult = { t: 'result', job: this.job, token: this.token, ...ending, durationMs }
    this.#settle(result)
    this.#parts.emit(result)
  }

  #startTimers(job: DispatchJob): void {
    this.#later(job.executionTimeoutMs, () => this.stop('timedOut'))
    if (job.remainingMs !== undefined) this.#later(job.remainingMs, () => this.stop('deadline'))
    this.#alive()
  }

  #later(ms: number, run: () => void): void {
    this.#timers.push(this.#parts.clock.after(ms, run, true))
  }

  /** Restarts the heartbeat timeout. */
  #alive(): void {
    if (this.#heartbeatMs === undefined || this.#done) return
    this.#heartbeat?.cancel()
    this.#heartbeat = this.#parts.clock.after(this.#heartbeatMs, () => this.stop('silent'), true)
  }

  #context(job: DispatchJob): HandlerContext {
    return {
      job: job.job,
      attempt: job.attempt,
      token: job.token,
      effectKey: job.effectKey,
      signal: this.#control.signal,
      env: job.env,
      labels: job.labels,
      checkpoint: job.checkpoint,
      traceparent: this.#span ? formatTraceparent(this.#span.context) : job.traceparent,
      span: this.#span,
      progress: (pct) => this.#progress(pct),
      log: (text, stream = 'log') => this.#log(text, stream),
    }
  }

  #progress(pct: number): void {
    if (this.#done) return
    this.#alive()
    const bounded = Number.isFinite(pct) ? Math.min(100, Math.max(0, pct)) : 0
    this.#parts.emit({ t: 'progress', job: this.job, token: this.token, pct: bounded })
  }

  #log(text: string, stream: 'stdout' | 'stderr' | 'log'): void {
    if (this.#done) return
    this.#alive()
    if (this.#logFull) return
    this.#logBytes += Buffer.byteLength(text)
    this.#logFull = this.#logBytes > LOG_BYTES_MAX
    const marker = `… the log of this attempt reached ${LOG_BYTES_MAX} bytes; the rest is dropped`
    const line = this.#logFull ? { stream: 'log' as const, text: marker } : { stream, text }
    this.#parts.emit({ t: 'log', job: this.job, token: this.token, seq: this.#logSeq++, ...line })
  }
}

interface Ending {
  readonly outcome: Outcome
  readonly value?: unknown
  readonly error?: AttemptError
}

function stopEnding(reason: AttemptStopped): Ending {
  const { outcome, code } = STOP_ENDS[reason.why]
  if (code === undefined) return { outcome }
  return { outcome, error: { code, class: ERRORS[code].retry ? 'transient' : 'permanent', message: reason.message } }
}

/** @throws FairleadError INVALID_INPUT (permanent) */
function inputOf(handler: AnyHandler, job: DispatchJob): unknown {
  const raw = job.payloadBase64 === undefined ? job.payload : Buffer.from(job.payloadBase64, 'base64')
  return handler.schema ? parseWith(handler.schema, raw, `payload of ${job.type}`) : raw
}

function endingOf(value: unknown): Ending {
  const text = value === undefined ? 'null' : JSON.stringify(value)
  if (text === undefined) {
    throw new FairleadError('INVALID_INPUT', `The handler's result (${typeof value}) has no JSON form.`)
  }
  const bytes = Buffer.byteLength(text)
  if (bytes > RESULT_BYTES_MAX) {
    throw new FairleadError('PAYLOAD_TOO_LARGE', `The result has ${bytes} bytes; at most ${RESULT_BYTES_MAX} are kept.`)
  }
  return { outcome: 'succeeded', value: value === undefined ? null : value }
}

function startSpan(job: DispatchJob, tracing: Tracing): ActiveSpan | undefined {
  const parent = parseTraceparent(job.traceparent)
  if (!tracing.on || !parent?.sampled) return undefined
  return tracing.startSpan('execute_task', {
    kind: 'consumer',
    parent,
    attributes: { 'task.id': job.job, 'task.type': job.type, attempt: job.attempt },
  })
}
