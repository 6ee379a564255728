// outlier.ts — decides which endpoints sit out for a while.
//
// Owns: the rule, not the memory; endpoint-set.ts keeps the verdict across snapshots.
// Never: opens a socket or reads a clock (time comes in as `now`).
// At most `maxEjectionPercent` of the endpoints are ejected, rounded down: past that, we would be the outage. So the
// only endpoint of a backend never sits out (its breaker speaks for it).

import type { MonotonicMs } from '../../kernel/clock.ts'
import type { Policy } from '../../mesh-config/snapshot.ts'

export type OutlierPolicy = Policy['outlier']

export interface Health {
  /** Failures in a row. */
  failures: number
  /** Ejections so far, less one for each base period that it served well since. */
  times: number
  /** Sits out until then; 0 = never did. */
  until: number
}

export const freshHealth = (): Health => ({ failures: 0, times: 0, until: 0 })

export const isEjected = (health: Health, now: MonotonicMs): boolean => now < health.until

/** Endpoints of `count` that may sit out at once. */
export function ejectionsMax(count: number, policy: OutlierPolicy): number {
  return Math.floor((count * policy.maxEjectionPercent) / 100)
}

/** Takes one settled request into account. True = this endpoint has earned an ejection. */
export function settleHealth(health: Health, ok: boolean, now: MonotonicMs, policy: OutlierPolicy): boolean {
  if (ok) {
    health.failures = 0
    return false
  }
  // What was under way when it was ejected says nothing new.
  if (isEjected(health, now)) return false
  health.failures++
  return policy.consecutiveFailures > 0 && health.failures >= policy.consecutiveFailures
}

/** Base × times, capped; each base period served well since the last ejection takes one off `times`. */
export function eject(health: Health, now: MonotonicMs, policy: OutlierPolicy): void {
  const servedWell = health.times === 0 ? 0 : Math.floor((now - health.until) / Math.max(1, policy.baseEjectionMs))
  health.times = Math.max(0, health.times - servedWell) + 1
  health.until = now + Math.min(policy.baseEjectionMs * health.times, policy.maxEjectionMs)
  health.failures = 0
}
