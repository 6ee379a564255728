// codec.ts — changes as one flat array of primitives, for the trip to the writer thread.
//
// Structured clone of a flat array costs a fraction of a clone of objects with 25 named fields. The writer reads the
// array with a cursor; the order of fields here and in writer.ts is one order (the conformance suite crosses both).

import type { Change, JobBody, JobRow, SessionRow } from '../contract.ts'
import { OUTCOME_CODE, STATE_CODE } from './schema.ts'

export type Cell = string | number | bigint | null | Uint8Array
export const OP = {
  insert: 0,
  move: 1,
  lease: 2,
  end: 3,
  started: 4,
  progress: 5,
  log: 6,
  session: 7,
  sessionEnd: 8,
  atomic: 9,
} as const

/** Same key within this time → the same job (DESIGN.md §10). */
export const IDEMPOTENCY_MS = 24 * 3600 * 1000

export function encode(changes: readonly Change[], cells: Cell[]): void {
  for (const change of changes) encodeOne(change, cells)
}

function encodeOne(c: Change, cells: Cell[]): void {
  switch (c.t) {
    case 'insert':
      encodeInsert(c.job, c.body, c.requestHash, cells)
      return
    case 'move':
      cells.push(OP.move, c.job, STATE_CODE[c.from], STATE_CODE[c.to], c.at, c.runAt ?? null)
      cells.push(c.resetAttempts === true ? 1 : 0, errorText(c.error), c.version ?? null)
      return
    case 'lease': {
      const a = c.attempt
      cells.push(OP.lease, a.job, a.token, a.attempt, a.instance, a.session, a.backend, a.version, a.leasedAt)
      return
    }
    case 'end':
      cells.push(OP.end, c.job, c.token, OUTCOME_CODE[c.outcome], STATE_CODE[c.to], c.at, c.startedAt, c.runAt ?? null)
      cells.push(c.charge ? 1 : 0, c.result ?? null, errorText(c.error), c.refusal ?? null)
      return
    case 'started':
      cells.push(OP.started, c.job, c.token, c.at)
      return
    case 'progress':
      cells.push(OP.progress, c.job, c.token, c.pct)
      return
    case 'log':
      cells.push(OP.log, c.job, c.token, c.seq, c.stream, c.text, c.at)
      return
    case 'session':
      cells.push(OP.session, c.row.session, JSON.stringify(c.row satisfies SessionRow))
      return
    case 'sessionEnd':
      cells.push(OP.sessionEnd, c.session)
      return
    case 'atomic':
      cells.push(OP.atomic, c.count)
      return
  }
}

function encodeInsert(j: JobRow, body: JobBody, hash: string, cells: Cell[]): void {
  const labels = Object.entries(j.labels)
  cells.push(OP.insert, j.seq, j.id, j.tenant, j.type, j.queue, j.priority, STATE_CODE[j.state], j.createdAt, j.runAt)
  cells.push(specText(j, labels.length > 0), j.idempotencyKey, hash, kindCode(body), payloadCell(body.payload))
  cells.push(envText(body.env), labels.length)
  for (const [key, value] of labels) cells.push(key, value)
}

/** What of a job never changes, as JSON without its defaults. */
export interface Spec {
  deadline?: number
  toStart?: number
  exec: number
  beat?: number
  max: number
  base: number
  cap: number
  idem?: string
  labels?: Readonly<Record<string, string>>
  okey?: string
  ckey?: string
  fkey?: string
  name?: string
  desc?: string
  owner?: string
  tp?: string
}

export function specText(j: JobRow, labelled: boolean): string {
  const spec: Spec = { exec: j.executionTimeoutMs, max: j.maxAttempts, base: j.retryBaseMs, cap: j.retryMaxMs }
  if (j.deadline !== null) spec.deadline = j.deadline
  if (j.scheduleToStartMs !== null) spec.toStart = j.scheduleToStartMs
  if (j.heartbeatTimeoutMs !== null) spec.beat = j.heartbeatTimeoutMs
  if (j.idempotencyKey !== null) spec.idem = j.idempotencyKey
  if (labelled) spec.labels = j.labels
  if (j.orderingKey !== null) spec.okey = j.orderingKey
  if (j.concurrencyKey !== null) spec.ckey = j.concurrencyKey
  if (j.fairnessKey !== null) spec.fkey = j.fairnessKey
  if (j.name !== null) spec.name = j.name
  if (j.description !== null) spec.desc = j.description
  if (j.owner !== null) spec.owner = j.owner
  if (j.traceparent !== null) spec.tp = j.traceparent
  return JSON.stringify(spec)
}

const KIND = { none: 0, json: 1, bytes: 2 } as const
const kindCode = (body: JobBody): number => KIND[body.payloadKind]

/** A view of a larger buffer (Buffer's pool) would be cloned whole: copy its bytes out first. */
function payloadCell(payload: string | Uint8Array | null): string | Uint8Array | null {
  if (payload === null || typeof payload === 'string') return payload
  return payload.byteLength === payload.buffer.byteLength ? payload : new Uint8Array(payload)
}

function envText(env: Readonly<Record<string, string>>): string | null {
  for (const _ in env) return JSON.stringify(env)
  return null
}

const errorText = (error: unknown): string | null => (error == null ? null : JSON.stringify(error))
