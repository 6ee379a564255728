// routes.ts — which part of Consul's HTTP API is served, and by what.
//
// Owns: the table of paths. Each handler returns an answer; reads carry the index that a blocking query waits on.

import type { Catalog, ServiceRecord } from './catalog.ts'
import { entryView, type KeyValues } from './kv.ts'
import { Refusal } from './refusal.ts'
import { type CheckStatus, parseRegistration, parseStatus } from './registration.ts'
import { flagOf, jsonBody, type RegistryRequest, unsignedOf } from './request.ts'
import { type Sessions, sessionView } from './sessions.ts'
import * as view from './views.ts'

export interface Parts {
  readonly node: view.Node
  readonly catalog: Catalog
  readonly kv: KeyValues
  readonly sessions: Sessions
  port(): number
}

export interface Answer {
  readonly status?: number
  readonly json?: unknown
  readonly raw?: Buffer
}

/** A read may wait until `index()` moves past what the caller has seen; a write has no index. */
export interface Handled {
  readonly index?: () => number
  answer(): Answer
}

type Handler = (request: RegistryRequest, parts: Parts, name: string) => Handled
interface Route {
  readonly pattern: RegExp
  readonly methods: Readonly<Record<string, Handler>>
}

const write = (run: () => Answer): Handled => ({ answer: run })

const ROUTES: readonly Route[] = [
  { pattern: /^status\/leader$/, methods: { GET: (_r, p) => write(() => ({ json: `${p.node.address}:8300` })) } },
  { pattern: /^status\/peers$/, methods: { GET: (_r, p) => write(() => ({ json: [`${p.node.address}:8300`] })) } },
  { pattern: /^agent\/self$/, methods: { GET: (_r, p) => write(() => ({ json: view.agentSelf(p.node, p.port()) })) } },
  { pattern: /^agent\/services$/, methods: { GET: (_r, p) => write(() => ({ json: agentServices(p) })) } },
  { pattern: /^agent\/checks$/, methods: { GET: (_r, p) => write(() => ({ json: agentChecks(p) })) } },
  { pattern: /^agent\/service\/register$/, methods: { PUT: (r, p) => write(() => register(r, p)) } },
  { pattern: /^agent\/service\/deregister\/(.+)$/, methods: { PUT: (_r, p, id) => write(() => deregister(p, id)) } },
  { pattern: /^agent\/check\/update\/(.+)$/, methods: { PUT: (r, p, id) => write(() => update(r, p, id)) } },
  { pattern: /^agent\/check\/pass\/(.+)$/, methods: { PUT: (r, p, id) => beat(r, p, id, 'passing') } },
  { pattern: /^agent\/check\/warn\/(.+)$/, methods: { PUT: (r, p, id) => beat(r, p, id, 'warning') } },
  { pattern: /^agent\/check\/fail\/(.+)$/, methods: { PUT: (r, p, id) => beat(r, p, id, 'critical') } },
  { pattern: /^catalog\/nodes$/, methods: { GET: (_r, p) => catalogNodes(p) } },
  { pattern: /^catalog\/services$/, methods: { GET: (_r, p) => catalogServices(p) } },
  { pattern: /^catalog\/service\/(.+)$/, methods: { GET: (r, p, name) => catalogService(r, p, name) } },
  { pattern: /^health\/service\/(.+)$/, methods: { GET: (r, p, name) => healthService(r, p, name) } },
  { pattern: /^health\/checks\/(.+)$/, methods: { GET: (_r, p, name) => healthChecks(p, name) } },
  {
    pattern: /^kv\/(.*)$/s,
    methods: {
      GET: (r, p, key) => getKey(r, p, key),
      PUT: (r, p, key) => write(() => putKey(r, p, key)),
      DELETE: (r, p, key) => write(() => deleteKey(r, p, key)),
    },
  },
  {
    pattern: /^session\/create$/,
    methods: { PUT: (r, p) => write(() => ({ json: { ID: p.sessions.create(jsonBody(r)).id } })) },
  },
  { pattern: /^session\/list$/, methods: { GET: (_r, p) => sessionList(p) } },
  { pattern: /^session\/info\/(.+)$/, methods: { GET: (_r, p, id) => sessionInfo(p, id) } },
  { pattern: /^session\/renew\/(.+)$/, methods: { PUT: (_r, p, id) => write(() => renew(p, id)) } },
  { pattern: /^session\/destroy\/(.+)$/, methods: { PUT: (_r, p, id) => write(() => destroy(p, id)) } },
]

/** @throws Refusal 404 or 405 */
export function route(request: RegistryRequest, parts: Parts): Handled {
  const path = request.path.join('/')
  for (const { pattern, methods } of ROUTES) {
    const match = pattern.exec(path)
    if (!match) continue
    const handler = methods[request.method]
    if (!handler) throw new Refusal(405, `method ${request.method} not allowed`)
    return handler(request, parts, match[1] ?? '')
  }
  throw new Refusal(404, '')
}

// ── agent ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function agentServices(parts: Parts): unknown {
  return Object.fromEntries(parts.catalog.all().map((record) => [record.registration.id, view.agentService(record)]))
}

function agentChecks(parts: Parts): unknown {
  const checks = parts.catalog.all().flatMap((record) => checksOf(record, parts))
  return Object.fromEntries(checks.map((check) => [check['CheckID'], { ...check, CreateIndex: 0, ModifyIndex: 0 }]))
}

const checksOf = (record: ServiceRecord, parts: Parts): Readonly<Record<string, unknown>>[] =>
  view.sortedChecks(record).map((check) => view.checkView(parts.node, record, check))

function register(request: RegistryRequest, parts: Parts): Answer {
  parts.catalog.register(parseRegistration(jsonBody(request)))
  return {}
}

function deregister(parts: Parts, id: string): Answer {
  parts.catalog.deregister(id)
  return {}
}

function beat(request: RegistryRequest, parts: Parts, id: string, status: CheckStatus): Handled {
  return write(() => {
    parts.catalog.updateCheck(id, status, request.query.get('note') ?? '')
    return {}
  })
}

function update(request: RegistryRequest, parts: Parts, id: string): Answer {
  const body = jsonBody(request)
  if (typeof body !== 'object' || body === null) throw new Refusal(400, 'Request decode failed: EOF')
  const { Status, Output } = body as { Status?: unknown; Output?: unknown }
  if (Output !== undefined && typeof Output !== 'string') throw new Refusal(400, 'Request decode failed: Output')
  parts.catalog.updateCheck(id, parseStatus(String(Status ?? '')), Output ?? '')
  return {}
}

// ── catalog and health ──────────────────────────────────────────────────────────────────────────────────────────────

function catalogNodes(parts: Parts): Handled {
  return { index: () => parts.node.index, answer: () => ({ json: [view.nodeView(parts.node)] }) }
}

function catalogServices(parts: Parts): Handled {
  const answer = (): Answer => ({ json: { consul: [], ...Object.fromEntries(parts.catalog.names()) } })
  return { index: () => parts.catalog.servicesIndex, answer }
}

function catalogService(request: RegistryRequest, parts: Parts, name: string): Handled {
  const answer = (): Answer => ({ json: tagged(request, parts, name).map((r) => view.catalogEntry(parts.node, r)) })
  return { index: () => parts.catalog.indexOf(name), answer }
}

function healthService(request: RegistryRequest, parts: Parts, name: string): Handled {
  const wanted = flagOf(request.query, 'passing')
    ? (record: ServiceRecord): boolean => [...record.checks.values()].every((check) => check.status === 'passing')
    : (): boolean => true
  const entries = (): unknown[] =>
    tagged(request, parts, name)
      .filter(wanted)
      .map((record) => view.healthEntry(parts.node, record))
  return { index: () => parts.catalog.indexOf(name), answer: () => ({ json: entries() }) }
}

function healthChecks(parts: Parts, name: string): Handled {
  const answer = (): Answer => ({ json: parts.catalog.byName(name).flatMap((record) => checksOf(record, parts)) })
  return { index: () => parts.catalog.indexOf(name), answer }
}

function tagged(request: RegistryRequest, parts: Parts, name: string): ServiceRecord[] {
  const tags = request.query.getAll('tag')
  return parts.catalog.byName(name).filter((record) => tags.every((tag) => record.registration.tags.includes(tag)))
}

// ── kv ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

function getKey(request: RegistryRequest, parts: Parts, key: string): Handled {
  const { query } = request
  if (flagOf(query, 'keys')) {
    const keys = (): string[] => namesUnder(parts.kv, key, query.get('separator') ?? '')
    return { index: () => parts.kv.indexUnder(key), answer: () => listAnswer(keys()) }
  }
  if (flagOf(query, 'recurse')) {
    const entries = (): unknown[] => parts.kv.under(key).map(entryView)
    return { index: () => parts.kv.indexUnder(key), answer: () => listAnswer(entries()) }
  }
  if (key === '') throw new Refusal(400, 'Missing key name')
  return { index: () => parts.kv.indexOf(key), answer: () => entryAnswer(parts.kv, key, flagOf(query, 'raw')) }
}

const listAnswer = (list: readonly unknown[]): Answer => (list.length === 0 ? { status: 404 } : { json: list })

function entryAnswer(kv: KeyValues, key: string, raw: boolean): Answer {
  const entry = kv.get(key)
  if (!entry) return { status: 404 }
  return raw ? { raw: entry.value } : { json: [entryView(entry)] }
}

/** Keys up to and including the first separator after the prefix, each once. */
function namesUnder(kv: KeyValues, prefix: string, separator: string): string[] {
  const names = kv.under(prefix).map(({ key }) => {
    const at = separator === '' ? -1 : key.indexOf(separator, prefix.length)
    return at < 0 ? key : key.slice(0, at + separator.length)
  })
  return [...new Set(names)]
}

function putKey(request: RegistryRequest, parts: Parts, key: string): Answer {
  if (key === '') throw new Refusal(400, 'Missing key name')
  const cas = unsignedOf(request.query, 'cas')
  const acquire = request.query.get('acquire') ?? undefined
  const release = request.query.get('release') ?? undefined
  refuseConflict({ cas, acquire, release })
  const flags = unsignedOf(request.query, 'flags') ?? 0
  return { json: parts.kv.put(key, { value: request.body, flags, cas, acquire, release }) }
}

function refuseConflict(flags: Readonly<Record<string, string | number | undefined>>): void {
  const given = Object.entries(flags).filter(([, value]) => value !== undefined)
  if (given.length < 2) return
  const text = given
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join('&')
  throw new Refusal(400, `Conflicting flags: ${text}`)
}

function deleteKey(request: RegistryRequest, parts: Parts, key: string): Answer {
  if (flagOf(request.query, 'recurse')) {
    parts.kv.deleteUnder(key)
    return { json: true }
  }
  if (key === '') throw new Refusal(400, 'Missing key name')
  return { json: parts.kv.delete(key, unsignedOf(request.query, 'cas')) }
}

// ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────

function sessionList(parts: Parts): Handled {
  const list = (): unknown[] => parts.sessions.list().map((session) => sessionView(session, parts.node.name))
  return { index: () => parts.sessions.tableIndex, answer: () => ({ json: list() }) }
}

function sessionInfo(parts: Parts, id: string): Handled {
  const found = (): unknown[] => {
    const session = parts.sessions.find(id)
    return session ? [sessionView(session, parts.node.name)] : []
  }
  return { index: () => parts.sessions.tableIndex, answer: () => ({ json: found() }) }
}

function renew(parts: Parts, id: string): Answer {
  return { json: [sessionView(parts.sessions.renew(id), parts.node.name)] }
}

function destroy(parts: Parts, id: string): Answer {
  parts.sessions.destroy(id)
  return { json: true }
}
