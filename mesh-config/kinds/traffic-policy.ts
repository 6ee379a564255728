// traffic-policy.ts — fairlead.dev/v1 TrafficPolicy: how callers treat a Service: balance, limits, breaker, budget.
//
// Fields left out come from the policy of the service that a version belongs to, then from defaults.ts.

import { z } from '../../kernel/parse.ts'
import { durationMs } from '../duration.ts'
import { Duration, Metadata, type Report, ServiceTarget } from './common.ts'
import { OUR_API } from './mesh.ts'

const LIMIT_MAX = 1_000_000
const Limit = z.int().min(1).max(LIMIT_MAX)
const Percent = z.number().min(0).max(100)

export const TrafficPolicySchema = z.strictObject({
  apiVersion: z.literal(OUR_API),
  kind: z.literal('TrafficPolicy'),
  metadata: Metadata,
  spec: z.strictObject({
    targetRef: ServiceTarget.optional(),
    targetRefs: z.array(ServiceTarget).min(1).max(16).optional(),
    balance: z.enum(['leastRequest', 'roundRobin']).optional(),
    limits: z
      .strictObject({
        maxConnections: Limit.optional(),
        maxPendingRequests: Limit.optional(),
        maxRequests: Limit.optional(),
      })
      .optional(),
    breaker: z
      .strictObject({
        failures: z.int().min(1).max(LIMIT_MAX).optional(),
        failurePercent: z.number().min(1).max(100).optional(),
        window: Duration.optional(),
        open: Duration.optional(),
      })
      .optional(),
    outlier: z
      .strictObject({
        consecutiveFailures: z.int().min(1).max(LIMIT_MAX).optional(),
        baseEjection: Duration.optional(),
        maxEjection: Duration.optional(),
        maxEjectionPercent: Percent.optional(),
      })
      .optional(),
    retryBudget: z
      .strictObject({ percent: Percent.optional(), minPerSecond: z.number().min(0).max(LIMIT_MAX).optional() })
      .optional(),
    timeouts: z
      .strictObject({
        connect: Duration.optional(),
        idle: Duration.optional(),
        /** For rules that say no `timeouts.request`, and for what arrives at the service. 0s = none. */
        request: Duration.optional(),
      })
      .optional(),
    rateLimit: z.unknown().optional(),
  }),
})
export type TrafficPolicyDocument = z.infer<typeof TrafficPolicySchema>

/** Durations that must not be zero, with their upper bound. */
const BOUNDS: readonly (readonly [string, string, number])[] = [
  ['breaker', 'window', 3_600_000],
  ['breaker', 'open', 3_600_000],
  ['outlier', 'baseEjection', 3_600_000],
  ['outlier', 'maxEjection', 86_400_000],
  ['timeouts', 'connect', 60_000],
  ['timeouts', 'idle', 3_600_000],
]

export function checkTrafficPolicy(policy: TrafficPolicyDocument, report: Report): void {
  checkTargets(policy, report)
  const { spec } = policy
  if (spec.rateLimit !== undefined) {
    report.error(['spec', 'rateLimit'], 'key', 'NOT_SUPPORTED', 'rateLimit is not done by this build')
  }
  for (const [part, field, maxMs] of BOUNDS) {
    const group = spec[part as 'breaker' | 'outlier' | 'timeouts'] as Readonly<Record<string, unknown>> | undefined
    const text = group?.[field]
    if (typeof text !== 'string') continue
    const ms = durationMs(text)
    if (ms < 1 || ms > maxMs) {
      report.error(['spec', part, field], 'value', 'OUT_OF_RANGE', `${text} is not between 1ms and ${maxMs / 1000}s`)
    }
  }
  const { baseEjection, maxEjection } = spec.outlier ?? {}
  if (baseEjection && maxEjection && durationMs(baseEjection) > durationMs(maxEjection)) {
    const message = `baseEjection (${baseEjection}) is longer than maxEjection (${maxEjection})`
    report.error(['spec', 'outlier', 'baseEjection'], 'value', 'OUT_OF_RANGE', message)
  }
}

export interface Targeted {
  readonly spec: {
    readonly targetRef?: z.infer<typeof ServiceTarget> | undefined
    readonly targetRefs?: readonly z.infer<typeof ServiceTarget>[] | undefined
  }
}

export const targetsOf = ({ spec }: Targeted): readonly z.infer<typeof ServiceTarget>[] =>
  spec.targetRefs ?? (spec.targetRef ? [spec.targetRef] : [])

export function checkTargets(policy: Targeted, report: Report): void {
  if (policy.spec.targetRef && policy.spec.targetRefs) {
    report.error(['spec', 'targetRefs'], 'key', 'CONFLICT', 'targetRef and targetRefs exclude each other')
  } else if (targetsOf(policy).length === 0) {
    const hint = 'Add targetRef: {kind: Service, name: …}.'
    report.error(['spec'], 'key', 'MISSING_FIELD', 'the policy names no target', hint)
  }
}
