// store/contract.ts — the promises of a job store. Two engines (SQLite, PostgreSQL) pass one conformance suite.
//
// P1 `commit` resolves after the transaction is durable (fsync), or rejects with STORE_UNAVAILABLE and nothing happened;
//    a rejection with `unknown: true` in its log fields means that the outcome is not known: rebuild from rows.
// P2 One commit is one transaction over all its changes, in order; a change whose guard fails is reported, the others
//    stand.
// P3 Guards: an attempt change carries (job, token); it applies only to the job's current token. A submission with a
//    known idempotency key inserts nothing and returns the first job's id.
// P4 Reads see every commit that resolved before they began.
// P5 Rows are kept in the order of `seq`, which the leader assigns.

import type { WallMs } from '../../kernel/clock.ts'
import type { ErrorCode } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { AttemptError } from '../../workers/contract.ts'
import type { Attempt, Job, JobClass, Summary } from '../contract.ts'
import type { AttemptOutcome, JobState } from '../states.ts'

/** A job as the store and the leader hold it. Payload and result are opaque bytes here. */
export interface JobRow {
  readonly id: string
  readonly tenant: string
  readonly seq: number
  readonly type: string
  readonly queue: string
  readonly class: JobClass
  readonly priority: number
  readonly state: JobState
  readonly version: number
  readonly createdAt: WallMs
  readonly runAt: WallMs
  readonly startedAt: WallMs | null
  readonly finishedAt: WallMs | null
  readonly deadline: WallMs | null
  readonly scheduleToStartMs: number | null
  readonly executionTimeoutMs: number
  readonly heartbeatTimeoutMs: number | null
  /** Charged attempts. */
  readonly attempts: number
  readonly lost: number
  readonly maxAttempts: number
  readonly retryBaseMs: number
  readonly retryMaxMs: number
  /** u64 of the newest attempt; 0n before the first. */
  readonly token: bigint
  readonly idempotencyKey: string | null
  readonly labels: Readonly<Record<string, string>>
  readonly orderingKey: string | null
  readonly concurrencyKey: string | null
  readonly fairnessKey: string | null
  readonly name: string | null
  readonly description: string | null
  readonly owner: string | null
  readonly traceparent: string | null
  readonly error: AttemptError | null
}

export interface JobBody {
  /** `json`: JSON text (a string); `bytes`: as sent. */
  readonly payloadKind: 'json' | 'bytes' | 'none'
  readonly payload: string | Uint8Array | null
  readonly env: Readonly<Record<string, string>>
}

/** What a dispatch line needs beside the leader's memory of the job. */
export interface StoredBody extends JobBody {
  readonly labels: Readonly<Record<string, string>>
  readonly traceparent: string | null
}

export interface AttemptRow {
  readonly job: string
  readonly token: bigint
  readonly attempt: number
  readonly instance: string
  readonly session: string
  readonly backend: string
  readonly version: string
  readonly leasedAt: WallMs
}

export interface SessionRow {
  readonly session: string
  readonly instance: string
  readonly service: string
  readonly namespace: string
  readonly version: string
  readonly boot: string
  readonly types: readonly string[]
  readonly slots: number
  readonly labels: Readonly<Record<string, string>>
}

export type Change =
  /** The next `count` changes stand or fall together (batches in mode `atomic`). */
  | { readonly t: 'atomic'; readonly count: number }
  | { readonly t: 'insert'; readonly job: JobRow; readonly body: JobBody; readonly requestHash: string }
  /** Plain transition without an attempt (due, cancel, expire, redrive). Guard: `from`, and `version` when given. */
  | {
      readonly t: 'move'
      readonly job: string
      readonly from: JobState
      readonly to: JobState
      readonly at: WallMs
      readonly runAt?: WallMs
      readonly resetAttempts?: boolean
      /** Absent: the job keeps the error of its last attempt. */
      readonly error?: AttemptError
      /** Guard of a user's If-Match: JOB_VERSION_CONFLICT when the row has another version. */
      readonly version?: number
    }
  /** ready → leased with a new attempt row; `attempt.token` becomes the job's token. */
  | { readonly t: 'lease'; readonly attempt: AttemptRow }
  /** Ends the attempt and moves the job. Guard: token. `charge` adds one to attempts, `lost` to the lost count. */
  | {
      readonly t: 'end'
      readonly job: string
      readonly token: bigint
      readonly outcome: AttemptOutcome
      readonly to: JobState
      readonly at: WallMs
      readonly startedAt: WallMs | null
      readonly runAt?: WallMs
      readonly charge: boolean
      /** JSON text. */
      readonly result?: string | null
      readonly error?: AttemptError | null
      /** A RefusalReason of the worker or the code of a sidecar. */
      readonly refusal?: string
    }
  | { readonly t: 'started'; readonly job: string; readonly token: bigint; readonly at: WallMs }
  | { readonly t: 'progress'; readonly job: string; readonly token: bigint; readonly pct: number }
  | {
      readonly t: 'log'
      readonly job: string
      readonly token: bigint
      readonly seq: number
      readonly stream: string
      readonly text: string
      readonly at: WallMs
    }
  | { readonly t: 'session'; readonly row: SessionRow }
  | { readonly t: 'sessionEnd'; readonly session: string }

/** Per change of a commit, in order. */
export type ChangeResult =
  | {
      readonly ok: true /** insert with a known idempotency key: the first job. */
      readonly existing?: { id: string; state: JobState }
    }
  | { readonly ok: false; readonly code: ErrorCode }

export interface Label {
  readonly key: string
  readonly value: string
}

export interface ListQuery {
  readonly tenant: string
  readonly states?: readonly JobState[]
  readonly type?: string
  readonly queue?: string
  /** All of them. */
  readonly labels?: readonly Label[]
  readonly limit: number
  readonly cursor?: string
}

export interface JobStore extends Closable {
  /** Group commit: calls made while a transaction runs share the next one. */
  commit(changes: readonly Change[]): Promise<readonly ChangeResult[]>
  /** Every job that is not terminal, in order of seq, in pages; for start and takeover. */
  loadPending(page: (rows: readonly JobRow[]) => void): Promise<void>
  loadRunning(): Promise<readonly AttemptRow[]>
  loadSessions(): Promise<readonly SessionRow[]>
  /** Highest token and seq ever given. */
  highest(): Promise<{ readonly token: bigint; readonly seq: number }>
  bodyOf(jobs: readonly string[]): Promise<ReadonlyMap<string, StoredBody>>
  /** Rows by id, in any state; unknown ids are left out. */
  rowsOf(jobs: readonly string[]): Promise<readonly JobRow[]>
  get(tenant: string, id: string): Promise<Job | undefined>
  attempts(tenant: string, id: string): Promise<readonly Attempt[]>
  logs(tenant: string, id: string, after: number, limit: number): Promise<readonly StoredLog[]>
  list(query: ListQuery): Promise<{ readonly jobs: readonly Job[]; readonly cursor: string | null }>
  summary(tenant: string, label?: Label): Promise<Summary>
}

export interface StoredLog {
  readonly id: number
  readonly attempt: number
  readonly seq: number
  readonly stream: string
  readonly text: string
  readonly at: string
}
