// stream.ts — one NDJSON answer of a worker (dispatch or attach), from request to end.
//
// Says how it ended and never what follows from it: `complete`, `refused` (an answer that means nothing ran), or
// `broken` (nobody knows: attach). Lines are bounded; a malformed one breaks the stream.

import type { Readable } from 'node:stream'
import { asFairleadError, type ErrorCode, FairleadError } from '../../kernel/errors.ts'
import { HEADERS } from '../../kernel/local-surface.ts'
import { LINE_BYTES_MAX, parseWorkerEvent, type WorkerEvent } from '../../workers/contract.ts'
import { type MeshAnswer, type MeshCall, type Sidecar, textOf } from './sidecar.ts'

export const HEAD_TIMEOUT_MS = 15_000
/** Three beats of the worker. */
export const IDLE_TIMEOUT_MS = 30_000
const PROBLEM_BYTES_MAX = 64 * 1024

/** Answers of a sidecar that mean that nothing ran (docs/dispatch.md §2). */
export const NOTHING_RAN: ReadonlySet<string> = new Set<ErrorCode>([
  'INSTANCE_GONE',
  'NO_HEALTHY_INSTANCE',
  'UPSTREAM_CONNECT_FAILED',
  'UPSTREAM_CIRCUIT_OPEN',
  'UPSTREAM_SATURATED',
  'ENDPOINT_MISMATCH',
  'UPSTREAM_TLS',
  'POLICY_DENIED',
  'RETRY_BUDGET_EXHAUSTED',
  'DRAINING',
  'NOT_READY',
  'OVERLOADED',
  // Answered before anything is forwarded.
  'ROUTE_NOT_FOUND',
  'EGRESS_DENIED',
  'BAD_REQUEST',
  'HEADERS_TOO_LARGE',
  'BACKEND_INVALID',
  'QUOTE_UNKNOWN',
])

export type StreamEnd =
  | { readonly t: 'complete' }
  | { readonly t: 'refused'; readonly reason: string; readonly retryAfterMs: number; readonly detail: string }
  | { readonly t: 'broken'; readonly why: string }

export async function runStream(
  sidecar: Sidecar,
  call: Omit<MeshCall, 'headersTimeoutMs' | 'idleTimeoutMs'>,
  onEvent: (event: WorkerEvent) => void,
): Promise<StreamEnd> {
  try {
    const answer = await sidecar.post({ ...call, headersTimeoutMs: HEAD_TIMEOUT_MS, idleTimeoutMs: IDLE_TIMEOUT_MS })
    if (answer.status !== 200) return await refusal(answer)
    for await (const line of readLines(answer.body, LINE_BYTES_MAX)) onEvent(parseWorkerEvent(line))
    return { t: 'complete' }
  } catch (thrown) {
    const error = asFairleadError(thrown)
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    if (error.code === 'UNREACHABLE') return { t: 'refused', reason: 'UNREACHABLE', retryAfterMs: 0, detail: why }
    return { t: 'broken', why }
  }
}

/** The worker's own 4xx also mean that nothing ran: it refuses a request as a whole, or not at all. */
export async function refusal(answer: MeshAnswer): Promise<StreamEnd> {
  const detail = await textOf(answer.body, PROBLEM_BYTES_MAX)
  const code = answer.header(HEADERS.error)
  const retryAfterMs = retryAfter(answer.header('retry-after'))
  if (code !== undefined) {
    return NOTHING_RAN.has(code)
      ? { t: 'refused', reason: code, retryAfterMs, detail }
      : { t: 'broken', why: `the sidecar answered ${answer.status} ${code}` }
  }
  if (answer.status >= 400 && answer.status < 500) {
    return { t: 'refused', reason: `WORKER_${answer.status}`, retryAfterMs, detail }
  }
  return { t: 'broken', why: `the worker answered ${answer.status}` }
}

/** Seconds only; a date would need a wall clock that both sides trust. */
export function retryAfter(header: string | undefined): number {
  return header !== undefined && /^[0-9]{1,5}$/.test(header) ? Number(header) * 1000 : 0
}

/** @throws FairleadError PAYLOAD_TOO_LARGE for a line over `bytesMax`, INVALID_INPUT for an unfinished last line */
export async function* readLines(body: Readable, bytesMax: number): AsyncGenerator<string> {
  let parts: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, at))
      if (bytes + at - from > bytesMax) throw tooLong(bytesMax)
      yield Buffer.concat(parts).toString('utf8')
      parts = []
      bytes = 0
      from = at + 1
    }
    bytes += chunk.length - from
    if (bytes > bytesMax) throw tooLong(bytesMax)
    if (from < chunk.length) parts.push(chunk.subarray(from))
  }
  if (bytes > 0) throw new FairleadError('INVALID_INPUT', 'The stream ended inside a line.')
}

const tooLong = (bytesMax: number): FairleadError =>
  new FairleadError('PAYLOAD_TOO_LARGE', `A line of the stream has more than ${bytesMax} bytes.`)
