// access.ts — policies that shut everybody out, rules that nobody can fit, callers that do not exist.

import { inboundOf } from '../compile.ts'
import type { AuthorizationPolicyResource } from '../config.ts'
import { serviceIdentity, trustDomainOf } from '../kinds/principal.ts'
import { targetsOf } from '../kinds/traffic-policy.ts'
import { canonicalSpelling } from '../path.ts'
import type { ConfigProblem } from '../problem.ts'
import type { AuthorizationRule } from '../snapshot.ts'
import type { Path } from '../source.ts'
import { nearest } from '../suggest.ts'
import type { Analysed } from './analyze.ts'
import { coversRule, namespaceOf } from './cover.ts'

export function accessFindings(analysed: Analysed): ConfigProblem[] {
  const policies = analysed.config.authorizationPolicies
  return [
    ...policies.flatMap((policy) => ruleFindings(analysed, policy)),
    ...policies.flatMap((policy) => hiddenAllows(analysed, policy)),
    ...lockedOut(analysed),
  ]
}

// ── single rules ────────────────────────────────────────────────────────────────────────────────────────────────────

function ruleFindings({ config, located }: Analysed, policy: AuthorizationPolicyResource): ConfigProblem[] {
  const namespaces = new Set(config.services.map((service) => service.namespace))
  const found: ConfigProblem[] = []
  for (const [index, rule] of (policy.spec.rules ?? []).entries()) {
    const from: Path = ['spec', 'rules', index, 'from']
    for (const [at, principal] of (rule.from?.principals ?? []).entries()) {
      const say = principalFault(config, principal)
      if (say) found.push(located.finding('AuthorizationPolicy', policy, [...from, 'principals', at], 'value', say))
    }
    for (const [at, namespace] of (rule.from?.namespaces ?? []).entries()) {
      if (namespaces.has(namespace)) continue
      const guess = nearest(namespace, namespaces)
      const message = `no Service is in the namespace ${namespace}`
      const say = {
        code: 'NAMESPACE_UNKNOWN' as const,
        message,
        ...(guess ? { hint: `Did you mean "${guess}"?` } : {}),
      }
      found.push(located.finding('AuthorizationPolicy', policy, [...from, 'namespaces', at], 'value', say))
    }
    const { principals = [], namespaces: allowed = [] } = rule.from ?? {}
    if (principals.length > 0 && allowed.length > 0 && principals.every((one) => isOutside(one, allowed))) {
      const message = `none of the principals is in ${allowed.join(', ')}; both must fit`
      found.push(located.finding('AuthorizationPolicy', policy, from, 'key', { code: 'RULE_NEVER_FITS', message }))
    }
  }
  return found
}

const isOutside = (principal: string, namespaces: readonly string[]): boolean => {
  const own = namespaceOf(principal)
  return own !== '' && !namespaces.includes(own)
}

type Fault = { code: 'PRINCIPAL_UNKNOWN' | 'RULE_NEVER_FITS'; message: string; hint?: string }

/** Of a whole SPIFFE ID of our own trust domain: is there anybody who can have it? */
function principalFault(config: Analysed['config'], principal: string): Fault | undefined {
  if (principal.endsWith('*') || trustDomainOf(principal) !== config.mesh.trustDomain) return undefined
  const [, namespace, name] = /\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(principal) ?? []
  if (namespace === undefined || name === undefined) {
    const hint = `Identities here are ${serviceIdentity(config.mesh.trustDomain, '<namespace>', '<service>')}.`
    return { code: 'RULE_NEVER_FITS', message: `no sidecar has the identity ${principal}`, hint }
  }
  // What the Fairlead processes themselves are called.
  if (namespace === 'fairlead') return undefined
  const here = config.services.filter((service) => service.namespace === namespace)
  const service = here.find((one) => one.name === name)
  const registered = service?.spec.selector?.service ?? name
  if (service && registered !== name) {
    const hint = `Write ${serviceIdentity(config.mesh.trustDomain, namespace, registered)}.`
    return { code: 'RULE_NEVER_FITS', message: `${name} is a part of ${registered}, whose identity it has`, hint }
  }
  if (service || here.some((one) => one.spec.selector?.service === name)) return undefined
  const guess = nearest(
    name,
    here.map((one) => one.name),
  )
  const hint = guess ? { hint: `Did you mean "${guess}"?` } : {}
  return { code: 'PRINCIPAL_UNKNOWN', message: `no Service ${name} in the namespace ${namespace}`, ...hint }
}

// ── DENY over ALLOW ─────────────────────────────────────────────────────────────────────────────────────────────────

function hiddenAllows(analysed: Analysed, policy: AuthorizationPolicyResource): ConfigProblem[] {
  if (policy.spec.action === 'DENY') return []
  const targets = targetsOf(policy).map((target) => target.name)
  const denies = analysed.config.authorizationPolicies.filter(
    (other) =>
      other.spec.action === 'DENY' &&
      other.namespace === policy.namespace &&
      targets.every((name) => targetsOf(other).some((target) => target.name === name)),
  )
  return rulesOf(policy).flatMap((rule, index) => {
    const deny = denies.find((other) => rulesOf(other).some((wide) => coversRule(wide, rule)))
    if (!deny) return []
    const message = `${deny.namespace}/${deny.name} denies all that this rule allows (${deny.place.file}:${deny.place.line})`
    const say = { code: 'ALLOW_HIDDEN', message } as const
    return [analysed.located.finding('AuthorizationPolicy', policy, ['spec', 'rules', index], 'value', say)]
  })
}

const rulesOf = (policy: AuthorizationPolicyResource): AuthorizationRule[] =>
  (policy.spec.rules ?? []).map((rule) => ({
    policy: policy.name,
    action: policy.spec.action ?? 'ALLOW',
    principals: rule.from?.principals ?? [],
    namespaces: rule.from?.namespaces ?? [],
    methods: rule.to?.methods ?? [],
    paths: (rule.to?.paths ?? []).map(canonicalSpelling),
  }))

// ── nobody ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Asked of what a sidecar of each targeted service would run on, so that policies of several names count together. */
function lockedOut(analysed: Analysed): ConfigProblem[] {
  const { config, located, destinations } = analysed
  const targeted = config.authorizationPolicies.flatMap((policy) =>
    targetsOf(policy).map((target) => ({ policy, name: target.name })),
  )
  return targeted.flatMap(({ policy, name }) => {
    const to = destinations.find((one) => one.name === name && one.namespace === policy.namespace)
    if (!to) return []
    const self = { service: to.service, namespace: to.namespace, version: to.version, instance: '' }
    const { rules, defaultAction } = inboundOf(config, self)
    const denies = rules.filter((rule) => rule.action === 'DENY')
    const allows = rules.filter((rule) => rule.action === 'ALLOW')
    if (defaultAction === 'allow' || allows.some((rule) => isOpen(rule, denies))) return []
    const why = allows.length > 0 ? 'no ALLOW rule can be fulfilled' : 'nothing allows anybody'
    const message = `nobody may call ${name}: its policies make it default-deny, and ${why}`
    const at = ['metadata', 'name']
    return [located.finding('AuthorizationPolicy', policy, at, 'value', { code: 'EVERYONE_LOCKED_OUT', message })]
  })
}

function isOpen(rule: AuthorizationRule, denies: readonly AuthorizationRule[]): boolean {
  const { principals, namespaces } = rule
  if (denies.some((deny) => coversRule(deny, rule))) return false
  return principals.length === 0 || namespaces.length === 0 || !principals.every((one) => isOutside(one, namespaces))
}
