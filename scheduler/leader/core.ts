// core.ts — how the leader changes a job: one change at a time per job, memory after the commit.
//
// A commit that fails (STORE_UNAVAILABLE) leaves memory as it was, so there is nothing to undo. A guard that fails
// although memory allowed the change means that memory and rows disagree: fatal, the process starts again from rows.

import type { Clock, MonotonicMs } from '../../kernel/clock.ts'
import { assert, ERRORS, type ErrorCode, FairleadError } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import type { AttemptError } from '../../workers/contract.ts'
import { isTerminal, type JobEvent, next } from '../states.ts'
import type { Change, JobStore } from '../store/contract.ts'
import { Bodies } from './bodies.ts'
import type { Entry } from './entry.ts'
import type { Floor } from './floor.ts'
import type { JobChange } from './job-leader.ts'
import type { LeaderMetrics } from './metrics.ts'
import { Waiters } from './waiters.ts'

export interface LeaderOptions {
  readonly store: JobStore
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: LeaderMetrics
  /** Memory and rows disagree: the process must start again from rows. */
  readonly onFatal: (error: FairleadError) => void
  /** Open jobs; QUEUE_JOBS_MAX by default. */
  readonly queueJobsMax?: number
}

export class Core {
  readonly o: LeaderOptions
  readonly clock: Clock
  readonly store: JobStore
  readonly floor: Floor
  readonly bodies: Bodies
  readonly waiters = new Waiters()
  readonly listeners = new Set<(change: JobChange) => void>()

  constructor(options: LeaderOptions, floor: Floor) {
    this.o = options
    this.clock = options.clock
    this.store = options.store
    this.floor = floor
    this.bodies = new Bodies(options.store)
  }

  /** Runs `run` on the open job when no other change of it is under way; `absent` when it is not open. */
  async exclusive<T>(id: string, run: (entry: Entry) => Promise<T>, absent: () => T | Promise<T>): Promise<T> {
    for (;;) {
      const entry = this.floor.jobs.get(id)
      if (!entry) return absent()
      if (!entry.busy) return this.busy([entry], () => run(entry))
      await entry.busy
    }
  }

  /** Marks the jobs as changing while `run` works, then puts each where its state says. */
  async busy<T>(entries: readonly Entry[], run: () => Promise<T>): Promise<T> {
    let release: () => void = () => undefined
    const done = new Promise<void>((resolve) => {
      release = resolve
    })
    for (const entry of entries) {
      assert(entry.busy === undefined, 'one change of a job at a time')
      entry.busy = done
    }
    try {
      return await run()
    } finally {
      for (const entry of entries) {
        entry.busy = undefined
        this.floor.settle(entry)
      }
      release()
    }
  }

  /** Moves jobs without an attempt's word. Inside `busy`. @throws JOB_STATE_CONFLICT when the table refuses it */
  async move(entries: readonly Entry[], event: JobEvent, extra: MoveExtra = {}): Promise<void> {
    const at = this.clock.wall()
    const changes = entries.map((entry): Change => {
      const to = next(entry.state, event)
      if (to === undefined) throw refused('JOB_STATE_CONFLICT', `Job ${entry.id} is ${entry.state}.`)
      return { t: 'move', job: entry.id, from: entry.state, to, at, ...extra }
    })
    const results = await this.store.commit(changes)
    entries.forEach((entry, i) => {
      const result = results[i]!
      if (result.ok) entry.state = (changes[i] as Extract<Change, { t: 'move' }>).to
      else if (result.code === 'JOB_VERSION_CONFLICT') throw refused(result.code, `Job ${entry.id} has changed.`)
      else throw this.diverged(entry, result.code)
      this.changed(entry)
    })
  }

  /** The job's new state is durable: tell who listens. */
  changed(entry: Entry): void {
    if (isTerminal(entry.state)) {
      this.bodies.drop(entry.id)
      this.o.metrics.ended(entry.type, entry.state)
      this.waiters.ended(entry.id)
    }
    if (this.listeners.size === 0) return
    const change = { id: entry.id, tenant: entry.tenant, type: entry.type, state: entry.state }
    for (const listener of this.listeners) listener(change)
  }

  diverged(entry: Entry, code: ErrorCode): FairleadError {
    const error = new FairleadError('INTERNAL', 'The scheduler starts again from its rows.', {
      log: { task_id: entry.id, state: entry.state, code, why: 'memory and rows disagree' },
    })
    this.o.onFatal(error)
    return error
  }

  later(ms: number): MonotonicMs {
    return (this.clock.now() + ms) as MonotonicMs
  }
}

export interface MoveExtra {
  readonly error?: AttemptError
  readonly version?: number
}

export function refused(code: ErrorCode, message: string = ERRORS[code].hint): FairleadError {
  return new FairleadError(code, message)
}

export const notFound = (id: string): FairleadError => refused('JOB_NOT_FOUND', `There is no job ${id}.`)
