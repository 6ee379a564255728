// policy.ts — the effective TrafficPolicy of a backend: its own fields, then its service's, then defaults.ts.

import type { MeshConfig, TrafficPolicyResource } from './config.ts'
import { DEFAULT_IDLE_TIMEOUT_MS, DEFAULT_POLICY, DEFAULT_REQUEST_TIMEOUT_MS } from './defaults.ts'
import { durationMs } from './duration.ts'
import { targetsOf } from './kinds/traffic-policy.ts'
import type { Backend, Policy } from './snapshot.ts'

type Spec = TrafficPolicyResource['spec']

/** Specs that speak for a backend, nearest first: `worker-v1` before the `worker` whose version it is. */
export function policiesFor(config: MeshConfig, namespace: string, name: string, service: string): Spec[] {
  const of = (target: string): Spec[] =>
    config.trafficPolicies
      .filter((policy) => policy.namespace === namespace && targetsOf(policy).some((ref) => ref.name === target))
      .map((policy) => policy.spec)
  return name === service ? of(name) : [...of(name), ...of(service)]
}

export function resolvePolicy(specs: readonly Spec[], transport: Backend['transport']): Policy {
  const pick = <T>(read: (spec: Spec) => T | undefined, fallback: T): T => {
    for (const spec of specs) {
      const value = read(spec)
      if (value !== undefined) return value
    }
    return fallback
  }
  const ms = (read: (spec: Spec) => string | undefined, fallbackMs: number): number => {
    const text = pick<string | undefined>(read, undefined)
    return text === undefined ? fallbackMs : durationMs(text)
  }
  const { balance, limits, breaker, outlier, retryBudget, connectTimeoutMs } = DEFAULT_POLICY
  return {
    balance: pick((spec) => spec.balance, balance),
    limits: {
      maxConnections: pick((spec) => spec.limits?.maxConnections, limits.maxConnections),
      maxPendingRequests: pick((spec) => spec.limits?.maxPendingRequests, limits.maxPendingRequests),
      maxRequests: pick((spec) => spec.limits?.maxRequests, limits.maxRequests),
    },
    connectTimeoutMs: ms((spec) => spec.timeouts?.connect, connectTimeoutMs),
    idleTimeoutMs: ms((spec) => spec.timeouts?.idle, DEFAULT_IDLE_TIMEOUT_MS[transport]),
    breaker: {
      failures: pick((spec) => spec.breaker?.failures, breaker.failures),
      failurePercent: pick((spec) => spec.breaker?.failurePercent, breaker.failurePercent),
      windowMs: ms((spec) => spec.breaker?.window, breaker.windowMs),
      openMs: ms((spec) => spec.breaker?.open, breaker.openMs),
    },
    outlier: resolveOutlier(pick, ms, outlier),
    retryBudget: {
      percent: pick((spec) => spec.retryBudget?.percent, retryBudget.percent),
      minPerSecond: pick((spec) => spec.retryBudget?.minPerSecond, retryBudget.minPerSecond),
    },
  }
}

/** The cap follows a longer base, so that a base alone can be raised. */
function resolveOutlier(
  pick: (read: (spec: Spec) => number | undefined, fallback: number) => number,
  ms: (read: (spec: Spec) => string | undefined, fallbackMs: number) => number,
  fallback: typeof DEFAULT_POLICY.outlier,
): Policy['outlier'] {
  const baseEjectionMs = ms((spec) => spec.outlier?.baseEjection, fallback.baseEjectionMs)
  return {
    consecutiveFailures: pick((spec) => spec.outlier?.consecutiveFailures, fallback.consecutiveFailures),
    baseEjectionMs,
    maxEjectionMs: Math.max(
      baseEjectionMs,
      ms((spec) => spec.outlier?.maxEjection, fallback.maxEjectionMs),
    ),
    maxEjectionPercent: pick((spec) => spec.outlier?.maxEjectionPercent, fallback.maxEjectionPercent),
  }
}

/** `timeouts.request` of the policies; null = none. */
export function requestTimeoutOf(specs: readonly Spec[]): number | null {
  const text = specs.find((spec) => spec.timeouts?.request !== undefined)?.timeouts?.request
  return text === undefined ? DEFAULT_REQUEST_TIMEOUT_MS : limitMs(text)
}

/** The standard's `0s` = no limit. */
export function limitMs(text: string): number | null {
  const ms = durationMs(text)
  return ms === 0 ? null : ms
}
