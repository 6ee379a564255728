// misfire.ts — which fires still happen when their time has passed unseen (downtime, pause, clock jump). Pure.
//
// Whatever is decided, evaluation moves forward to `now`: a schedule never gets stuck on its past (more than 100 missed
// starts kill a Kubernetes CronJob for ever), and each fire is decided once.

import type { WallMs } from '../clock.ts'
import type { Fire } from './next.ts'
import type { Schedule } from './schedule.ts'

export type MisfirePolicy = 'skip' | 'fireOnce' | 'fireAll'
export const MISFIRE_POLICIES: readonly MisfirePolicy[] = ['skip', 'fireOnce', 'fireAll']

export interface Misfire {
  readonly policy: MisfirePolicy
  /** Missed fires older than this are gone. */
  readonly windowMs: number
  /** `fireAll`: at most so many, the latest. */
  readonly catchUpMax: number
  /** Up to so late a fire is merely late, not missed. */
  readonly graceMs: number
}

export const MISFIRE_DEFAULT: Misfire = {
  policy: 'fireOnce',
  windowMs: 3_600_000,
  catchUpMax: 100,
  graceMs: 60_000,
}
export const CATCH_UP_MAX = 1000

export interface DueFire {
  readonly fire: Fire
  /** Missed and made up for: its job should know. */
  readonly late: boolean
}

export type MissReason = 'policySkip' | 'olderThanWindow' | 'coalesced' | 'overCap'

/** A run of fires that will not happen, both ends included. */
export interface Missed {
  readonly from: WallMs
  readonly to: WallMs
  readonly count: number
  /** More than we counted. */
  readonly more: boolean
  readonly reason: MissReason
}

export interface DueDecision {
  /** In order of their nominal instants. */
  readonly due: readonly DueFire[]
  readonly missed: readonly Missed[]
  /** Store this with the fires, in the same transaction. */
  readonly evaluatedTo: WallMs
}

/** Counting missed fires is for people; this is where it stops. */
const COUNT_MAX = 1000

/**
 * What is due in (evaluatedTo, now].
 * @param fired fires that there were so far; missed ones do not count towards the schedule's `firesMax`.
 * @param evaluatedTo what the last decision returned. A clock set back (now ≤ evaluatedTo) decides nothing.
 */
export function decideDue(whole: Schedule, evaluatedTo: WallMs, now: WallMs, misfire: Misfire, fired = 0): DueDecision {
  if (now <= evaluatedTo) return { due: [], missed: [], evaluatedTo }
  const { policy, windowMs, graceMs } = misfire
  const schedule: Schedule = { next: (after) => whole.next(after, fired) }
  const onTimeAfter = Math.max(evaluatedTo, now - graceMs - 1) as WallMs
  const windowAfter = Math.max(evaluatedTo, Math.min(onTimeAfter, now - windowMs - 1)) as WallMs
  const missed: Missed[] = []
  const note = (from: WallMs, to: WallMs, reason: MissReason): void => {
    const run = runOf(schedule, from, to, reason)
    if (run) missed.push(run)
  }
  note(evaluatedTo, windowAfter, 'olderThanWindow')
  const keep = policy === 'skip' ? 0 : policy === 'fireOnce' ? 1 : Math.min(misfire.catchUpMax, CATCH_UP_MAX)
  const caught = lastFires(schedule, windowAfter, onTimeAfter, keep)
  const dropTo = caught[0] === undefined ? onTimeAfter : ((caught[0].at - 1) as WallMs)
  note(windowAfter, dropTo, policy === 'skip' ? 'policySkip' : policy === 'fireOnce' ? 'coalesced' : 'overCap')
  const due = [
    ...caught.map((fire) => ({ fire, late: true })),
    ...firesIn(schedule, onTimeAfter, now, Number.POSITIVE_INFINITY).map((fire) => ({ fire, late: false })),
  ]
  const within = due.filter(({ fire }, n) => whole.next((fire.at - 1) as WallMs, fired + n) !== undefined)
  return { due: within, missed, evaluatedTo: now }
}

/** Fires in (after, to], at most `limit`. */
function firesIn(schedule: Schedule, after: WallMs, to: WallMs, limit: number): Fire[] {
  const fires: Fire[] = []
  let from = after
  while (fires.length < limit) {
    const fire = schedule.next(from)
    if (!fire || fire.at > to) break
    fires.push(fire)
    from = fire.at
  }
  return fires
}

/** The last `keep` fires in (after, to]: looks back in doubling steps, so a long downtime costs no more than a short one. */
function lastFires(schedule: Schedule, after: WallMs, to: WallMs, keep: number): Fire[] {
  if (keep === 0 || to <= after) return []
  for (let back = 60_000; ; back *= 2) {
    const from = Math.max(after, to - back) as WallMs
    const fires = firesIn(schedule, from, to, Number.POSITIVE_INFINITY)
    if (fires.length >= keep || from === after) return fires.slice(-keep)
  }
}

function runOf(schedule: Schedule, after: WallMs, to: WallMs, reason: MissReason): Missed | undefined {
  const fires = firesIn(schedule, after, to, COUNT_MAX + 1)
  const first = fires[0]
  if (!first) return undefined
  const more = fires.length > COUNT_MAX
  const last = more ? lastFires(schedule, after, to, 1)[0]! : fires.at(-1)!
  return {
    from: first.at,
    to: last.at,
    count: Math.min(fires.length, COUNT_MAX),
    more,
    reason,
  }
}
