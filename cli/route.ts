// route.ts — `fairlead route explain --config PATH URL`: which rule takes a request, why not the others, who gets it.
//
// Works without a running mesh. JSON: {service, rule, lost, filters, backends} or {status: 404}; exit 0, or 1 when
// nothing takes the request.

import { parseAuthority } from '../kernel/authority.ts'
import { FairleadError } from '../kernel/errors.ts'
import {
  type Explained,
  type ExplainRequest,
  type Explanation,
  explainRoute,
  type LostRule,
  type RuleName,
} from '../mesh-config/explain.ts'
import { canonicalSpelling } from '../mesh-config/path.ts'
import type { Filters } from '../mesh-config/snapshot.ts'
import { loadConfig } from './config.ts'
import { contextOf } from './context.ts'
import { EXIT } from './exit.ts'
import { columnsOf, type Terminal } from './terminal.ts'

export interface RouteExplainOptions {
  /** Files or directories. */
  readonly config: string | readonly string[]
  readonly method: string
  /** `name: value` each. */
  readonly headers: readonly string[]
  readonly json: boolean
  readonly url: string
}

export async function routeExplain(
  options: RouteExplainOptions,
  terminal: Terminal = contextOf({}).terminal,
): Promise<number> {
  const request = requestOr(options, terminal)
  if (!request) return EXIT.usage
  const paths = typeof options.config === 'string' ? [options.config] : options.config
  const loaded = await loadConfig(paths, terminal)
  if ('code' in loaded) return loaded.code
  const explanation = explainRoute(loaded.config, request)
  if (options.json) terminal.json(explanationJson(explanation))
  else for (const line of explanationLines(explanation, request, terminal)) terminal.say(line)
  return explanation.status === 'routed' ? EXIT.ok : EXIT.negative
}

// ── the request ─────────────────────────────────────────────────────────────────────────────────────────────────────

function requestOr(options: RouteExplainOptions, terminal: Terminal): ExplainRequest | undefined {
  try {
    return parseRequest(options)
  } catch (error) {
    if (!(error instanceof FairleadError)) throw error
    terminal.note(`${terminal.red('error')} ${error.message}`)
    return undefined
  }
}

function parseRequest({ url, method, headers }: RouteExplainOptions): ExplainRequest {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `http://${url}`
  if (!URL.canParse(absolute))
    throw new FairleadError('INVALID_INPUT', `${url} is no URL; write http://worker.mesh/path`)
  const parsed = new URL(absolute)
  if (parsed.username || parsed.password)
    throw new FairleadError('INVALID_INPUT', 'A URL with user or password is refused.')
  const fields = new Map<string, string>()
  for (const header of headers) {
    const [, name, value] = /^([^\s:]+)\s*:\s*(.*)$/.exec(header) ?? []
    if (!name)
      throw new FairleadError('INVALID_INPUT', `--header ${JSON.stringify(header)} is not of the form 'name: value'`)
    // As on the wire: the first field of a name is the one that conditions look at.
    if (!fields.has(name.toLowerCase())) fields.set(name.toLowerCase(), value ?? '')
  }
  return {
    authority: parseAuthority(parsed.host),
    method: method.toUpperCase(),
    // URL has resolved dot segments; the sidecar also merges slashes before it routes.
    path: canonicalSpelling(parsed.pathname).replace(/\/{2,}/g, '/'),
    query: parsed.search,
    header: (name) => fields.get(name),
  }
}

// ── the answer ──────────────────────────────────────────────────────────────────────────────────────────────────────

function explanationJson(explanation: Explanation): unknown {
  if (explanation.status !== 'routed') return { status: explanation.status }
  const { service, rule, lost, filters } = explanation
  const backends = realBackends(explanation).map(({ backend, weight, share }) => ({ name: backend, weight, share }))
  return { service, rule, lost, filters, backends }
}

/** Without the nameless entry that stands for "leads nowhere". */
const realBackends = (explained: Explained): Explained['backends'] =>
  explained.backends.filter((ref) => ref.backend !== '')

function explanationLines(explanation: Explanation, request: ExplainRequest, terminal: Terminal): string[] {
  const asked = `${terminal.bold(request.method)} ${request.path}${request.query}`
  if (explanation.status === 403)
    return [`${asked}  ${terminal.red('403')}  outside the mesh, and no Service names this host`]
  if (explanation.status === 404) {
    const why = explanation.lost.length === 0 ? 'no such service' : 'no rule fits'
    return [
      `${asked}  ${terminal.red('404')}  ${why} (${explanation.service})`,
      ...lostLines(explanation.lost, terminal),
    ]
  }
  return [
    `${asked}  to the service ${terminal.bold(explanation.service)}`,
    '',
    `  taken by  ${terminal.green(ruleText(explanation.rule))}  ${terminal.dim(placeText(explanation.rule))}`,
    ...filterLines(explanation.filters).map((line) => `  filter    ${line}`),
    ...(explanation.path === undefined ? [] : [`  path      becomes ${explanation.path}`]),
    ...backendLines(explanation, terminal),
    ...lostLines(explanation.lost, terminal),
  ]
}

function backendLines(explained: Explained, terminal: Terminal): string[] {
  if (explained.filters.redirect) return []
  const real = realBackends(explained)
  if (explained.backends.length > real.length)
    return [`  answer    ${terminal.red('500')}  no backend has a weight above 0`]
  const rows = real.map((ref) => [
    ref.backend,
    `weight ${ref.weight}`,
    `${formatPercent(ref.share)}${ref.invalid === undefined ? '' : `  ${terminal.red(`500 ${ref.invalid}`)}`}`,
    filterLines(ref.filters).join('; '),
  ])
  return columnsOf(rows).map((line, index) => `  ${index === 0 ? 'sent to ' : '        '}  ${line}`.trimEnd())
}

function lostLines(lost: readonly LostRule[], terminal: Terminal): string[] {
  if (lost.length === 0) return []
  const rows = lost.map(({ rule, why }) => `  ${ruleText(rule)}  ${terminal.dim(placeText(rule))}\n      ${why}`)
  return ['', 'Other rules of this service, in order of precedence:', ...rows]
}

const ruleText = ({ route, index, name }: RuleName): string =>
  `${route} rule ${index + 1}${name === null ? '' : ` (${name})`}`
const placeText = ({ file, line }: RuleName): string => (file === '' ? '' : `${file}:${line}`)
const formatPercent = (share: number): string => `${(share * 100).toFixed(share === 0 || share * 100 >= 1 ? 1 : 3)} %`

function filterLines({ requestHeaders, responseHeaders, rewrite, redirect }: Filters): string[] {
  const edit = (what: string, headers: Filters['requestHeaders']): string[] => [
    ...(headers?.set ?? []).map(({ name, value }) => `${what} header ${name} set to "${value}"`),
    ...(headers?.add ?? []).map(({ name, value }) => `${what} header ${name} gets "${value}" added`),
    ...(headers?.remove ?? []).map((name) => `${what} header ${name} removed`),
  ]
  return [
    ...edit('request', requestHeaders),
    ...edit('response', responseHeaders),
    ...(rewrite?.hostname === undefined ? [] : [`host rewritten to ${rewrite.hostname}`]),
    ...(redirect ? [`redirect, status ${redirect.statusCode}${redirectTarget(redirect)}`] : []),
  ]
}

function redirectTarget({ scheme, hostname, port, path }: NonNullable<Filters['redirect']>): string {
  const parts = [
    scheme && `scheme ${scheme}`,
    hostname && `host ${hostname}`,
    port === undefined ? undefined : `port ${port}`,
    path && `path ${path.value}`,
  ].filter((part) => part !== undefined)
  return parts.length === 0 ? '' : `, ${parts.join(', ')}`
}
