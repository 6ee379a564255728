// states.ts — the life of a job and of an attempt, as literal tables (DESIGN.md §9). docs/life-of-a-job.md is printed
// from them. `next` is total: an event that a state does not take is refused, never ignored.

export const JOB_STATES = [
  'blocked',
  'deferred',
  'ready',
  'leased',
  'cancelling',
  'succeeded',
  'failed',
  'cancelled',
  'timedOut',
  'expired',
  'deadLettered',
  'skipped',
] as const
export type JobState = (typeof JOB_STATES)[number]

export const TERMINAL_STATES = [
  'succeeded',
  'failed',
  'cancelled',
  'timedOut',
  'expired',
  'deadLettered',
  'skipped',
] as const satisfies readonly JobState[]
export type TerminalState = (typeof TERMINAL_STATES)[number]

export const ATTEMPT_OUTCOMES = ['succeeded', 'failed', 'timedOut', 'cancelled', 'refused', 'released', 'lost'] as const
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number]
/** These charge no attempt: nothing of the job's budget is used up. `lost` has a cap of its own (LOST_MAX). */
export const UNCHARGED = ['refused', 'released', 'lost'] as const satisfies readonly AttemptOutcome[]
export const LOST_MAX = 3

export const JOB_EVENTS = [
  'unblock', // dependencies satisfied, due now
  'skip', // a dependency's outcome excludes it
  'due', // deferred: its time (or back-off) is over
  'lease', // an attempt was committed
  'succeed',
  'retryLater', // failed or timed out, attempts left
  'failPermanent', // error class permanent
  'exhaust', // attempts (or LOST_MAX) used up
  'requeue', // refused, released or lost: back without a charge
  'cancel', // asked by a user
  'cancelled', // the worker confirmed, or there was nothing to stop
  'timeOut', // execution timeout, no attempts left
  'expire', // deadline or schedule-to-start passed before start
  'redrive', // dead letter or failed job sent back by a user
] as const
export type JobEvent = (typeof JOB_EVENTS)[number]

export const JOB_TABLE = {
  blocked: { unblock: 'ready', skip: 'skipped', cancel: 'cancelled', expire: 'expired' },
  deferred: { due: 'ready', cancel: 'cancelled', expire: 'expired' },
  ready: { lease: 'leased', cancel: 'cancelled', expire: 'expired' },
  leased: {
    succeed: 'succeeded',
    retryLater: 'deferred',
    requeue: 'ready',
    failPermanent: 'failed',
    exhaust: 'deadLettered',
    timeOut: 'timedOut',
    cancel: 'cancelling',
    expire: 'expired',
  },
  // What the worker says last still counts: a success that was on its way is a success.
  cancelling: {
    cancelled: 'cancelled',
    succeed: 'succeeded',
    failPermanent: 'cancelled',
    retryLater: 'cancelled',
    exhaust: 'cancelled',
    timeOut: 'cancelled',
    requeue: 'cancelled',
    expire: 'cancelled',
    cancel: 'cancelling',
  },
  succeeded: {},
  failed: { redrive: 'ready' },
  cancelled: { redrive: 'ready' },
  timedOut: { redrive: 'ready' },
  expired: { redrive: 'ready' },
  deadLettered: { redrive: 'ready' },
  skipped: {},
} as const satisfies Record<JobState, Partial<Record<JobEvent, JobState>>>

/** The state after `event`, or undefined when the table refuses it. */
export function next(state: JobState, event: JobEvent): JobState | undefined {
  return (JOB_TABLE[state] as Partial<Record<JobEvent, JobState>>)[event]
}

export function isTerminal(state: JobState): state is TerminalState {
  return (TERMINAL_STATES as readonly JobState[]).includes(state)
}
