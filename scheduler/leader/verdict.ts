// verdict.ts — what the end of an attempt means for its job. Pure: states.ts says which moves exist, this file which of
// them an outcome asks for.

import { type WallMs, wallPlus } from '../../kernel/clock.ts'
import { assert } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'
import type { AttemptError } from '../../workers/contract.ts'
import { type AttemptOutcome, type JobEvent, type JobState, LOST_MAX, next, UNCHARGED } from '../states.ts'
import { retryDelayMs } from './backoff.ts'

export interface JobFacts {
  readonly state: JobState
  readonly attempts: number
  readonly lost: number
  readonly maxAttempts: number
  readonly retryBaseMs: number
  readonly retryMaxMs: number
  readonly deadline: WallMs | null
}

export interface Said {
  readonly outcome: AttemptOutcome
  readonly error: AttemptError | null
}

export interface Verdict {
  readonly event: JobEvent
  readonly to: JobState
  readonly outcome: AttemptOutcome
  readonly charge: boolean
  readonly error: AttemptError | null
  /** Only with `to: deferred`. */
  readonly runAt: WallMs | undefined
}

export function verdict(job: JobFacts, said: Said, now: WallMs, random: Random): Verdict {
  const charge = !(UNCHARGED as readonly AttemptOutcome[]).includes(said.outcome)
  const used = job.attempts + (charge ? 1 : 0)
  const event = eventOf(job, said, used, now)
  const to = next(job.state, event)
  assert(to !== undefined, `no move from ${job.state} by ${event}`)
  return {
    event,
    to,
    outcome: said.outcome,
    charge,
    error: errorOf(job, said, event),
    runAt: to === 'deferred' ? wallPlus(now, retryDelayMs(used, job, random)) : undefined,
  }
}

function eventOf(job: JobFacts, said: Said, used: number, now: WallMs): JobEvent {
  const late = job.deadline !== null && now >= job.deadline
  switch (said.outcome) {
    case 'succeeded':
      return 'succeed'
    case 'failed':
      if (said.error?.class === 'permanent') return 'failPermanent'
      return used >= job.maxAttempts ? 'exhaust' : 'retryLater'
    case 'timedOut':
      return late || used >= job.maxAttempts ? 'timeOut' : 'retryLater'
    case 'cancelled':
      if (job.state === 'cancelling') return 'cancelled'
      // The worker stopped without being asked: charged, so that it cannot go on for ever.
      return used >= job.maxAttempts ? 'exhaust' : 'retryLater'
    case 'lost':
      if (job.lost + 1 >= LOST_MAX) return 'exhaust'
      return late ? 'expire' : 'requeue'
    case 'refused':
    case 'released':
      return late ? 'expire' : 'requeue'
  }
}

function errorOf(job: JobFacts, said: Said, event: JobEvent): AttemptError | null {
  if (event === 'succeed') return null
  if (event === 'expire') return ours('DEADLINE_PASSED', 'permanent', 'The deadline passed before the job could run.')
  switch (said.outcome) {
    case 'lost':
      if (event === 'exhaust') return ours('POISON', 'permanent', `The job was lost with its worker ${LOST_MAX} times.`)
      return ours('WORKER_LOST', 'transient', 'The worker session ended while the attempt ran.')
    case 'timedOut':
      return said.error ?? ours('EXECUTION_TIMEOUT', 'transient', 'The attempt ran longer than it may.')
    case 'cancelled':
      if (job.state === 'cancelling') return said.error
      return said.error ?? ours('HANDLER_FAILED', 'transient', 'The handler stopped without being asked.')
    case 'failed':
      return said.error ?? ours('HANDLER_FAILED', 'transient', 'The handler failed and gave no reason.')
    default:
      return null
  }
}

const ours = (code: string, kind: AttemptError['class'], message: string): AttemptError => ({
  code,
  class: kind,
  message,
})
