// change-rows.ts — one change → the row that a function of migrations/0001-jobs.sql reads. The letters are its columns.

import type { Change, JobBody, JobRow } from '../contract.ts'
import { specText } from '../sqlite/codec.ts'
import { BODY_KIND, OUTCOME_CODE, STATE_CODE } from '../sqlite/schema.ts'
import { shardOf } from './shards.ts'
import { escapeText } from './text.ts'

export type Row = Record<string, unknown>
type Single = Exclude<Change, { t: 'atomic' }>

/** What the change reads or writes: two changes with a thing in common must keep their order. */
export function touchedBy(c: Single): readonly string[] {
  switch (c.t) {
    case 'insert': {
      const key = c.job.idempotencyKey
      return key === null ? [c.job.id] : [c.job.id, `\0${c.job.tenant}\0${key}`]
    }
    case 'lease':
      return [c.attempt.job]
    case 'session':
      return [`\0session\0${c.row.session}`]
    case 'sessionEnd':
      return [`\0session\0${c.session}`]
    default:
      return [c.job]
  }
}

/** `n`: the change's index in the commit. `keyless`: the shard of a new job without a key. */
export function rowOf(n: number, c: Single, keyless: number): Row {
  switch (c.t) {
    case 'insert':
      return insertRow(n, c.job, c.body, c.requestHash, shardOf(c.job, keyless))
    case 'move': {
      const moved = { n, id: c.job, f: STATE_CODE[c.from], o: STATE_CODE[c.to], a: c.at, r: c.runAt }
      return { ...moved, z: c.resetAttempts === true, e: errorText(c.error), v: c.version }
    }
    case 'lease': {
      const a = c.attempt
      const who = { i: escapeText(a.instance), w: escapeText(a.session), b: escapeText(a.backend) }
      return { n, id: a.job, k: String(a.token), m: a.attempt, ...who, v: escapeText(a.version), a: a.leasedAt }
    }
    case 'end': {
      const ended = { n, id: c.job, k: String(c.token), u: OUTCOME_CODE[c.outcome], o: STATE_CODE[c.to], a: c.at }
      const texts = { v: textOrNull(c.result), e: errorText(c.error), w: textOrNull(c.refusal) }
      return { ...ended, s: c.startedAt, r: c.runAt, g: c.charge ? 1 : 0, ...texts }
    }
    case 'started':
      return { n, id: c.job, k: String(c.token), a: c.at }
    case 'progress':
      return { n, id: c.job, k: String(c.token), p: c.pct }
    case 'log': {
      const line = { s: escapeText(c.stream), x: escapeText(c.text), z: Buffer.byteLength(c.text) }
      return { n, id: c.job, k: String(c.token), q: c.seq, ...line, a: c.at }
    }
    case 'session':
      return { s: escapeText(c.row.session), x: JSON.stringify(c.row) }
    case 'sessionEnd':
      return { s: escapeText(c.session) }
  }
}

function insertRow(n: number, j: JobRow, body: JobBody, hash: string, h: number): Row {
  const labels = hasAny(j.labels)
  const row: Row = { n, s: j.seq, h, id: j.id, t: escapeText(j.tenant), y: j.type, q: j.queue, p: j.priority }
  row['st'] = STATE_CODE[j.state]
  row['c'] = j.createdAt
  row['r'] = j.runAt
  row['sp'] = specText(j, labels)
  if (j.idempotencyKey !== null) {
    row['k'] = escapeText(j.idempotencyKey)
    row['x'] = hash
  }
  if (typeof body.payload === 'string') {
    row['bk'] = BODY_KIND.json
    row['bt'] = escapeText(body.payload)
  } else if (body.payload !== null) {
    row['bk'] = BODY_KIND.bytes
    row['bb'] = base64(body.payload)
  }
  if (hasAny(body.env)) row['e'] = JSON.stringify(body.env)
  if (labels) row['l'] = Object.fromEntries(Object.entries(j.labels).map(([k, v]) => [escapeText(k), escapeText(v)]))
  return row
}

/** Bytes of the commit, about: what bounds a group beside its number of changes. */
export function bytesOf(c: Change): number {
  if (c.t === 'insert') return 512 + (c.body.payload?.length ?? 0)
  if (c.t === 'end') return 256 + (c.result?.length ?? 0)
  return c.t === 'log' ? 256 + c.text.length : 256
}

function hasAny(map: Readonly<Record<string, unknown>>): boolean {
  for (const _ in map) return true
  return false
}

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
const textOrNull = (text: string | null | undefined): string | null => (text == null ? null : escapeText(text))
const errorText = (error: unknown): string | null => (error == null ? null : JSON.stringify(error))
