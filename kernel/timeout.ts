// timeout.ts — a deadline that whatever waits carries: a point on the monotonic clock and a signal.
//
// Abort reasons stay distinguishable (STYLE §6): `client-left`, `timeout`, `stopping`.

import { type Clock, type MonotonicMs, plus } from './clock.ts'

export type StopReason = 'client-left' | 'timeout' | 'stopping'

export class Stopped extends Error {
  readonly reason: StopReason
  constructor(reason: StopReason) {
    super(reason)
    this.name = 'Stopped'
    this.reason = reason
  }
}

/** Why a signal aborted; undefined while it has not, or when the reason is not ours. */
export function stopReason(signal: AbortSignal): StopReason | undefined {
  return signal.aborted && signal.reason instanceof Stopped ? signal.reason.reason : undefined
}

export interface Deadline {
  /** Infinity = none. */
  readonly at: MonotonicMs
  readonly signal: AbortSignal
  leftMs(): number
  /** Stops the timer; the signal will not abort by time any more. */
  done(): void
}

/** A deadline `ms` from now, or the parent's if that is sooner; aborts with Stopped('timeout'). */
export function startDeadline(clock: Clock, ms: number, parent?: { at: MonotonicMs; signal: AbortSignal }): Deadline {
  const own = Number.isFinite(ms) ? plus(clock.now(), ms) : (Number.POSITIVE_INFINITY as MonotonicMs)
  const at = (parent ? Math.min(own, parent.at) : own) as MonotonicMs
  const control = new AbortController()
  const timer = Number.isFinite(at)
    ? clock.after(at - clock.now(), () => control.abort(new Stopped('timeout')), true)
    : undefined
  const onParent = (): void => control.abort(parent?.signal.reason)
  if (parent?.signal.aborted) onParent()
  else parent?.signal.addEventListener('abort', onParent, { once: true })
  return {
    at,
    signal: control.signal,
    leftMs: () => at - clock.now(),
    done() {
      timer?.cancel()
      parent?.signal.removeEventListener('abort', onParent)
    },
  }
}
