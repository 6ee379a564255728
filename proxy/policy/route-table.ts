// route-table.ts — a snapshot as the request path reads it, and the swap from one to the next.
//
// Owns: what outlives a snapshot, by key: splits by rule id; breakers, budgets, ejections and load by backend name.
// Never: changes a table that was handed out. A new snapshot is a new table, visible whole or not at all.

import type { Authority } from '../../kernel/authority.ts'
import { compileMatcher, type Matcher, type MatchInput } from '../../mesh-config/match.ts'
import type { Inbound, Rule, Service, Snapshot } from '../../mesh-config/snapshot.ts'
import {
  type Authorizer,
  type EndpointState,
  type Fields,
  fieldOf,
  type RouteTable,
  type RuleBackend,
  type RuleEntry,
  type ServiceEntry,
} from '../exchange.ts'
import { compileAuthorizer } from './authorize.ts'
import { BackendState, LiveBackend, type PolicyParts } from './backend.ts'
import { Split } from './split.ts'

/** The table in force; swapped whole. `current` is undefined until the first snapshot. */
export class RouteTables {
  readonly #parts: PolicyParts
  #current: LiveTable | undefined
  #states = new Map<string, BackendState>()
  #splits = new Map<string, Split>()
  readonly #listeners = new Set<(table: RouteTable) => void>()

  constructor(parts: PolicyParts) {
    this.#parts = parts
  }

  get current(): LiveTable | undefined {
    return this.#current
  }

  /** Calls `listener` after each swap; returns the unsubscriber. */
  onSwap(listener: (table: RouteTable) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  swap(snapshot: Snapshot): LiveTable {
    const table = new LiveTable(snapshot, this.#nextStates(snapshot), this.#nextSplits(snapshot))
    this.#current = table
    for (const listener of this.#listeners) listener(table)
    return table
  }

  close(): void {
    for (const state of this.#states.values()) state.close()
    this.#states.clear()
  }

  #nextStates(snapshot: Snapshot): ReadonlyMap<string, BackendState> {
    const before = this.#states
    const next = new Map<string, BackendState>()
    for (const backend of snapshot.backends) {
      const state = before.get(backend.name) ?? new BackendState(backend, this.#parts)
      state.update(backend)
      next.set(backend.name, state)
    }
    for (const [name, state] of before) if (!next.has(name)) state.close()
    this.#states = next
    return next
  }

  #nextSplits(snapshot: Snapshot): ReadonlyMap<string, Split> {
    const next = new Map<string, Split>()
    for (const rule of snapshot.services.flatMap((service) => service.rules)) {
      if (next.has(rule.id)) continue
      next.set(rule.id, new Split(splitKeys(rule), this.#splits.get(rule.id)))
    }
    this.#splits = next
    return next
  }
}

export class LiveTable implements RouteTable {
  readonly snapshot: Snapshot
  readonly authorizer: Authorizer
  readonly #backends: ReadonlyMap<string, LiveBackend>
  readonly #services = new Map<string, LiveService>()

  constructor(snapshot: Snapshot, states: ReadonlyMap<string, BackendState>, splits: ReadonlyMap<string, Split>) {
    this.snapshot = snapshot
    this.authorizer = compileAuthorizer(snapshot.inbound, snapshot.trustDomain)
    this.#backends = new Map(
      snapshot.backends.map((backend) => [backend.name, new LiveBackend(backend, states.get(backend.name)!)]),
    )
    for (const service of snapshot.services) {
      const entry = new LiveService(service, this.#backends, splits)
      this.#services.set(`${service.service}.${service.namespace}.mesh`, entry)
      for (const alias of service.aliases) this.#services.set(alias, entry)
    }
  }

  get inbound(): Inbound {
    return this.snapshot.inbound
  }

  get backends(): Iterable<LiveBackend> {
    return this.#backends.values()
  }

  backend(name: string): LiveBackend | undefined {
    return this.#backends.get(name)
  }

  /** A mesh service has one port, so a mesh authority's is not looked at; an outside one may be named with or without. */
  service(authority: Authority): LiveService | undefined {
    if (authority.kind === 'mesh') return this.#services.get(authority.canonical)
    const host = authority.address === 'ipv6' ? `[${authority.host}]` : authority.host
    const withPort = authority.port === undefined ? undefined : this.#services.get(`${host}:${authority.port}`)
    return withPort ?? this.#services.get(host)
  }
}

class LiveService implements ServiceEntry {
  readonly service: Service
  readonly #match: Matcher
  readonly #rules: ReadonlyMap<Rule, LiveRule>
  readonly #instances = new Map<string, { readonly backend: LiveBackend; readonly endpoint: EndpointState }>()

  constructor(service: Service, backends: ReadonlyMap<string, LiveBackend>, splits: ReadonlyMap<string, Split>) {
    this.service = service
    this.#match = compileMatcher(service.rules)
    this.#rules = new Map(service.rules.map((rule) => [rule, new LiveRule(rule, backends, splits.get(rule.id)!)]))
    for (const backend of reachable(service, backends)) {
      for (const endpoint of backend.endpoints) {
        if (!this.#instances.has(endpoint.endpoint.instance)) {
          this.#instances.set(endpoint.endpoint.instance, { backend, endpoint })
        }
      }
    }
  }

  rule(method: string, path: string, query: string, fields: Fields): LiveRule | undefined {
    const rule = this.#match(new HeadInput(method, path, query, fields))
    return rule && this.#rules.get(rule)
  }

  instance(id: string): { readonly backend: LiveBackend; readonly endpoint: EndpointState } | undefined {
    return this.#instances.get(id)
  }
}

/** What the matcher asks of a request; a class so that the hot path makes one object of one shape. */
class HeadInput implements MatchInput {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly #fields: Fields

  constructor(method: string, path: string, query: string, fields: Fields) {
    this.method = method
    this.path = path
    this.query = query
    this.#fields = fields
  }

  header(name: string): string | undefined {
    return fieldOf(this.#fields, name)
  }
}

export class LiveRule implements RuleEntry {
  readonly rule: Rule
  readonly split: Split
  readonly #to: readonly RuleBackend[]

  constructor(rule: Rule, backends: ReadonlyMap<string, LiveBackend>, split: Split) {
    this.rule = rule
    this.split = split
    this.#to = rule.backends.map((ref) => ({
      ref,
      entry: ref.invalid === undefined ? backends.get(ref.backend) : undefined,
    }))
  }

  next(): RuleBackend | undefined {
    return this.#to[this.split.next()]
  }

  share(units: number): { readonly to: RuleBackend; units: number }[] {
    return this.split
      .share(units)
      .map((share, index) => ({ to: this.#to[index]!, units: share }))
      .filter((share) => share.units > 0)
  }

  giveBack(backend: string, units: number): void {
    this.split.giveBack(backend, units)
  }
}

/** A backend may stand twice in a list (with other filters): the second gets a key of its own. */
function splitKeys(rule: Rule): { key: string; weight: number }[] {
  const seen = new Map<string, number>()
  return rule.backends.map(({ backend, weight }) => {
    const times = seen.get(backend) ?? 0
    seen.set(backend, times + 1)
    return { key: times === 0 ? backend : `${backend}#${times}`, weight }
  })
}

/** Backends that its rules name first (an instance counts for its version), then every other of the same service. */
function* reachable(service: Service, backends: ReadonlyMap<string, LiveBackend>): Iterable<LiveBackend> {
  const named = new Set(service.rules.flatMap((rule) => rule.backends.map((ref) => ref.backend)))
  for (const name of named) {
    const backend = backends.get(name)
    if (backend) yield backend
  }
  for (const backend of backends.values()) {
    const { service: name, namespace } = backend.backend
    if (name === service.service && namespace === service.namespace) yield backend
  }
}
