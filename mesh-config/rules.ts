// rules.ts — HTTPRoutes on a Service → its rules in order of precedence.
//
// Producer and consumer routes (GEP-1294): a route in the Service's own namespace is for all callers, a route in another
// namespace is for callers of that namespace only and wins there; the two groups never mix. Any route replaces the
// default (unmatched = 404); without one there is a single rule to the service itself.

import type { RouteResource } from './config.ts'
import {
  DEFAULT_BACKEND_REQUEST_TIMEOUT_MS,
  DEFAULT_REDIRECT_STATUS,
  DEFAULT_RETRY,
  DEFAULT_WEIGHT,
} from './defaults.ts'
import { durationMs } from './duration.ts'
import {
  isServiceParent,
  type RouteBackendRef,
  type RouteFilter,
  type RouteMatch,
  type RouteRule,
} from './kinds/http-route.ts'
import { byPrecedence, type Ranked } from './order.ts'
import { canonicalSpelling } from './path.ts'
import { limitMs } from './policy.ts'
import type { BackendRef, Filters, HeaderEdit, Match, PathRewrite, Rule } from './snapshot.ts'

export interface ServiceId {
  readonly name: string
  readonly namespace: string
}

/** What the rules of one service are made from. */
export interface RuleContext {
  readonly service: ServiceId
  /** Namespace of the caller. */
  readonly callerNamespace: string
  /** Key into Snapshot.backends, or why there is none. */
  readonly backend: (ref: ServiceId) => { key: string } | { invalid: string }
  /** For rules that say no `timeouts.request`. */
  readonly requestMs: number | null
}

/** A rule with what sorting and explaining need. */
export type RankedRule = Ranked & { readonly rule: Rule; readonly resource: RouteResource | undefined }

export function rulesOf(routes: readonly RouteResource[], context: RuleContext): RankedRule[] {
  const attached = routesFor(routes, context.service, context.callerNamespace)
  if (attached.length === 0) return [defaultRule(context)]
  return attached.flatMap((route) => rulesOfRoute(route, context)).sort(byPrecedence)
}

function routesFor(routes: readonly RouteResource[], service: ServiceId, callerNamespace: string): RouteResource[] {
  const attached = routes.filter((route) =>
    route.spec.parentRefs.some(
      (ref) =>
        isServiceParent(ref) && ref.name === service.name && (ref.namespace ?? route.namespace) === service.namespace,
    ),
  )
  const consumer = attached.filter(
    (route) => route.namespace !== service.namespace && route.namespace === callerNamespace,
  )
  return consumer.length > 0 ? consumer : attached.filter((route) => route.namespace === service.namespace)
}

const ANY_MATCH: Match = { path: { type: 'PathPrefix', value: '/' }, headers: [], query: [] }

function defaultRule(context: RuleContext): RankedRule {
  const { name, namespace } = context.service
  const route = `${namespace}/${name}`
  const rule: Rule = {
    id: `default:${route}`,
    route,
    index: 0,
    name: 'default',
    match: ANY_MATCH,
    filters: {},
    backends: [compileBackend({ name }, namespace, ANY_MATCH, context)],
    timeouts: { requestMs: context.requestMs, backendRequestMs: DEFAULT_BACKEND_REQUEST_TIMEOUT_MS },
    retry: compileRetry(undefined),
  }
  return { match: ANY_MATCH, route, ruleIndex: 0, matchIndex: 0, rule, resource: undefined }
}

function rulesOfRoute(resource: RouteResource, context: RuleContext): RankedRule[] {
  const route = `${resource.namespace}/${resource.name}`
  const rules = resource.spec.rules ?? [{}]
  return rules.flatMap((source, ruleIndex) =>
    (source.matches?.length ? source.matches : [{}]).map((given, matchIndex) => {
      const match = compileMatch(given)
      const id = source.name === undefined ? `${route}[${ruleIndex}]` : `${route}#${source.name}`
      const rule = compileRule(source, { id, route, index: ruleIndex }, match, resource.namespace, context)
      return { match, route, ruleIndex, matchIndex, rule, resource }
    }),
  )
}

function compileRule(
  source: RouteRule,
  identity: Pick<Rule, 'id' | 'route' | 'index'>,
  match: Match,
  namespace: string,
  context: RuleContext,
): Rule {
  const { request, backendRequest } = source.timeouts ?? {}
  return {
    ...identity,
    ...(source.name === undefined ? {} : { name: source.name }),
    match,
    filters: compileFilters(source.filters, match),
    backends: compileBackends(source, match, namespace, context),
    timeouts: {
      requestMs: request === undefined ? context.requestMs : limitMs(request),
      backendRequestMs: backendRequest === undefined ? DEFAULT_BACKEND_REQUEST_TIMEOUT_MS : limitMs(backendRequest),
    },
    retry: compileRetry(source.retry),
  }
}

function compileMatch(source: RouteMatch): Match {
  const condition = (lower: boolean) => (one: NonNullable<RouteMatch['headers']>[number]) => ({
    type: one.type ?? ('Exact' as const),
    name: lower ? one.name.toLowerCase() : one.name,
    value: one.value,
  })
  return {
    path: compilePath(source.path),
    ...(source.method === undefined ? {} : { method: source.method }),
    headers: firstOfName((source.headers ?? []).map(condition(true))),
    query: firstOfName((source.queryParams ?? []).map(condition(false))),
  }
}

function compilePath(source: RouteMatch['path']): Match['path'] {
  const type = source?.type ?? 'PathPrefix'
  const value = source?.value ?? '/'
  return { type, value: type === 'RegularExpression' ? value : canonicalSpelling(value) }
}

/** "Only the first entry with an equivalent name counts." */
function firstOfName<T extends { readonly name: string }>(list: readonly T[]): T[] {
  return list.filter((one, index) => list.findIndex((other) => other.name === one.name) === index)
}

function compileRetry(source: RouteRule['retry']): Rule['retry'] {
  const { attempts, codes, backoffMs, backoffMaxFactor, anyMethod } = DEFAULT_RETRY
  const base = source?.backoff === undefined ? backoffMs : durationMs(source.backoff)
  return {
    attempts: source?.attempts ?? attempts,
    codes: [...new Set(source?.codes ?? codes)],
    backoffMs: base,
    backoffMaxMs: base * backoffMaxFactor,
    anyMethod: source === undefined ? anyMethod : true,
  }
}

// ── backends ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The standard's 500 for a rule that leads nowhere; a ref without a name, so that the proxy needs no special case. */
const nowhere = (invalid: string): BackendRef => ({ backend: '', weight: 1, filters: {}, invalid })

function compileBackends(source: RouteRule, match: Match, namespace: string, context: RuleContext): BackendRef[] {
  if (source.filters?.some((filter) => filter.type === 'RequestRedirect')) return []
  const refs = (source.backendRefs ?? []).map((ref) => compileBackend(ref, namespace, match, context))
  if (refs.length === 0) return [nowhere('NoBackends')]
  return refs.every((ref) => ref.weight === 0) ? [...refs, nowhere('AllWeightsZero')] : refs
}

function compileBackend(ref: RouteBackendRef, namespace: string, match: Match, context: RuleContext): BackendRef {
  const found = context.backend({ name: ref.name, namespace: ref.namespace ?? namespace })
  return {
    backend: 'key' in found ? found.key : ref.name,
    weight: ref.weight ?? DEFAULT_WEIGHT,
    filters: compileFilters(ref.filters, match),
    ...('invalid' in found ? { invalid: found.invalid } : {}),
  }
}

// ── filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function compileFilters(source: readonly RouteFilter[] | undefined, match: Match): Filters {
  const filters: Filters = {}
  for (const filter of source ?? []) {
    if (filter.requestHeaderModifier) filters.requestHeaders = headerEdit(filter.requestHeaderModifier)
    if (filter.responseHeaderModifier) filters.responseHeaders = headerEdit(filter.responseHeaderModifier)
    if (filter.urlRewrite) {
      const { hostname, path } = filter.urlRewrite
      filters.rewrite = { ...(hostname === undefined ? {} : { hostname }), ...pathOf(path, match) }
    }
    if (filter.requestRedirect) {
      const { path, statusCode, ...rest } = filter.requestRedirect
      filters.redirect = { ...rest, ...pathOf(path, match), statusCode: statusCode ?? DEFAULT_REDIRECT_STATUS }
    }
  }
  return filters
}

function headerEdit(source: NonNullable<RouteFilter['requestHeaderModifier']>): HeaderEdit {
  const lower = (list: HeaderEdit['set'] | undefined): HeaderEdit['set'] =>
    (list ?? []).map(({ name, value }) => ({ name: name.toLowerCase(), value }))
  return {
    set: lower(source.set),
    add: lower(source.add),
    remove: (source.remove ?? []).map((name) => name.toLowerCase()),
  }
}

type PathModifier = NonNullable<NonNullable<RouteFilter['urlRewrite']>['path']>

/** The prefix that is replaced is the one that the rule's only match names. */
function pathOf(source: PathModifier | undefined, match: Match): { path?: PathRewrite } {
  if (!source) return {}
  return {
    path:
      source.type === 'ReplaceFullPath'
        ? { type: 'ReplaceFullPath', value: source.replaceFullPath ?? '/' }
        : { type: 'ReplacePrefixMatch', prefix: match.path.value, value: source.replacePrefixMatch ?? '' },
  }
}
