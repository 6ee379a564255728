// exchange.ts — the words of the request path: heads, the record of one exchange, and the parts that layers read.
//
// Wire side (http1/, transport/, listen/) and policy side (policy/, control/) meet here and nowhere else. The request
// path (outbound.ts, inbound.ts) holds both. Hot: plain objects with a fixed shape, no allocation per header lookup.

import type { Authority } from '../kernel/authority.ts'
import type { ErrorCode } from '../kernel/errors.ts'
import type { TraceContext } from '../kernel/tracing.ts'
import type { Backend, BackendRef, Endpoint, Inbound, Rule, Service, Snapshot } from '../mesh-config/snapshot.ts'

/** Header fields in wire order: name, value, name, value …; names lower-case, values trimmed, Latin-1. */
export type Fields = string[]

export interface RequestHead {
  readonly method: string
  /** Canonical path without query: what routing, policy, and the app all see. */
  readonly path: string
  /** With its `?`, or ''. */
  readonly query: string
  readonly authority: Authority
  /** Hop-by-hop and framing fields already taken out. */
  readonly fields: Fields
  /** Exact length, 'chunked', or 0 for none. */
  readonly body: number | 'chunked'
}

export interface ResponseHead {
  readonly status: number
  readonly fields: Fields
  readonly body: number | 'chunked' | 'until-close'
  /** The lines of `fields` as they came, checked, each with CR LF: cheaper to pass on than the fields. */
  readonly lines?: string | undefined
}

/** Value of the first field of that name (lower-case). */
export function fieldOf(fields: Fields, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]
  return undefined
}

/** Response flags of the field (reference: Envoy); '-' = none. */
export type Flag =
  | '-'
  | 'UH'
  | 'UF'
  | 'UO'
  | 'NR'
  | 'URX'
  | 'UT'
  | 'DC'
  | 'UR'
  | 'UC'
  | 'UPE'
  | 'RL'
  | 'OM'
  | 'DPE'
  | 'UAEX'
  | 'LH'

/** One request through this sidecar, filled in on its way; access log, metrics and spans read it at the end. */
export interface Exchange {
  readonly direction: 'outbound' | 'inbound'
  readonly startedMs: number
  readonly requestId: string
  trace: TraceContext
  method: string
  path: string
  authority: string
  /** `<namespace>/<route>`; '' = none. */
  route: string
  /** Destination service, '' until routed. */
  service: string
  backend: string
  version: string
  instance: string
  upstream: string
  /** Peer identity, inbound. */
  principal: string
  status: number
  flag: Flag
  /** Error code when we made the answer. */
  error: ErrorCode | ''
  attempts: number
  bytesIn: number
  bytesOut: number
  /** Milliseconds of the upstream's part, from first byte sent to response head. */
  upstreamMs: number
}

// ── policy side, as the request path uses it ────────────────────────────────────────────────────────────────────────

/** All that a snapshot became; swapped whole. State that must survive a swap (breakers, ejections, budgets, split
 *  remainders) is carried over by key inside. */
export interface RouteTable {
  readonly snapshot: Snapshot
  /** Undefined = not a service of the mesh: egress denied. */
  service(authority: Authority): ServiceEntry | undefined
  backend(name: string): BackendEntry | undefined
  /** Every backend of this table. */
  readonly backends: Iterable<BackendEntry>
  readonly inbound: Inbound
}

export interface ServiceEntry {
  readonly service: Service
  /** `header` looks up a request header by lower-case name. */
  rule(method: string, path: string, query: string, fields: Fields): RuleEntry | undefined
  /** Endpoint of any backend of this service by instance id, for `fairlead-instance`. */
  instance(id: string): { readonly backend: BackendEntry; readonly endpoint: EndpointState } | undefined
}

export interface RuleEntry {
  readonly rule: Rule
  /** Next backend of the split: smooth, exact in units (one unit a request). Undefined = no backend (500). */
  next(): RuleBackend | undefined
  /** `units` at once, remainder carried; same state as `next`. */
  share(units: number): { readonly to: RuleBackend; units: number }[]
  /** Gives unused units back. */
  giveBack(backend: string, units: number): void
}

export interface RuleBackend {
  readonly ref: BackendRef
  /** Undefined when `ref.invalid` is set. */
  readonly entry: BackendEntry | undefined
}

export interface BackendEntry {
  readonly backend: Backend
  readonly breaker: Breaker
  readonly budget: RetryBudget
  /** P2C on least load (or round robin) among those that are not ejected, skipping `tried`; undefined = none (UH). */
  pick(tried: ReadonlySet<EndpointState>): EndpointState | undefined
  readonly endpoints: readonly EndpointState[]
  /** Requests in flight over all endpoints; the path counts up and down. */
  active: number
}

export interface EndpointState {
  readonly endpoint: Endpoint
  /** `address:port`, the key of connection pools. */
  readonly key: string
  active: number
  readonly ejected: boolean
  /** Settles one request at its response head: feeds outlier detection. Refusals by limits are neither. */
  settle(ok: boolean): void
}

/** One opossum per backend. */
export interface Breaker {
  readonly state: 'closed' | 'open' | 'halfOpen'
  readonly opened: number
  /** May one request pass? In half-open the first caller gets the probe, the others false. */
  allow(): boolean
  /** At response headers, or by the scheduler's outcomes; each `allow() === true` is settled exactly once. */
  settle(ok: boolean): void
  /** Instead of `settle`: gives the permit back without a verdict (the client left, or a limit of ours refused). */
  forget(): void
  /** Milliseconds until a probe is let through; 0 unless open. */
  reopensInMs(): number
}

export interface RetryBudget {
  /** A first try passed: earns. */
  deposit(): void
  /** Takes one retry; false = exhausted. */
  withdraw(): boolean
}

export interface Authorizer {
  /** `rule` names the policy that decided, for log and metric. */
  check(principal: string, method: string, path: string): { readonly allowed: boolean; readonly rule: string }
}

/** Outcome of the whole exchange, called once by the path; implementations log and count. */
export interface Observer {
  done(exchange: Exchange): void
  /** Connections of a listener: gauges and counters. `refused` carries a short stable reason (bounded set). */
  connection(direction: 'outbound' | 'inbound', change: 'opened' | 'closed' | 'refused', reason?: string): void
  /** A mux stream or connection was refused; `code` is of docs/mux.md. `outbound` = by us as the client. */
  muxRefused?(direction: 'outbound' | 'inbound', code: string): void
}

// ── own app and own identity, as the listeners use them ─────────────────────────────────────────────────────────────

/** `/.fairlead/*` on the outbound listener; the listener has checked Host and Origin and bounded the body. */
export interface LocalSurface {
  /** `path` without query. Rejections become problem documents. */
  handle(method: string, path: string, fields: Fields, body: Buffer): Promise<LocalAnswer>
  /** A request with `fairlead-quote` went to that backend: its share of the quote counts as drawn. */
  drawn(quote: string, backend: string): void
}

export interface LocalAnswer {
  readonly status: number
  /** JSON value, or undefined for an empty body. */
  readonly body: unknown
}

/** Who this sidecar is; swapped whole when renewed. */
export interface Identity {
  readonly spiffeId: string
  readonly trustDomain: string
  /** PKCS#8. */
  readonly keyPem: string
  /** Leaf first, then intermediates. */
  readonly chainPem: string
  /** Roots of the trust domain, DER. */
  readonly bundleDer: readonly Uint8Array[]
}

export interface IdentitySource {
  /** Undefined until the first certificate (standalone without certificates: for ever). */
  current(): Identity | undefined
  /** Calls `listener` after each swap; returns the unsubscriber. */
  onChange(listener: () => void): () => void
}
