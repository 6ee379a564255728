// leader/port.ts — what the dispatcher may ask of the leader. The leader owns job state, order of service, timers and
// every write to the store; the dispatcher owns quotes, placement, streams and worker sessions.
//
// Rule: a job leaves the ready heap by `take` and comes back by `putBack`, or is committed by `lease`. Nothing is sent
// to a worker before the lease that it belongs to is durable (DESIGN.md §9).

import type { DispatchJob, RefusalReason, WorkerResult } from '../../workers/contract.ts'
import type { AttemptRow, SessionRow } from '../store/contract.ts'

export interface ReadyJob {
  readonly id: string
  readonly type: string
  /** Attempts so far, uncharged ones included, is > 0: the dispatch carries `fairlead-retry: 1`. */
  readonly retry: boolean
  /** Version that a run is pinned to. */
  readonly pinned: string | undefined
}

export interface Assignment {
  readonly job: ReadyJob
  readonly instance: string
  readonly session: string
  readonly backend: string
  readonly version: string
}

export interface LeasedAttempt {
  readonly row: AttemptRow
  readonly dispatch: DispatchJob
  readonly retry: boolean
}

export type StopWhy = 'cancelled' | 'timedOut'

export interface Leader {
  /** Called (coalesced) when jobs became ready that were not. */
  onReady(listener: () => void): void
  /** Called when a running attempt must be stopped; the dispatcher sends `cancel` and waits for the worker's word. */
  onStop(listener: (attempt: AttemptRow, why: StopWhy) => void): void

  /** Up to `max` ready jobs of these types, in order of service. */
  take(types: ReadonlySet<string>, max: number): ReadyJob[]
  /** Undo of take; nothing was written. After `delayMs` (jittered by the caller) they are ready again. */
  putBack(jobs: readonly ReadyJob[], delayMs?: number): void
  /** Commits attempts. Jobs that were cancelled or expired meanwhile are left out of the answer. */
  lease(assignments: readonly Assignment[]): Promise<LeasedAttempt[]>

  /** The worker accepted: the attempt's start. */
  started(job: string, token: string): void
  progress(job: string, token: string, pct: number): void
  log(job: string, token: string, seq: number, stream: string, text: string): void
  /** Nothing ran: requeued after `delayMs`, nothing charged. `refused` by worker or sidecar, `released` by us. */
  giveBack(
    job: string,
    token: string,
    how: 'refused' | 'released',
    reason: RefusalReason | string,
    delayMs: number,
  ): Promise<void>
  /** The worker's last word. Resolves when durable; false = stale token (ack it all the same). */
  finish(result: WorkerResult): Promise<boolean>
  /** The worker's session ended with the attempt in it. */
  lost(job: string, token: string): Promise<void>

  /** Attempts that are leased now: after a start, those to attach to. */
  running(): readonly AttemptRow[]
  sessions(): readonly SessionRow[]
  saveSession(row: SessionRow): Promise<void>
  endSession(session: string): Promise<void>
}
