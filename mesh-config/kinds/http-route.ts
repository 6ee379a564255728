// http-route.ts — gateway.networking.k8s.io/v1 HTTPRoute, attached to Services (GAMMA): shape and rules of its own.
//
// Bounds and formats are the standard's (Gateway API main, apis/v1/httproute_types.go). What this build does not do yet
// is refused by name, never skipped: a route that would lose its mirror or its CORS is not the route that was written.

import { z } from '../../kernel/parse.ts'
import { durationMs } from '../duration.ts'
import { pathFault } from '../path.ts'
import { compileRegex, RegexRefused } from '../regex.ts'
import type { Path } from '../source.ts'
import { Duration, FIELD_NAME, FIELD_VALUE, HOSTNAME, Label, Metadata, type Report, SERVICE_GROUPS } from './common.ts'

export const GATEWAY_API = 'gateway.networking.k8s.io/v1'
const MATCHES_PER_ROUTE_MAX = 128
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'] as const
const FILTERS = ['RequestHeaderModifier', 'ResponseHeaderModifier', 'RequestRedirect', 'URLRewrite'] as const
const FILTERS_LATER = ['RequestMirror', 'CORS', 'ExtensionRef', 'ExternalAuth'] as const

const FieldName = z.string().min(1).max(256).regex(FIELD_NAME)
const Hostname = z.string().max(253).regex(HOSTNAME)
const HeaderSetting = z.strictObject({ name: FieldName, value: z.string().max(4096).regex(FIELD_VALUE) })
const HeaderModifier = z.strictObject({
  set: z.array(HeaderSetting).max(16).optional(),
  add: z.array(HeaderSetting).max(16).optional(),
  remove: z.array(FieldName).max(16).optional(),
})
const PathModifier = z.strictObject({
  type: z.enum(['ReplaceFullPath', 'ReplacePrefixMatch']),
  replaceFullPath: z.string().max(1024).optional(),
  replacePrefixMatch: z.string().max(1024).optional(),
})
const Filter = z.strictObject({
  type: z.enum([...FILTERS, ...FILTERS_LATER]),
  requestHeaderModifier: HeaderModifier.optional(),
  responseHeaderModifier: HeaderModifier.optional(),
  requestRedirect: z
    .strictObject({
      scheme: z.enum(['http', 'https']).optional(),
      hostname: Hostname.optional(),
      path: PathModifier.optional(),
      port: z.int().min(1).max(65_535).optional(),
      statusCode: z.literal([301, 302, 303, 307, 308]).optional(),
    })
    .optional(),
  urlRewrite: z.strictObject({ hostname: Hostname.optional(), path: PathModifier.optional() }).optional(),
  requestMirror: z.unknown().optional(),
  cors: z.unknown().optional(),
  extensionRef: z.unknown().optional(),
  externalAuth: z.unknown().optional(),
})
export type RouteFilter = z.infer<typeof Filter>

const ValueMatch = z.enum(['Exact', 'RegularExpression'])
const RouteMatch = z.strictObject({
  path: z
    .strictObject({
      type: z.enum(['Exact', 'PathPrefix', 'RegularExpression']).optional(),
      value: z.string().max(1024).optional(),
    })
    .optional(),
  headers: z
    .array(z.strictObject({ type: ValueMatch.optional(), name: FieldName, value: z.string().min(1).max(4096) }))
    .max(16)
    .optional(),
  queryParams: z
    .array(z.strictObject({ type: ValueMatch.optional(), name: FieldName, value: z.string().min(1).max(1024) }))
    .max(16)
    .optional(),
  method: z.enum(METHODS).optional(),
})
export type RouteMatch = z.infer<typeof RouteMatch>

const BackendRef = z.strictObject({
  group: z.enum(SERVICE_GROUPS).optional(),
  kind: z.literal('Service').optional(),
  name: Label,
  namespace: Label.optional(),
  /** Taken, without effect: an instance registers its own port. */
  port: z.int().min(1).max(65_535).optional(),
  weight: z.int().min(0).max(1_000_000).optional(),
  filters: z.array(Filter).max(16).optional(),
})
export type RouteBackendRef = z.infer<typeof BackendRef>

const RouteRule = z.strictObject({
  name: z.string().min(1).max(253).optional(),
  matches: z.array(RouteMatch).max(64).optional(),
  filters: z.array(Filter).max(16).optional(),
  backendRefs: z.array(BackendRef).max(16).optional(),
  timeouts: z.strictObject({ request: Duration.optional(), backendRequest: Duration.optional() }).optional(),
  retry: z
    .strictObject({
      codes: z.array(z.int().min(400).max(599)).max(16).optional(),
      /** Retries, not tries. 0 (ours) turns them off. */
      attempts: z.int().min(0).max(100).optional(),
      backoff: Duration.optional(),
    })
    .optional(),
  sessionPersistence: z.unknown().optional(),
})
export type RouteRule = z.infer<typeof RouteRule>

const ParentRef = z.strictObject({
  group: z.string().optional(),
  kind: z.string().optional(),
  namespace: Label.optional(),
  name: Label,
  sectionName: z.string().optional(),
  port: z.int().min(1).max(65_535).optional(),
})
export type RouteParentRef = z.infer<typeof ParentRef>

export const HttpRouteSchema = z.strictObject({
  apiVersion: z.literal(GATEWAY_API),
  kind: z.literal('HTTPRoute'),
  metadata: Metadata,
  spec: z.strictObject({
    parentRefs: z.array(ParentRef).min(1).max(32),
    hostnames: z.array(Hostname).max(16).optional(),
    rules: z.array(RouteRule).min(1).max(16).optional(),
  }),
  status: z.unknown().optional(),
})
export type HttpRoute = z.infer<typeof HttpRouteSchema>

/** `kind: Service` of the core group or ours; the group may be left out (the standard's default names a Gateway). */
export const isServiceParent = (ref: RouteParentRef): boolean =>
  ref.kind === 'Service' && (SERVICE_GROUPS as readonly string[]).includes(ref.group ?? '')

export function checkHttpRoute(route: HttpRoute, report: Report): void {
  checkParents(route, report)
  if (route.spec.hostnames?.length) {
    report.warn(['spec', 'hostnames'], 'key', 'IGNORED', 'hostnames say nothing about a route on a Service (GEP-1294)')
  }
  const rules = route.spec.rules ?? []
  const names = new Set<string>()
  for (const [index, rule] of rules.entries()) {
    const path = ['spec', 'rules', index]
    if (rule.name !== undefined && names.has(rule.name)) {
      report.error([...path, 'name'], 'value', 'CONFLICT', `a second rule is named "${rule.name}"`)
    }
    if (rule.name !== undefined) names.add(rule.name)
    checkRule(rule, path, report)
  }
  const matches = rules.reduce((sum, rule) => sum + (rule.matches?.length ?? 1), 0)
  if (matches > MATCHES_PER_ROUTE_MAX) {
    const message = `${matches} matches over all rules; the standard allows ${MATCHES_PER_ROUTE_MAX}`
    report.error(['spec', 'rules'], 'key', 'OUT_OF_RANGE', message, 'Split the route in two.')
  }
}

function checkParents(route: HttpRoute, report: Report): void {
  const onService = route.spec.parentRefs.some(isServiceParent)
  for (const [index, parent] of route.spec.parentRefs.entries()) {
    const path = ['spec', 'parentRefs', index]
    if (!isServiceParent(parent)) {
      const kind = parent.kind ?? 'Gateway'
      const say = onService ? report.warn : report.error
      const hint = 'Attach the route to a Service: {group: "", kind: Service, name: …}.'
      say(
        [...path, 'kind'],
        'value',
        onService ? 'IGNORED' : 'NOT_SUPPORTED',
        `a ${kind} as parent does nothing here`,
        hint,
      )
    } else if (parent.port !== undefined || parent.sectionName !== undefined) {
      const field = parent.port !== undefined ? 'port' : 'sectionName'
      report.warn([...path, field], 'key', 'IGNORED', 'a mesh Service has one port; the route applies to all of it')
    }
  }
}

function checkRule(rule: RouteRule, path: Path, report: Report): void {
  for (const [index, match] of (rule.matches ?? []).entries()) checkMatch(match, [...path, 'matches', index], report)
  checkFilters(rule.filters ?? [], rule, [...path, 'filters'], report)
  const redirects = (rule.filters ?? []).some((filter) => filter.type === 'RequestRedirect')
  const refs = rule.backendRefs ?? []
  for (const [index, ref] of refs.entries()) {
    const at = [...path, 'backendRefs', index, 'filters']
    checkFilters(ref.filters ?? [], rule, at, report)
    const inner = (ref.filters ?? []).findIndex((filter) => filter.type === 'RequestRedirect')
    if (inner >= 0) {
      report.error(
        [...at, inner, 'type'],
        'value',
        'CONFLICT',
        'a backend cannot redirect',
        'Redirect in the rule itself.',
      )
    }
  }
  if (redirects && refs.length > 0) {
    const message = 'a rule with RequestRedirect has no backends'
    report.error([...path, 'backendRefs'], 'key', 'CONFLICT', message, 'Remove backendRefs or the redirect.')
  } else if (!redirects && refs.every((ref) => ref.weight === 0)) {
    const message = refs.length === 0 ? 'this rule has no backends' : 'all weights are 0'
    report.warn(refs.length === 0 ? path : [...path, 'backendRefs'], 'key', 'NO_BACKENDS', message)
  }
  checkTimes(rule, path, report)
}

function checkTimes(rule: RouteRule, path: Path, report: Report): void {
  const { request, backendRequest } = rule.timeouts ?? {}
  if (request !== undefined && backendRequest !== undefined) {
    const whole = durationMs(request)
    const one = durationMs(backendRequest)
    if (whole > 0 && (one > whole || one === 0)) {
      const message = `backendRequest (${backendRequest}) is longer than request (${request})`
      report.error([...path, 'timeouts', 'backendRequest'], 'value', 'OUT_OF_RANGE', message)
    }
  }
  if (rule.sessionPersistence !== undefined) {
    report.error(
      [...path, 'sessionPersistence'],
      'key',
      'NOT_SUPPORTED',
      'sessionPersistence is not done by this build',
    )
  }
}

// ── matches ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function checkMatch(match: RouteMatch, path: Path, report: Report): void {
  const value = match.path?.value ?? '/'
  if (match.path?.type === 'RegularExpression') checkRegex(value, [...path, 'path', 'value'], report)
  else {
    const fault = pathFault(value)
    if (fault) report.error([...path, 'path', 'value'], 'value', 'BAD_PATH', `the path "${value}" ${fault}`)
  }
  for (const field of ['headers', 'queryParams'] as const) {
    const seen = new Set<string>()
    for (const [index, { type, name, value: wanted }] of (match[field] ?? []).entries()) {
      const at = [...path, field, index]
      if (type === 'RegularExpression') checkRegex(wanted, [...at, 'value'], report)
      const key = field === 'headers' ? name.toLowerCase() : name
      if (seen.has(key)) report.warn([...at, 'name'], 'value', 'IGNORED', `only the first condition on ${name} counts`)
      seen.add(key)
    }
  }
}

function checkRegex(pattern: string, path: Path, report: Report): void {
  try {
    compileRegex(pattern)
  } catch (error) {
    if (!(error instanceof RegexRefused)) throw error
    report.error(path, 'value', 'BAD_REGEX', `at character ${error.at + 1} of the expression: ${error.message}`)
  }
}

// ── filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const CONFIG_FIELD = {
  RequestHeaderModifier: 'requestHeaderModifier',
  ResponseHeaderModifier: 'responseHeaderModifier',
  RequestRedirect: 'requestRedirect',
  URLRewrite: 'urlRewrite',
} as const
/** Framing, hop-by-hop, and what only a sidecar may say. */
const PROTECTED =
  /^(?:host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|proxy-.*|fairlead-.*)$/

function checkFilters(filters: readonly RouteFilter[], rule: RouteRule, path: Path, report: Report): void {
  const seen = new Set<string>()
  for (const [index, filter] of filters.entries()) {
    const at = [...path, index]
    if ((FILTERS_LATER as readonly string[]).includes(filter.type)) {
      report.error([...at, 'type'], 'value', 'NOT_SUPPORTED', `the filter ${filter.type} is not done by this build`)
      continue
    }
    if (seen.has(filter.type)) {
      report.error([...at, 'type'], 'value', 'CONFLICT', `a second ${filter.type} filter`, 'Merge the two.')
    }
    seen.add(filter.type)
    checkFilter(filter, rule, at, report)
  }
  if (seen.has('RequestRedirect') && seen.has('URLRewrite')) {
    report.error(path, 'key', 'CONFLICT', 'RequestRedirect and URLRewrite exclude each other')
  }
}

function checkFilter(filter: RouteFilter, rule: RouteRule, at: Path, report: Report): void {
  const field = CONFIG_FIELD[filter.type as keyof typeof CONFIG_FIELD]
  for (const other of Object.values(CONFIG_FIELD)) {
    if (other !== field && filter[other] !== undefined) {
      report.error([...at, other], 'key', 'CONFLICT', `${other} does not belong to a filter of type ${filter.type}`)
    }
  }
  if (filter[field] === undefined) {
    report.error(at, 'value', 'MISSING_FIELD', `a filter of type ${filter.type} needs ${field}`)
    return
  }
  for (const modifier of ['requestHeaderModifier', 'responseHeaderModifier'] as const) {
    if (filter[modifier]) checkHeaderModifier(filter[modifier], [...at, modifier], report)
  }
  for (const changer of ['requestRedirect', 'urlRewrite'] as const) {
    if (filter[changer]?.path) checkPathModifier(filter[changer].path, rule, [...at, changer, 'path'], report)
    if (filter[changer]?.hostname?.startsWith('*')) {
      report.error(
        [...at, changer, 'hostname'],
        'value',
        'BAD_HOSTNAME',
        'a request needs a whole host name, not a pattern',
      )
    }
  }
}

function checkHeaderModifier(modifier: z.infer<typeof HeaderModifier>, at: Path, report: Report): void {
  const actions = new Map<string, string>()
  const check = (name: string, action: string, path: Path): void => {
    const key = name.toLowerCase()
    if (PROTECTED.test(key)) {
      const hint =
        key === 'host' ? 'Use URLRewrite with hostname.' : 'Framing and fairlead-* fields belong to the sidecar.'
      report.error(path, 'value', 'BAD_HEADER', `the field ${name} cannot be changed by a filter`, hint)
    }
    const before = actions.get(key)
    if (before)
      report.error(path, 'value', 'CONFLICT', `${name} is in ${before} already; one action for each field name`)
    actions.set(key, action)
  }
  for (const action of ['set', 'add'] as const) {
    for (const [index, { name }] of (modifier[action] ?? []).entries()) {
      check(name, action, [...at, action, index, 'name'])
    }
  }
  for (const [index, name] of (modifier.remove ?? []).entries()) check(name, 'remove', [...at, 'remove', index])
}

function checkPathModifier(path: z.infer<typeof PathModifier>, rule: RouteRule, at: Path, report: Report): void {
  const field = path.type === 'ReplaceFullPath' ? 'replaceFullPath' : 'replacePrefixMatch'
  const other = path.type === 'ReplaceFullPath' ? 'replacePrefixMatch' : 'replaceFullPath'
  if (path[other] !== undefined) {
    report.error([...at, other], 'key', 'CONFLICT', `${other} does not belong to type ${path.type}`)
  }
  const value = path[field]
  if (value === undefined) {
    report.error(at, 'value', 'MISSING_FIELD', `type ${path.type} needs ${field}`)
    return
  }
  const fault = value === '' ? undefined : pathFault(value)
  if (fault) report.error([...at, field], 'value', 'BAD_PATH', `the path "${value}" ${fault}`)
  const matches = rule.matches ?? [{}]
  const single = matches.length === 1 && (matches[0]!.path?.type ?? 'PathPrefix') === 'PathPrefix'
  if (path.type === 'ReplacePrefixMatch' && !single) {
    const message = 'ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix'
    report.error([...at, 'type'], 'value', 'CONFLICT', message, 'Split the rule, one for each prefix.')
  }
}
