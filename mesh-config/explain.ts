// explain.ts — one request against the config: which rule takes it, why not the others, and where it would go.
//
// Pure, and no second opinion: the rules are compile's, the decision is match.ts's, the order is order.ts's.

import { type Authority, DEFAULT_NAMESPACE } from '../kernel/authority.ts'
import { backendKey, type Destination, destinationsOf, rulesTo } from './compile.ts'
import type { MeshConfig } from './config.ts'
import { type MatchInput, matches, rewritePath, whyNot } from './match.ts'
import { whyFirst } from './order.ts'
import type { RankedRule } from './rules.ts'
import type { BackendRef, Filters } from './snapshot.ts'

export interface ExplainRequest extends MatchInput {
  readonly authority: Authority
  /** Namespace of the caller: routes there can override those of the service. */
  readonly callerNamespace?: string
}

export interface RuleName {
  /** `{namespace}/{name}` of the HTTPRoute, or of the Service whose default rule it is. */
  readonly route: string
  readonly index: number
  readonly name: string | null
  readonly file: string
  readonly line: number
}

export interface Explained {
  readonly status: 'routed'
  readonly service: string
  readonly rule: RuleName
  readonly lost: readonly LostRule[]
  readonly filters: Filters
  /** Path that the backend sees; only when a filter changes it. */
  readonly path: string | undefined
  readonly backends: readonly (BackendRef & { readonly share: number })[]
}
export interface LostRule {
  readonly rule: RuleName
  readonly why: string
}
export type Explanation =
  | Explained
  /** No rule fits, or no such service in the mesh. */
  | { readonly status: 404; readonly service: string; readonly lost: readonly LostRule[] }
  /** Outside the mesh, and no Service names it. */
  | { readonly status: 403 }

export function explainRoute(config: MeshConfig, request: ExplainRequest): Explanation {
  const destinations = destinationsOf(config, [])
  const { authority } = request
  const to = destinations.find((one) => isNamedBy(one, authority))
  if (!to) return authority.kind === 'mesh' ? { status: 404, service: authority.canonical, lost: [] } : { status: 403 }
  const service = backendKey(to.name, to.namespace)
  const rules = rulesTo(config, destinations, to, request.callerNamespace ?? DEFAULT_NAMESPACE)
  const winner = rules.find((ranked) => matches(ranked.match, request))
  const lost = lostRules(rules, winner, request, to)
  if (!winner) return { status: 404, service, lost }
  const { filters, backends } = winner.rule
  const total = backends.reduce((sum, ref) => sum + ref.weight, 0)
  return {
    status: 'routed',
    service,
    rule: nameOf(winner, to),
    lost,
    filters,
    path: filters.rewrite?.path && rewritePath(filters.rewrite.path, request.path),
    backends: backends.map((ref) => ({ ...ref, share: total === 0 ? 0 : ref.weight / total })),
  }
}

function isNamedBy(to: Destination, authority: Authority): boolean {
  if (authority.kind === 'mesh') return to.name === authority.service && to.namespace === authority.namespace
  const host = authority.address === 'ipv6' ? `[${authority.host}]` : authority.host
  return to.aliases.includes(host) || (authority.port !== undefined && to.aliases.includes(`${host}:${authority.port}`))
}

/** One entry for each source rule, in order of precedence. */
function lostRules(
  rules: readonly RankedRule[],
  winner: RankedRule | undefined,
  request: MatchInput,
  to: Destination,
): LostRule[] {
  const bySource = new Map<string, RankedRule[]>()
  for (const ranked of rules) {
    if (ranked.rule.id === winner?.rule.id) continue
    bySource.set(ranked.rule.id, [...(bySource.get(ranked.rule.id) ?? []), ranked])
  }
  return [...bySource.values()].map((group) => ({ rule: nameOf(group[0]!, to), why: whyLost(group, winner, request) }))
}

function whyLost(group: readonly RankedRule[], winner: RankedRule | undefined, request: MatchInput): string {
  const fitting = group.find((ranked) => matches(ranked.match, request))
  if (fitting && winner) return `fits too, but ${whyFirst(winner, fitting)}`
  if (group.length === 1) return whyNot(group[0]!.match, request)
  return group.map((ranked) => `match ${ranked.matchIndex + 1}: ${whyNot(ranked.match, request)}`).join(' — ')
}

function nameOf({ rule, resource, ruleIndex }: RankedRule, to: Destination): RuleName {
  const place = resource ? (resource.rulePlaces[ruleIndex] ?? resource.place) : to.resource?.place
  return {
    route: rule.route,
    index: rule.index,
    name: rule.name ?? null,
    file: place?.file ?? '',
    line: place?.line ?? 0,
  }
}
