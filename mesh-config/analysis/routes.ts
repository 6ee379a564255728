// routes.ts — rules that never see a request, splits that split nothing, redirects to themselves.

import { type Destination, rulesTo } from '../compile.ts'
import type { RouteResource } from '../config.ts'
import { DEFAULT_WEIGHT } from '../defaults.ts'
import { isServiceParent, type RouteRule } from '../kinds/http-route.ts'
import { rewritePath } from '../match.ts'
import { whyFirst } from '../order.ts'
import type { ConfigProblem } from '../problem.ts'
import type { RankedRule } from '../rules.ts'
import type { Match } from '../snapshot.ts'
import type { Path } from '../source.ts'
import type { Analysed } from './analyze.ts'
import { coversMatch, takesAnyPath } from './cover.ts'

export function routeFindings(analysed: Analysed): ConfigProblem[] {
  const { config, destinations } = analysed
  return [
    ...shadowedRules(analysed, destinations),
    ...config.routes.flatMap((route) =>
      (route.spec.rules ?? []).flatMap((rule, at) => splits(analysed, route, rule, at)),
    ),
    ...redirectLoops(analysed, destinations),
  ]
}

// ── shadowed ────────────────────────────────────────────────────────────────────────────────────────────────────────

function shadowedRules(analysed: Analysed, destinations: readonly Destination[]): ConfigProblem[] {
  return destinations.flatMap((to) =>
    callersOf(analysed, to).flatMap((caller) => {
      const ranked = rulesTo(analysed.config, destinations, to, caller).filter((one) => one.resource !== undefined)
      return shadowedAmong(analysed, ranked)
    }),
  )
}

/** Namespaces whose callers see rules of their own, and the service's own for all others. */
function callersOf({ config }: Analysed, to: Destination): string[] {
  const consumers = config.routes
    .filter((route) =>
      route.spec.parentRefs.some(
        (ref) => isServiceParent(ref) && ref.name === to.name && (ref.namespace ?? route.namespace) === to.namespace,
      ),
    )
    .map((route) => route.namespace)
  return [...new Set([to.namespace, ...consumers])]
}

/**
 * Rules come in order of precedence, so only an earlier one with the same path, or an expression for any path, can take
 * everything from a later one: a lookup instead of every pair, for routes by the thousand.
 */
function shadowedAmong(analysed: Analysed, ranked: readonly RankedRule[]): ConfigProblem[] {
  const earlier = new Map<string, RankedRule[]>()
  const shadowedBy = new Map<RankedRule, RankedRule>()
  for (const one of ranked) {
    const candidates = [...(earlier.get('any') ?? []), ...(earlier.get(pathKey(one.match)) ?? [])]
    const winner = candidates.find((other) => coversMatch(other.match, one.match))
    if (winner) shadowedBy.set(one, winner)
    else for (const key of keysOf(one.match)) earlier.set(key, [...(earlier.get(key) ?? []), one])
  }
  return sources(ranked).flatMap((group) => shadowFindings(analysed, group, shadowedBy))
}

const pathKey = ({ path }: Match): string =>
  `${path.type} ${path.type === 'PathPrefix' && path.value.endsWith('/') ? path.value.slice(0, -1) : path.value}`

function keysOf(match: Match): string[] {
  const any = match.path.type === 'RegularExpression' && takesAnyPath(match.path.value)
  return any ? ['any'] : [pathKey(match)]
}

/** The matches of one written rule together. */
function sources(ranked: readonly RankedRule[]): RankedRule[][] {
  const groups = new Map<string, RankedRule[]>()
  for (const one of ranked) {
    const group = groups.get(one.rule.id)
    if (group) group.push(one)
    else groups.set(one.rule.id, [one])
  }
  return [...groups.values()]
}

function shadowFindings(
  { located }: Analysed,
  group: readonly RankedRule[],
  shadowedBy: ReadonlyMap<RankedRule, RankedRule>,
): ConfigProblem[] {
  const lost = group.filter((one) => shadowedBy.has(one))
  const whole = lost.length === group.length
  return (whole ? lost.slice(0, 1) : lost).map((one) => {
    const winner = shadowedBy.get(one)!
    const rulePath = ['spec', 'rules', one.ruleIndex]
    const written = one.resource!.spec.rules?.[one.ruleIndex]?.matches?.length
    const path = whole || !written ? rulePath : [...rulePath, 'matches', one.matchIndex]
    const place = located.place('HTTPRoute', winner.resource!, ['spec', 'rules', winner.ruleIndex])
    const by = `${winner.route} rule ${winner.ruleIndex + 1}${place ? ` (${place.file}:${place.line})` : ''}`
    const what = whole ? 'this rule never sees a request' : `match ${one.matchIndex + 1} of this rule never decides`
    const message = `${what}: ${by} takes all of it first (${whyFirst(winner, one)})`
    return located.finding('HTTPRoute', one.resource!, path, 'value', { code: 'RULE_SHADOWED', message })
  })
}

// ── splits ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function splits({ located }: Analysed, route: RouteResource, rule: RouteRule, index: number): ConfigProblem[] {
  const refs = rule.backendRefs ?? []
  const path: Path = ['spec', 'rules', index, 'backendRefs']
  const alive = refs.filter((ref) => (ref.weight ?? DEFAULT_WEIGHT) > 0)
  const found: ConfigProblem[] = []
  if (refs.length > 1 && alive.length === 1) {
    const message = `a split over ${refs.length} backends, of which only ${alive[0]!.name} gets requests`
    found.push(located.finding('HTTPRoute', route, path, 'key', { code: 'SPLIT_ONE_SIDED', message }))
  }
  const seen = new Set<string>()
  for (const [at, ref] of refs.entries()) {
    const key = `${ref.namespace ?? route.namespace}/${ref.name}`
    if (seen.has(key) && !ref.filters) {
      const message = `${ref.name} stands in this split twice`
      found.push(
        located.finding('HTTPRoute', route, [...path, at, 'name'], 'value', { code: 'BACKEND_TWICE', message }),
      )
    }
    seen.add(key)
  }
  return found
}

// ── redirects ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The client is sent to an address that the same match takes again. */
function redirectLoops({ config, located }: Analysed, destinations: readonly Destination[]): ConfigProblem[] {
  return destinations.flatMap((to) =>
    rulesTo(config, destinations, to, to.namespace).flatMap(({ rule, match, resource, ruleIndex }) => {
      const { redirect } = rule.filters
      if (!redirect || !resource || redirect.hostname || redirect.port || redirect.scheme === 'https') return []
      if (match.path.type === 'RegularExpression') return []
      const target = redirect.path ? rewritePath(redirect.path, match.path.value) : match.path.value
      const again = { ...match, path: { type: 'Exact' as const, value: target } }
      if (!coversMatch(match, again)) return []
      const message = `whoever follows this redirect from ${match.path.value} comes back to the same rule`
      const path = ['spec', 'rules', ruleIndex, 'filters']
      return [located.finding('HTTPRoute', resource, path, 'key', { code: 'REDIRECT_LOOP', message })]
    }),
  )
}
