// requests.ts — what users ask of jobs: submit, cancel, retry.

import { FairleadError } from '../../kernel/errors.ts'
import { type JobState, next } from '../states.ts'
import type { Change, ChangeResult } from '../store/contract.ts'
import { type Core, notFound, refused } from './core.ts'
import { type Entry, entryOf } from './entry.ts'
import type { NewJob, Submitted } from './job-leader.ts'

export const QUEUE_JOBS_MAX = 1_000_000
const QUEUE_FULL_RETRY_S = 5

export class Requests {
  readonly #core: Core
  readonly #tell: (entry: Entry) => void
  #seq: number
  #submitting = 0

  /** `seq`: the highest ever given. `tell` hears of running jobs that were cancelled. */
  constructor(core: Core, seq: number, tell: (entry: Entry) => void) {
    this.#core = core
    this.#seq = seq
    this.#tell = tell
  }

  async submit(jobs: readonly NewJob[], atomic: boolean): Promise<readonly Submitted[]> {
    this.#reserve(jobs.length)
    try {
      // Inserts can be refused only for their idempotency key.
      const guarded = atomic && jobs.some((job) => job.row.idempotencyKey !== null)
      const inserts = jobs.map(({ row, body, requestHash }): Change => {
        row.seq = ++this.#seq
        return { t: 'insert', job: row, body, requestHash }
      })
      const results = await this.#core.store.commit(
        guarded ? [{ t: 'atomic', count: jobs.length }, ...inserts] : inserts,
      )
      const own = guarded ? results.slice(1) : results
      return jobs.map((job, i) => this.#submitted(job, own[i]!))
    } finally {
      this.#submitting -= jobs.length
    }
  }

  #reserve(jobs: number): void {
    const open = this.#core.floor.jobs.size + this.#submitting
    const bound = this.#core.o.queueJobsMax ?? QUEUE_JOBS_MAX
    if (open + jobs > bound) {
      throw new FairleadError('QUEUE_FULL', `The queue holds ${open} open jobs; its bound is ${bound}.`, {
        retryAfterS: QUEUE_FULL_RETRY_S,
      })
    }
    this.#submitting += jobs
  }

  #submitted({ row, body }: NewJob, result: ChangeResult): Submitted {
    if (!result.ok) return { ok: false, error: refused(result.code) }
    if (result.existing) return { ok: true, id: result.existing.id, created: false, state: result.existing.state }
    const entry = entryOf(row)
    this.#core.bodies.keep(row, body)
    this.#core.floor.add(entry)
    this.#core.o.metrics.submitted(row.tenant, row.type)
    this.#core.changed(entry)
    return { ok: true, id: row.id, created: true, state: row.state }
  }

  cancel(tenant: string, id: string, version?: number): Promise<JobState> {
    return this.#core.exclusive(
      id,
      async (entry) => {
        if (entry.tenant !== tenant) throw notFound(id)
        if (entry.state === 'cancelling') return 'cancelling'
        await this.#core.move([entry], 'cancel', version === undefined ? {} : { version })
        if (entry.attempt) this.#tell(entry)
        return entry.state
      },
      () => this.#cancelEnded(tenant, id),
    )
  }

  async #cancelEnded(tenant: string, id: string): Promise<JobState> {
    const job = await this.#core.store.get(tenant, id)
    if (!job) throw notFound(id)
    if (job.state === 'cancelled') return 'cancelled'
    throw refused('JOB_STATE_CONFLICT', `Job ${id} is ${job.state}; it can no longer be cancelled.`)
  }

  retry(tenant: string, id: string, version?: number): Promise<JobState> {
    return this.#core.exclusive(
      id,
      async (entry) => {
        if (entry.tenant !== tenant) throw notFound(id)
        if (entry.state !== 'deferred') {
          throw refused('JOB_STATE_CONFLICT', `Job ${id} is ${entry.state}; it needs no retry.`)
        }
        await this.#core.move([entry], 'due', version === undefined ? {} : { version })
        return entry.state
      },
      () => this.#redrive(tenant, id, version),
    )
  }

  async #redrive(tenant: string, id: string, version: number | undefined): Promise<JobState> {
    const row = (await this.#core.store.rowsOf([id]))[0]
    if (!row || row.tenant !== tenant) throw notFound(id)
    const to = next(row.state, 'redrive')
    if (to === undefined) throw refused('JOB_STATE_CONFLICT', `Job ${id} is ${row.state}; it cannot be retried.`)
    this.#reserve(1)
    try {
      const at = this.#core.clock.wall()
      const move = { t: 'move', job: id, from: row.state, to, at, runAt: at, resetAttempts: true } as const
      const [result] = await this.#core.store.commit([version === undefined ? move : { ...move, version }])
      if (!result!.ok) throw refused(result!.code, `Job ${id} has changed.`)
      const entry = entryOf({ ...row, state: to, runAt: at, attempts: 0, lost: 0, startedAt: null })
      this.#core.floor.add(entry)
      this.#core.changed(entry)
      return to
    } finally {
      this.#submitting--
    }
  }
}
