// rows.ts — rows for the scheduler's tests, with defaults that a test overrides where it matters.

import type { WallMs } from '../../kernel/clock.ts'
import type { AttemptRow, Change, JobBody, JobRow, SessionRow } from '../../scheduler/store/contract.ts'

export const at = (ms: number): WallMs => ms as WallMs

let nextId = 0

export function jobRow(over: Partial<JobRow> = {}): JobRow {
  const seq = over.seq ?? ++nextId
  return {
    id: `job-${seq}`,
    tenant: 'default',
    seq,
    type: 'demo.echo',
    queue: 'default',
    class: 'normal',
    priority: 5,
    state: 'ready',
    version: 1,
    createdAt: at(1_000),
    runAt: at(1_000),
    startedAt: null,
    finishedAt: null,
    deadline: null,
    scheduleToStartMs: null,
    executionTimeoutMs: 60_000,
    heartbeatTimeoutMs: null,
    attempts: 0,
    lost: 0,
    maxAttempts: 5,
    retryBaseMs: 1_000,
    retryMaxMs: 300_000,
    token: 0n,
    idempotencyKey: null,
    labels: {},
    orderingKey: null,
    concurrencyKey: null,
    fairnessKey: null,
    name: null,
    description: null,
    owner: null,
    traceparent: null,
    error: null,
    ...over,
  }
}

export const noBody: JobBody = { payloadKind: 'none', payload: null, env: {} }

export function insert(over: Partial<JobRow> = {}, body: JobBody = noBody, requestHash = ''): Change {
  return { t: 'insert', job: jobRow(over), body, requestHash }
}

export function attemptRow(job: string, token: bigint, over: Partial<AttemptRow> = {}): AttemptRow {
  return {
    job,
    token,
    attempt: 1,
    instance: 'worker-v1-1',
    session: 'session-1',
    backend: 'worker-v1',
    version: 'v1',
    leasedAt: at(2_000),
    ...over,
  }
}

export function sessionRow(over: Partial<SessionRow> = {}): SessionRow {
  return {
    session: 'session-1',
    instance: 'worker-v1-1',
    service: 'worker',
    namespace: 'default',
    version: 'v1',
    boot: 'boot-1',
    types: ['demo.echo'],
    slots: 8,
    labels: {},
    ...over,
  }
}
