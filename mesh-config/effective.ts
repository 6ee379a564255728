// effective.ts — what a service really runs on, and where each value comes from: a line of the config, or a default.
//
// Pure. The values are compile's own (policy.ts, rules.ts); only the origin is looked up here, in the order in which
// policy.ts asks: the policy of the name, the policy of the service that it is a part of, the default.

import { backendKey, type Destination, destinationsOf, inboundOf, rulesTo } from './compile.ts'
import type { MeshConfig, TrafficPolicyResource } from './config.ts'
import { targetsOf } from './kinds/traffic-policy.ts'
import type { Located } from './located.ts'
import { policiesFor, requestTimeoutOf, resolvePolicy } from './policy.ts'
import type { Place } from './problem.ts'
import { DEFAULT_REASONS, type ReasonKey } from './reasons.ts'
import type { RankedRule } from './rules.ts'
import type { Policy } from './snapshot.ts'
import type { Path } from './source.ts'

/** Milliseconds are numbers with `unit`; null = no limit. */
export interface Effective {
  readonly field: string
  readonly value: string | number | boolean | null | readonly (string | number)[]
  readonly unit: 'ms' | '%' | '/s' | ''
  readonly origin: Origin
}
export type Origin =
  | { readonly from: 'default'; readonly reason: string }
  | ({ readonly from: 'config'; readonly resource: string } & Place)
  /** Follows from other values. */
  | { readonly from: 'derived'; readonly reason: string }

export interface EffectiveService {
  readonly service: string
  readonly fields: readonly Effective[]
  readonly rules: readonly { readonly rule: string; readonly fields: readonly Effective[] }[]
}
export interface EffectiveConfig {
  readonly mesh: readonly Effective[]
  readonly services: readonly EffectiveService[]
}

export function effectiveConfig(config: MeshConfig, located: Located): EffectiveConfig {
  const destinations = destinationsOf(config, [])
  return {
    mesh: meshFields(config, located),
    services: destinations.map((to) => effectiveService({ config, located, destinations }, to)),
  }
}

interface World {
  readonly config: MeshConfig
  readonly located: Located
  readonly destinations: readonly Destination[]
}

// ── the mesh ────────────────────────────────────────────────────────────────────────────────────────────────────────

function meshFields({ mesh }: MeshConfig, located: Located): Effective[] {
  const origin = (path: Path, reason: ReasonKey): Origin =>
    fromConfig(located, 'Mesh', { name: '', namespace: '' }, path) ?? byDefault(reason)
  const sampling = origin(['spec', 'tracing', 'samplePercent'], 'samplePercent')
  return [
    field('trustDomain', mesh.trustDomain, '', origin(['spec', 'trustDomain'], 'trustDomain')),
    field('tracing.samplePercent', mesh.samplePercent, '%', sampling),
    field('ttl.leaf', mesh.leafTtlMs, 'ms', origin(['spec', 'ttl', 'leaf'], 'leafTtl')),
  ]
}

// ── one service ─────────────────────────────────────────────────────────────────────────────────────────────────────

function effectiveService(world: World, to: Destination): EffectiveService {
  const { config, located } = world
  const transport = to.resource?.spec.endpoints && to.resource.spec.identity === undefined ? 'plain' : 'mesh'
  const policy = resolvePolicy(policiesFor(config, to.namespace, to.name, to.service), transport)
  const protocol = fromConfig(located, 'Service', to, ['spec', 'protocol']) ?? byDefault('protocol')
  const rules = rulesTo(config, world.destinations, to, to.namespace)
  return {
    service: backendKey(to.name, to.namespace),
    fields: [
      field('protocol', to.protocol, '', protocol),
      field('transport', transport, '', transportOrigin(world, to, transport)),
      ...POLICY_FIELDS.map((one) => policyField(world, to, one, one.value(policy))),
      policyField(world, to, REQUEST, requestTimeoutOf(policiesFor(config, to.namespace, to.name, to.service))),
      accessField(world, to),
    ],
    rules: onePerSource(rules).map((ranked) => ({ rule: ruleName(ranked), fields: ruleFields(world, to, ranked) })),
  }
}

function transportOrigin({ located }: World, to: Destination, transport: 'plain' | 'mesh'): Origin {
  const named = transport === 'plain' ? 'endpoints' : 'identity'
  const place = fromConfig(located, 'Service', to, ['spec', named])
  return place ?? { from: 'derived', reason: 'discovered instances have a sidecar: mTLS' }
}

interface PolicyField {
  readonly name: string
  readonly path: Path
  readonly unit: Effective['unit']
  readonly reason: ReasonKey
  value(policy: Policy): Effective['value']
}
const policyLine = (
  name: string,
  reason: ReasonKey,
  unit: Effective['unit'],
  value: (policy: Policy) => Effective['value'],
): PolicyField => ({ name, path: ['spec', ...name.split('.')], unit, reason, value })

/** Every field of a resolved policy; a test holds this list complete. */
export const POLICY_FIELDS: readonly PolicyField[] = [
  policyLine('balance', 'balance', '', ({ balance }) => balance),
  policyLine('limits.maxConnections', 'maxConnections', '', ({ limits }) => limits.maxConnections),
  policyLine('limits.maxPendingRequests', 'maxPendingRequests', '', ({ limits }) => limits.maxPendingRequests),
  policyLine('limits.maxRequests', 'maxRequests', '', ({ limits }) => limits.maxRequests),
  policyLine('timeouts.connect', 'connect', 'ms', (policy) => policy.connectTimeoutMs),
  policyLine('timeouts.idle', 'idle', 'ms', (policy) => policy.idleTimeoutMs),
  policyLine('breaker.failures', 'breaker.failures', '', ({ breaker }) => breaker.failures),
  policyLine('breaker.failurePercent', 'breaker.failurePercent', '%', ({ breaker }) => breaker.failurePercent),
  policyLine('breaker.window', 'breaker.window', 'ms', ({ breaker }) => breaker.windowMs),
  policyLine('breaker.open', 'breaker.open', 'ms', ({ breaker }) => breaker.openMs),
  policyLine(
    'outlier.consecutiveFailures',
    'outlier.consecutiveFailures',
    '',
    (one) => one.outlier.consecutiveFailures,
  ),
  policyLine('outlier.baseEjection', 'outlier.baseEjection', 'ms', ({ outlier }) => outlier.baseEjectionMs),
  policyLine('outlier.maxEjection', 'outlier.maxEjection', 'ms', ({ outlier }) => outlier.maxEjectionMs),
  policyLine('outlier.maxEjectionPercent', 'outlier.maxEjectionPercent', '%', (one) => one.outlier.maxEjectionPercent),
  policyLine('retryBudget.percent', 'retryBudget.percent', '%', ({ retryBudget }) => retryBudget.percent),
  policyLine('retryBudget.minPerSecond', 'retryBudget.minPerSecond', '/s', (one) => one.retryBudget.minPerSecond),
]
const REQUEST: Omit<PolicyField, 'value'> = {
  name: 'timeouts.request',
  path: ['spec', 'timeouts', 'request'],
  unit: 'ms',
  reason: 'request',
}

function policyField(
  world: World,
  to: Destination,
  { name, path, unit, reason }: Omit<PolicyField, 'value'>,
  value: Effective['value'],
): Effective {
  return field(name, value, unit, policyOrigin(world, to, path) ?? ejectionCap(world, to, name) ?? byDefault(reason))
}

/** The cap is raised with a longer base. */
function ejectionCap({ config }: World, to: Destination, name: string): Origin | undefined {
  if (name !== 'outlier.maxEjection') return undefined
  const { outlier } = resolvePolicy(policiesFor(config, to.namespace, to.name, to.service), 'mesh')
  const raised = outlier.maxEjectionMs === outlier.baseEjectionMs
  return raised ? { from: 'derived', reason: 'outlier.baseEjection is longer than the default cap' } : undefined
}

/** Nearest first, as policy.ts asks. */
function policyOrigin({ config, located }: World, to: Destination, path: Path): Origin | undefined {
  for (const name of new Set([to.name, to.service])) {
    for (const policy of config.trafficPolicies) {
      const aimed = policy.namespace === to.namespace && targetsOf(policy).some((ref) => ref.name === name)
      if (aimed && valueAt(policy, path) !== undefined) return fromConfig(located, 'TrafficPolicy', policy, path)
    }
  }
  return undefined
}

function valueAt(policy: TrafficPolicyResource, path: Path): unknown {
  let at: unknown = policy
  for (const part of path) at = (at as Record<PropertyKey, unknown> | undefined)?.[part]
  return at
}

/** Of the called service's own sidecar. */
function accessField({ config, located }: World, to: Destination): Effective {
  const self = { service: to.service, namespace: to.namespace, version: to.version, instance: '' }
  const { defaultAction } = inboundOf(config, self)
  const names = new Set([to.name, to.service])
  const policy = config.authorizationPolicies.find(
    (one) => one.namespace === to.namespace && targetsOf(one).some((target) => names.has(target.name)),
  )
  const origin = policy && fromConfig(located, 'AuthorizationPolicy', policy, ['metadata', 'name'])
  return field('inbound.defaultAction', defaultAction, '', origin ?? byDefault('defaultAction'))
}

// ── its rules ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onePerSource(rules: readonly RankedRule[]): RankedRule[] {
  const seen = new Set<string>()
  return rules.filter(({ rule }) => !seen.has(rule.id) && seen.add(rule.id))
}

const ruleName = ({ rule, resource }: RankedRule): string =>
  resource ? `${rule.route} rule ${rule.index + 1}${rule.name === undefined ? '' : ` (${rule.name})`}` : 'default rule'

function ruleFields(world: World, to: Destination, { rule, resource, ruleIndex }: RankedRule): Effective[] {
  const at = (...path: string[]): Origin | undefined =>
    resource && fromConfig(world.located, 'HTTPRoute', resource, ['spec', 'rules', ruleIndex, ...path])
  const request = at('timeouts', 'request') ?? policyOrigin(world, to, REQUEST.path) ?? byDefault('request')
  const backendRequest = at('timeouts', 'backendRequest') ?? byDefault('backendRequest')
  const anyMethod: Origin = at('retry') ?? {
    from: 'derived',
    reason: 'the rule says no retry: idempotent methods only',
  }
  return [
    field('timeouts.request', rule.timeouts.requestMs, 'ms', request),
    field('timeouts.backendRequest', rule.timeouts.backendRequestMs, 'ms', backendRequest),
    field('retry.attempts', rule.retry.attempts, '', at('retry', 'attempts') ?? byDefault('retry.attempts')),
    field('retry.codes', rule.retry.codes, '', at('retry', 'codes') ?? byDefault('retry.codes')),
    field('retry.backoff', rule.retry.backoffMs, 'ms', at('retry', 'backoff') ?? byDefault('retry.backoff')),
    field('retry.anyMethod', rule.retry.anyMethod, '', anyMethod),
  ]
}

// ── origins ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const field = (name: string, value: Effective['value'], unit: Effective['unit'], origin: Origin): Effective => ({
  field: name,
  value,
  unit,
  origin,
})
const byDefault = (reason: ReasonKey): Origin => ({ from: 'default', reason: DEFAULT_REASONS[reason] })

type Kind = Parameters<Located['place']>[0]

function fromConfig(
  located: Located,
  kind: Kind,
  of: { readonly name: string; readonly namespace: string },
  path: Path,
): Origin | undefined {
  const place = located.written(kind, of, path)
  const resource = kind === 'Mesh' ? 'Mesh' : `${kind} ${of.namespace}/${of.name}`
  return place && { from: 'config', resource, ...place }
}
