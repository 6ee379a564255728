// draft.ts — one batch while it is put together: which jobs wait, which have an instance and a unit.

import type { MonotonicMs } from '../../kernel/clock.ts'
import type { Assignment, ReadyJob } from '../leader/port.ts'
import type { Allotment, Unit } from './allotment.ts'
import { isLive, place } from './placement.ts'
import type { Shares } from './plan.ts'
import type { WorkerSession } from './sessions.ts'

/** What is remembered of one service between batches. */
export interface Lane {
  readonly authority: string
  readonly allotment: Allotment
  shares: Shares
  /** No batch before this point. */
  notBefore: MonotonicMs
  /** Only a stall ends when a slot becomes free; a failing sidecar does not. */
  stalled: boolean
  failures: number
}

export interface Placed {
  readonly job: ReadyJob
  readonly session: WorkerSession
  readonly unit: Unit
}

/** One batch while it is put together. */
export interface Draft {
  readonly lane: Lane
  readonly workers: readonly WorkerSession[]
  readonly placed: Placed[]
  waiting: ReadyJob[]
  /** Of those that wait: how many go back with a delay. */
  delayed: { readonly count: number; readonly delayMs: number }[]
  kept: number
  readonly unused: Unit[]
}

/** The first waiting job that an instance of this version can take, and that instance; reserves its slot. */
export function findPlace(draft: Draft, version: string): { job: ReadyJob; session: WorkerSession } | undefined {
  const tried = new Set<string>()
  for (let i = 0; i < draft.waiting.length; i++) {
    const job = draft.waiting[i]!
    if (tried.has(job.type)) continue
    tried.add(job.type)
    const session = place(draft.workers, version, job.type)
    if (!session) continue
    draft.waiting.splice(i, 1)
    session.attempts.add(reservation(job))
    return { job, session }
  }
  return undefined
}

export const reservation = (job: ReadyJob): string => `lease/${job.id}`

export const assignment = ({ job, session, unit }: Placed): Assignment => ({
  job,
  instance: session.row.instance,
  session: session.row.session,
  backend: unit.backend,
  version: session.row.version,
})

/** Units kept for a version that has no instance left: the mesh keeps that debt, not we. */
export function orphans(allotment: Allotment, workers: readonly WorkerSession[]): Unit[] {
  return allotment
    .backends()
    .flatMap(({ backend, version, units }) => (isLive(workers, version) ? [] : allotment.draw(backend, units)))
}
