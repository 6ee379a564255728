// entry.ts — what the leader keeps in memory of one open job: what order, timers and attempts need, nothing more.
//
// Payload, labels and names stay in the store (bodies.ts caches the fresh ones).

import type { Clock, MonotonicMs, WallMs } from '../../kernel/clock.ts'
import type { JobClass } from '../contract.ts'
import type { JobState } from '../states.ts'
import type { AttemptRow, JobRow } from '../store/contract.ts'
import type { StopWhy } from './port.ts'

export interface Entry {
  readonly id: string
  readonly tenant: string
  readonly seq: number
  readonly type: string
  readonly class: JobClass
  readonly priority: number
  readonly createdAt: WallMs
  readonly deadline: WallMs | null
  readonly scheduleToStartMs: number | null
  readonly executionTimeoutMs: number
  readonly heartbeatTimeoutMs: number | null
  readonly maxAttempts: number
  readonly retryBaseMs: number
  readonly retryMaxMs: number
  /** Runs one at a time with the others of this key; see key-gate.ts. */
  readonly gateKey: string | undefined
  readonly ordered: boolean

  state: JobState
  runAt: WallMs
  attempts: number
  lost: number
  token: bigint
  /** While leased or cancelling. */
  attempt: AttemptRow | undefined
  startedAt: WallMs | null

  /** `taken`: in the dispatcher's hands, not leased yet. */
  place: 'none' | 'lane' | 'gate' | 'taken'
  /** Not offered before; set by put-backs and refusals, never stored. */
  heldUntil: MonotonicMs
  /** The running attempt is told to stop from here on (execution timeout and its grace). */
  stopBy: MonotonicMs
  /** Last sign of life of the attempt. */
  signAt: MonotonicMs
  stopping: StopWhy | undefined
  /** A change of this job that is not durable yet; the next one waits for it. */
  busy: Promise<unknown> | undefined
  laneIndex: number
  gateIndex: number
  alarmIndex: number
  alarmAt: number
}

export function entryOf(row: JobRow): Entry {
  const gate = gateKeyOf(row)
  return {
    id: row.id,
    tenant: row.tenant,
    seq: row.seq,
    type: row.type,
    class: row.class,
    priority: row.priority,
    createdAt: row.createdAt,
    deadline: row.deadline,
    scheduleToStartMs: row.scheduleToStartMs,
    executionTimeoutMs: row.executionTimeoutMs,
    heartbeatTimeoutMs: row.heartbeatTimeoutMs,
    maxAttempts: row.maxAttempts,
    retryBaseMs: row.retryBaseMs,
    retryMaxMs: row.retryMaxMs,
    gateKey: gate,
    ordered: row.orderingKey !== null,
    state: row.state,
    runAt: row.runAt,
    attempts: row.attempts,
    lost: row.lost,
    token: row.token,
    attempt: undefined,
    startedAt: row.startedAt,
    place: 'none',
    heldUntil: 0 as MonotonicMs,
    stopBy: 0 as MonotonicMs,
    signAt: 0 as MonotonicMs,
    stopping: undefined,
    busy: undefined,
    laneIndex: -1,
    gateIndex: -1,
    alarmIndex: -1,
    alarmAt: 0,
  }
}

function gateKeyOf(row: JobRow): string | undefined {
  if (row.orderingKey !== null) return JSON.stringify(['o', row.tenant, row.orderingKey])
  if (row.concurrencyKey !== null) return JSON.stringify(['c', row.tenant, row.concurrencyKey])
  return undefined
}

/** When a job that has not started is too late; Infinity = never. */
export function expireAt(entry: Entry): number {
  const untried = entry.attempts === 0 && entry.lost === 0
  const startBy = entry.scheduleToStartMs !== null && untried ? entry.runAt + entry.scheduleToStartMs : Infinity
  return Math.min(entry.deadline ?? Infinity, startBy)
}

/** A stored point of time on this process's monotonic clock, as far as the wall clock can be trusted now. */
export const onMonotonic = (clock: Clock, wall: number): number => clock.now() + (wall - clock.wall())
