// plain.ts — one job as one ordinary POST, for workers in other languages (docs/dispatch.md §6).
//
// The status is the word: 2xx success, 400/404/422 permanent, 429/503 refused, anything else transient. A broken
// request can't be asked again, so it is a transient failure; the time limit is kept here, by ending the request.

import type { Clock } from '../../kernel/clock.ts'
import { HEADERS } from '../../kernel/local-surface.ts'
import { type DispatchJob, RESULT_BYTES_MAX, type WorkerResult } from '../../workers/contract.ts'
import type { StopWhy } from '../leader/port.ts'
import type { Flight } from './flights.ts'
import { type MeshAnswer, type Sidecar, textOf } from './sidecar.ts'
import { NOTHING_RAN, retryAfter } from './stream.ts'

export interface PlainParts {
  readonly sidecar: Sidecar
  readonly clock: Clock
  readonly closing: AbortSignal
}

export type PlainEnd =
  | { readonly t: 'result'; readonly result: WorkerResult }
  | { readonly t: 'refused'; readonly reason: string; readonly retryAfterMs: number }
  /** We are closing; the attempt stays leased. */
  | { readonly t: 'left' }

type Word = Pick<WorkerResult, 'outcome' | 'value' | 'error'>

const PERMANENT: ReadonlySet<number> = new Set([400, 404, 422])
const MESSAGE_CHARS_MAX = 1_000

export async function runPlain(
  parts: PlainParts,
  flight: Flight,
  job: DispatchJob,
  headers: Readonly<Record<string, string>>,
): Promise<PlainEnd> {
  const control = new AbortController()
  let why: StopWhy | undefined
  const stop = (reason: StopWhy): void => {
    why ??= reason
    control.abort()
  }
  flight.abort = stop
  const limitMs = Math.min(job.executionTimeoutMs, job.remainingMs ?? Number.POSITIVE_INFINITY)
  const timer = parts.clock.after(limitMs, () => stop('timedOut'), true)
  const word = (said: Word): PlainEnd => ({
    t: 'result',
    result: { t: 'result', job: job.job, token: job.token, ...said },
  })
  try {
    const answer = await parts.sidecar.post({
      authority: flight.session.authority,
      path: `/jobs/${encodeURIComponent(job.type)}`,
      headers: { ...headers, ...jobHeaders(job, limitMs) },
      body: bodyOf(job),
      contentType: job.payloadBase64 === undefined ? 'application/json' : 'application/octet-stream',
      signal: AbortSignal.any([parts.closing, control.signal]),
      headersTimeoutMs: 0,
      idleTimeoutMs: 0,
    })
    return await endOf(answer, word)
  } catch (thrown) {
    if (why !== undefined) return word(stopped(why))
    if (parts.closing.aborted) return { t: 'left' }
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    return word(failed('transient', `the request broke: ${message}`))
  } finally {
    timer.cancel()
  }
}

async function endOf(answer: MeshAnswer, word: (said: Word) => PlainEnd): Promise<PlainEnd> {
  const text = await textOf(answer.body, RESULT_BYTES_MAX)
  const code = answer.header(HEADERS.error)
  const refused = code === undefined ? answer.status === 429 || answer.status === 503 : NOTHING_RAN.has(code)
  const retryAfterMs = retryAfter(answer.header('retry-after'))
  if (refused) return { t: 'refused', reason: code ?? `WORKER_${answer.status}`, retryAfterMs }
  if (answer.status >= 200 && answer.status < 300) return word({ outcome: 'succeeded', value: resultOf(text, answer) })
  const kind = code === undefined && PERMANENT.has(answer.status) ? 'permanent' : 'transient'
  return word(failed(kind, `${answer.status} ${code ?? ''} ${text}`.slice(0, MESSAGE_CHARS_MAX)))
}

function jobHeaders(job: DispatchJob, limitMs: number): Record<string, string> {
  return {
    'fairlead-job': job.job,
    'fairlead-attempt': String(job.attempt),
    'fairlead-effect-key': job.effectKey,
    [HEADERS.timeout]: String(Math.ceil(limitMs)),
    ...(job.traceparent === undefined ? {} : { traceparent: job.traceparent }),
  }
}

function bodyOf(job: DispatchJob): string | Uint8Array {
  if (job.payloadBase64 !== undefined) return Buffer.from(job.payloadBase64, 'base64')
  return job.payload === undefined ? 'null' : JSON.stringify(job.payload)
}

/** JSON when it says so and is; else the text. */
function resultOf(text: string, answer: MeshAnswer): unknown {
  if (text === '') return null
  if (!/^application\/(?:.+\+)?json\b/.test(answer.header('content-type') ?? '')) return text
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

const failed = (kind: 'transient' | 'permanent', message: string): Word => ({
  outcome: 'failed',
  error: { code: 'HANDLER_FAILED', class: kind, message },
})

function stopped(why: StopWhy): Word {
  if (why === 'cancelled') return { outcome: 'cancelled' }
  const message = 'the execution timeout passed'
  return { outcome: 'timedOut', error: { code: 'EXECUTION_TIMEOUT', class: 'transient', message } }
}
