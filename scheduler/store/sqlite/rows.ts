// rows.ts — table rows → the store's types. The only place that knows column names on the way out.

import { inflateRawSync } from 'node:zlib'
import { isoTime, type WallMs } from '../../../kernel/clock.ts'
import type { AttemptError } from '../../../workers/contract.ts'
import { classOf } from '../../classes.ts'
import type { Attempt, Job } from '../../contract.ts'
import type { AttemptRow, JobRow, StoredBody } from '../contract.ts'
import type { Spec } from './codec.ts'
import { BODY_KIND, outcomeOf, stateOf } from './schema.ts'

export type Row = Record<string, unknown>

/** Tokens are 64-bit: they travel as text. */
export const JOB_COLUMNS = `j.seq, j.id, j.tenant, j.type, j.queue, j.priority, j.state, j.version, j.created_at, j.run_at,
  j.started_at, j.finished_at, j.attempts, j.lost, CAST(j.token AS TEXT) AS token, j.progress, j.spec, j.error`
export const ATTEMPT_COLUMNS = `a.seq, CAST(a.token AS TEXT) AS token, a.attempt, a.instance, a.session, a.backend,
  a.version, a.leased_at, a.started_at, a.finished_at, a.outcome, a.error`

export function jobRow(row: Row): JobRow {
  const spec = JSON.parse(text(row['spec'])) as Spec
  const priority = number(row['priority'])
  return {
    id: text(row['id']),
    tenant: text(row['tenant']),
    seq: number(row['seq']),
    type: text(row['type']),
    queue: text(row['queue']),
    class: classOf(priority),
    priority,
    state: stateOf(row['state']),
    version: number(row['version']),
    createdAt: wall(row['created_at']),
    runAt: wall(row['run_at']),
    startedAt: wallOrNull(row['started_at']),
    finishedAt: wallOrNull(row['finished_at']),
    deadline: (spec.deadline ?? null) as WallMs | null,
    scheduleToStartMs: spec.toStart ?? null,
    executionTimeoutMs: spec.exec,
    heartbeatTimeoutMs: spec.beat ?? null,
    attempts: number(row['attempts']),
    lost: number(row['lost']),
    maxAttempts: spec.max,
    retryBaseMs: spec.base,
    retryMaxMs: spec.cap,
    token: BigInt(text(row['token'])),
    idempotencyKey: spec.idem ?? null,
    labels: spec.labels ?? {},
    orderingKey: spec.okey ?? null,
    concurrencyKey: spec.ckey ?? null,
    fairnessKey: spec.fkey ?? null,
    name: spec.name ?? null,
    description: spec.desc ?? null,
    owner: spec.owner ?? null,
    traceparent: spec.tp ?? null,
    error: errorOf(row['error']),
  }
}

export function job(row: Row): Job {
  const r = jobRow(row)
  return {
    id: r.id,
    tenant: r.tenant,
    type: r.type,
    queue: r.queue,
    class: r.class,
    priority: r.priority,
    state: r.state,
    version: r.version,
    name: r.name,
    description: r.description,
    owner: r.owner,
    labels: r.labels,
    createdAt: isoTime(r.createdAt),
    runAt: isoTime(r.runAt),
    startedAt: isoOrNull(r.startedAt),
    finishedAt: isoOrNull(r.finishedAt),
    attempts: r.attempts,
    maxAttempts: r.maxAttempts,
    progress: number(row['progress']),
    deadline: isoOrNull(r.deadline),
    executionTimeoutMs: r.executionTimeoutMs,
    idempotencyKey: r.idempotencyKey,
    error: r.error,
  }
}

export function attempt(row: Row): Attempt {
  return {
    attempt: number(row['attempt']),
    token: text(row['token']),
    instance: text(row['instance']),
    backend: text(row['backend']),
    version: text(row['version']),
    leasedAt: isoTime(wall(row['leased_at'])),
    startedAt: isoOrNull(wallOrNull(row['started_at'])),
    finishedAt: isoOrNull(wallOrNull(row['finished_at'])),
    outcome: row['outcome'] == null ? null : outcomeOf(row['outcome']),
    error: errorOf(row['error']),
  }
}

/** `row` carries the job's id as `job`. */
export function attemptRow(row: Row): AttemptRow {
  return {
    job: text(row['job']),
    token: BigInt(text(row['token'])),
    attempt: number(row['attempt']),
    instance: text(row['instance']),
    session: text(row['session']),
    backend: text(row['backend']),
    version: text(row['version']),
    leasedAt: wall(row['leased_at']),
  }
}

/** `row`: kind, payload, env of bodies (all null without a body) and the job's spec. */
export function body(row: Row): StoredBody {
  const spec = JSON.parse(text(row['spec'])) as Spec
  const env = row['env'] == null ? {} : (JSON.parse(text(row['env'])) as Record<string, string>)
  return { ...payload(row['kind'], row['payload']), env, labels: spec.labels ?? {}, traceparent: spec.tp ?? null }
}

export function payload(kind: unknown, stored: unknown): Pick<StoredBody, 'payloadKind' | 'payload'> {
  switch (Number(kind ?? BODY_KIND.none)) {
    case BODY_KIND.none:
      return { payloadKind: 'none', payload: null }
    case BODY_KIND.json:
      return { payloadKind: 'json', payload: text(stored) }
    case BODY_KIND.zjson:
      return { payloadKind: 'json', payload: inflateRawSync(stored as Uint8Array).toString('utf8') }
    case BODY_KIND.bytes:
      return { payloadKind: 'bytes', payload: stored as Uint8Array }
    case BODY_KIND.zbytes:
      return { payloadKind: 'bytes', payload: new Uint8Array(inflateRawSync(stored as Uint8Array)) }
    default:
      throw new Error(`assertion failed: unknown body kind ${String(kind)}`)
  }
}

const text = (value: unknown): string => value as string
const number = (value: unknown): number => value as number
const wall = (value: unknown): WallMs => value as WallMs
const wallOrNull = (value: unknown): WallMs | null => (value ?? null) as WallMs | null
const isoOrNull = (at: WallMs | null): string | null => (at === null ? null : isoTime(at))
const errorOf = (value: unknown): AttemptError | null =>
  value == null ? null : (JSON.parse(text(value)) as AttemptError)
