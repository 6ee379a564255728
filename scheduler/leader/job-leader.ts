// job-leader.ts — what the leader offers beside the dispatcher's port: to the API and to main.ts.

import type { FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { JobState } from '../states.ts'
import type { JobBody, JobRow } from '../store/contract.ts'
import type { Leader } from './port.ts'

/** A job as the API parsed it; the leader sets `seq` (in place: a copy of the row costs as much as its insert). */
export interface NewJob {
  readonly row: Omit<JobRow, 'seq'> & { seq: number }
  readonly body: JobBody
  /** Of the whole request, for the idempotency key; '' without one. */
  readonly requestHash: string
}

export type Submitted =
  | { readonly ok: true; readonly id: string; readonly created: boolean; readonly state: JobState }
  | { readonly ok: false; readonly error: FairleadError }

export interface JobChange {
  readonly id: string
  readonly tenant: string
  readonly type: string
  readonly state: JobState
}

export interface JobLeader extends Leader, Closable {
  /** Resolves when the jobs are durable. `atomic`: one refused item refuses all. @throws QUEUE_FULL, STORE_UNAVAILABLE */
  submit(jobs: readonly NewJob[], atomic: boolean): Promise<readonly Submitted[]>
  /** The state after it: `cancelled`, or `cancelling` while a worker still runs it. @throws JOB_NOT_FOUND, JOB_STATE_CONFLICT */
  cancel(tenant: string, id: string, version?: number): Promise<JobState>
  /** A job that ended badly starts again with all its attempts; one in back-off is due now. */
  retry(tenant: string, id: string, version?: number): Promise<JobState>
  /** Resolves when the job has ended (at once when it is not open) or the signal aborts. */
  ended(id: string, signal: AbortSignal): Promise<void>
  /** Every change of a job's state, after it is durable. Returns the way to stop. */
  onChange(listener: (change: JobChange) => void): () => void
  /** Is there a worker session for this type? */
  handles(type: string): boolean
  stats(): LeaderStats
}

export interface LeaderStats {
  /** Jobs that wait: ready, deferred, blocked. */
  readonly pending: number
  readonly ready: number
  readonly running: number
}
