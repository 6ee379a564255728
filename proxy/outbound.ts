// outbound.ts — the listener for the own app and the path of its requests into the mesh.
//
// One request, outermost first: record (access log, metrics) → rescue → shed → route → time limit → split → retry (budget)
// → balance → breaker → transport. Flat in one class because a stack of closures costs more than the steps (STYLE §9).
// Never: reads YAML, knows how a policy decides, or repeats what retry.ts does not allow.

import type { Clock } from '../kernel/clock.ts'
import { FairleadError } from '../kernel/errors.ts'
import type { Closable } from '../kernel/lifetime.ts'
import { HEADERS } from '../kernel/local-surface.ts'
import type { Log } from '../kernel/log.ts'
import type { Random } from '../kernel/random.ts'
import type { Tracing } from '../kernel/tracing.ts'
import { rewritePath } from '../mesh-config/match.ts'
import type { Filters } from '../mesh-config/snapshot.ts'
import {
  type BackendEntry,
  type EndpointState,
  type Fields,
  fieldOf,
  type IdentitySource,
  type LocalSurface,
  type Observer,
  type ResponseHead,
  type RouteTable,
  type RuleBackend,
  type RuleEntry,
  type ServiceEntry,
} from './exchange.ts'
import type { ParsedRequest } from './http1/request-head.ts'
import type { Channel, RequestSink } from './listen/channel.ts'
import { type Listener, type ListenerLimits, startListener } from './listen/listener.ts'
import type { MuxTimes } from './mux/connection.ts'
import { muxEvents } from './mux/events.ts'
import type { MuxSettings } from './mux/mesh-pool.ts'
import { answerError } from './path/answer.ts'
import { Deadlines } from './path/deadlines.ts'
import { editFields, redirectLocation } from './path/filters.ts'
import { flagOf } from './path/flags.ts'
import { Forwarding, type PathParts } from './path/forwarding.ts'
import { LocalRequest, refuseForeign } from './path/local-request.ts'
import { answerMalformed } from './path/malformed.ts'
import { type OwnFields, parseTimeoutMs, takeOwnFields, withoutMeshFields } from './path/own-fields.ts'
import { isBlameless, isPeerRefusal, isRepickable, isSafeToRepeat, REPICKS_MAX, retryDelayMs } from './path/retry.ts'
import { isForbiddenHost } from './transport/safe-lookup.ts'
import type { UpstreamFailure, UpstreamRequest } from './transport/seam.ts'
import { Transports } from './transport/transports.ts'

/** Requests in flight through one listener; beyond that they are shed before anything is spent on them. */
export const REQUESTS_MAX = 10_000

export interface OutboundOptions {
  readonly host: string
  /** 0 = a free one. */
  readonly port: number
  /** Undefined until the first snapshot. */
  readonly table: () => RouteTable | undefined
  readonly identity: IdentitySource
  readonly localSurface: LocalSurface
  readonly observer: Observer
  readonly tracing: Tracing
  readonly log: Log
  readonly clock: Clock
  readonly random: Random
  /** Ports of this sidecar: a static endpoint on loopback may not name one of them (T10). */
  readonly ownPorts?: () => readonly number[]
  readonly limits?: Partial<ListenerLimits>
  /** False = sidecars are called over HTTP/1.1 only. */
  readonly mux?: boolean
  readonly muxTimes?: Partial<MuxTimes>
}

export interface Outbound extends Closable {
  readonly port: number
  /** Requests in flight. */
  readonly active: number
  readonly connections: number
  /** Takes no new connection; resolves when everything in flight has ended. */
  drain(): Promise<void>
}

export async function startOutbound(options: OutboundOptions): Promise<Outbound> {
  const path = new OutboundPath(options)
  const { host, port, clock, log, observer, limits } = options
  let listener: Listener
  try {
    const more = limits === undefined ? {} : { limits }
    const handler = path
    listener = await startListener({
      direction: 'outbound',
      host,
      port,
      identity: undefined,
      handler,
      clock,
      log,
      observer,
      ...more,
    })
  } catch (error) {
    await path.close()
    throw error
  }
  return {
    port: listener.port,
    get active() {
      return path.active
    },
    get connections() {
      return listener.connections
    },
    drain: () => listener.drain(),
    async close() {
      await listener.close()
      await path.close()
    },
  }
}

class OutboundPath implements PathParts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly observer: Observer
  readonly tracing: Tracing
  readonly deadlines: Deadlines
  readonly transports: Transports
  readonly options: OutboundOptions
  /** Endpoint states belong to one backend each and outlive snapshots. */
  readonly #lines = new WeakMap<EndpointState, string>()
  active = 0

  constructor(options: OutboundOptions) {
    this.options = options
    this.clock = options.clock
    this.random = options.random
    this.log = options.log
    this.observer = options.observer
    this.tracing = options.tracing
    this.deadlines = new Deadlines(options.clock)
    const revoked = () => options.table()?.snapshot.revoked
    const parts = { clock: options.clock, identity: options.identity, revoked }
    this.transports = new Transports(parts, options.mux === false ? undefined : this.#mux(options))
  }

  #mux({ table, log, observer, muxTimes }: OutboundOptions): MuxSettings {
    const self = () => table()?.snapshot.self ?? { instance: '', version: '' }
    return { self, events: muxEvents('outbound', log, observer), times: muxTimes }
  }

  onRequest(channel: Channel, head: ParsedRequest): RequestSink {
    if (head.path.startsWith('/.fairlead/')) return this.#local(channel, head)
    const request = new OutboundRequest(this, channel, head)
    request.start()
    return request
  }

  onMalformed(channel: Channel, error: FairleadError): void {
    answerMalformed(this, 'outbound', channel, error)
  }

  /** Field lines that name backend and instance; the same for every answer of that endpoint. */
  linesOf(state: EndpointState, backend: string): string {
    let lines = this.#lines.get(state)
    if (lines === undefined) {
      lines = `${HEADERS.backend}: ${backend}\r\n${HEADERS.instance}: ${state.endpoint.instance}\r\n`
      this.#lines.set(state, lines)
    }
    return lines
  }

  async close(): Promise<void> {
    await this.transports.close()
    await this.deadlines.close()
  }

  #local(channel: Channel, head: ParsedRequest): RequestSink {
    const request = new LocalRequest(this.options.localSurface, channel, head)
    const refusal = refuseForeign(head)
    if (refusal === undefined) request.start()
    else {
      channel.closeAfter()
      answerError(channel, refusal, '', '')
    }
    return request
  }
}

/** What a caller with `fairlead-instance` gets: that instance and nothing in between. */
interface Chosen {
  readonly backend: BackendEntry
  readonly endpoint: EndpointState
}

class OutboundRequest extends Forwarding {
  readonly #path: OutboundPath
  #pass: Fields = []
  #passLength = 0
  #target = ''
  #host: string
  #rule: RuleEntry | undefined
  #filters: Filters | undefined
  #backend: BackendEntry | undefined
  #endpoint: EndpointState | undefined
  #tried: Set<EndpointState> | undefined
  /** A try is out and its outcome not settled. */
  #trying = false
  #exact = false
  #safe = false
  #retries = 0
  #repicks = 0
  #racedOnce = false
  #callerMs = Number.POSITIVE_INFINITY
  #tryDeadline = false

  constructor(path: OutboundPath, channel: Channel, head: ParsedRequest) {
    super(path, channel, head, 'outbound')
    this.#path = path
    this.#host = head.host
    path.active++
  }

  start(): void {
    try {
      this.#start()
    } catch (thrown) {
      this.rescue(thrown)
    }
  }

  #start(): void {
    const table = this.#path.options.table()
    const own = takeOwnFields(this.head.fields, true)
    this.#pass = own.pass
    this.#safe = isSafeToRepeat(this.head.method, own.idempotencyKey)
    const { instance, quote, retry, timeout } = own
    this.trace(own, table?.snapshot.tracing.samplePercent ?? 0, 'client')
    this.#callerMs = callerMs(timeout)
    this.limitTo(this.#callerMs)
    this.#shed()
    if (table === undefined) throw new FairleadError('NOT_READY', 'This sidecar has no snapshot yet.')
    const service = this.#service(table)
    if (instance !== undefined) {
      this.#toInstance(service, instance, quote, retry)
      return
    }
    this.#route(service, retry)
  }

  /** Refuse before anything is spent. */
  #shed(): void {
    const { head } = this
    if (this.#path.active > REQUESTS_MAX) throw new FairleadError('OVERLOADED', 'Too many requests are in flight here.')
    if (head.method === 'CONNECT') throw new FairleadError('UNSUPPORTED', 'CONNECT is not carried; call http:// names.')
    if (head.upgrade !== '') throw new FairleadError('UNSUPPORTED', 'Protocol upgrades are not carried yet.')
  }

  #service(table: RouteTable): ServiceEntry {
    const { authority, host } = this.head
    const forbidden = authority.kind === 'outside' && isForbiddenHost(authority.host)
    const service = forbidden ? undefined : table.service(authority)
    if (service === undefined) throw new FairleadError('EGRESS_DENIED', `${host} is not a service of the mesh.`)
    this.exchange.service = service.service.service
    return service
  }

  // ── exactly that instance ─────────────────────────────────────────────────────────────────────────────────────────

  /** Bypasses split, balance, ejection and breaker; no route timeout, because dispatches are streams (docs/dispatch.md). */
  #toInstance(service: ServiceEntry, id: string, quote: string | undefined, retry: string | undefined): void {
    const chosen: Chosen | undefined = service.instance(id)
    if (chosen === undefined) throw new FairleadError('INSTANCE_GONE', `No instance ${id} in ${this.head.host}.`)
    this.#exact = true
    this.#backend = chosen.backend
    this.#target = this.head.path + this.head.query
    if (retry === '1') this.#withdraw(chosen.backend)
    else chosen.backend.budget.deposit()
    if (quote !== undefined) this.#path.options.localSurface.drawn(quote, chosen.backend.backend.name)
    this.#limits(chosen.backend)
    this.#try(chosen.backend, chosen.endpoint)
  }

  // ── route and split ───────────────────────────────────────────────────────────────────────────────────────────────

  #route(service: ServiceEntry, retry: string | undefined): void {
    const { head, exchange } = this
    const rule = service.rule(head.method, head.path, head.query, head.fields)
    if (rule === undefined) throw new FairleadError('ROUTE_NOT_FOUND', `No route of ${head.host} fits this request.`)
    this.#rule = rule
    exchange.route = rule.rule.route
    const { filters, timeouts } = rule.rule
    if (filters.redirect !== undefined) {
      this.#redirect(filters.redirect)
      return
    }
    if (timeouts.requestMs !== null) this.limitTo(timeouts.requestMs)
    const to = rule.next()
    if (to?.entry === undefined) throw new FairleadError('BACKEND_INVALID', invalidBackend(to, exchange.route))
    this.#backend = to.entry
    this.#filters = to.ref.filters
    this.#target = this.#applyRequestFilters(filters, to.ref.filters)
    if (retry === '1') this.#withdraw(to.entry)
    else to.entry.budget.deposit()
    this.#pickAndTry(to.entry)
  }

  #redirect(redirect: NonNullable<Filters['redirect']>): void {
    const { host, path, query } = this.head
    this.answer(redirect.statusCode, ['location', redirectLocation(redirect, host, path, query)])
  }

  /** Returns the request target for the app. */
  #applyRequestFilters(ofRule: Filters, ofBackend: Filters): string {
    let { path } = this.head
    for (const filters of [ofRule, ofBackend]) {
      if (filters.requestHeaders !== undefined) this.#pass = editFields(this.#pass, filters.requestHeaders)
      if (filters.rewrite === undefined) continue
      if (filters.rewrite.hostname !== undefined) this.#host = filters.rewrite.hostname
      if (filters.rewrite.path !== undefined) path = rewritePath(filters.rewrite.path, path)
    }
    return path + this.head.query
  }

  /** A repeat by the caller draws on the same budget as ours: one budget for both layers. */
  #withdraw(backend: BackendEntry): void {
    if (backend.budget.withdraw()) return
    this.exchange.backend = backend.backend.name
    throw new FairleadError('RETRY_BUDGET_EXHAUSTED', `The retry budget of ${backend.backend.name} is used up.`, {
      retryAfterS: 1,
    })
  }

  // ── balance, breaker, transport ───────────────────────────────────────────────────────────────────────────────────

  #pickAndTry(backend: BackendEntry): void {
    this.exchange.backend = backend.backend.name
    this.#limits(backend)
    // When every instance was tried, a repeat may go to one of them again.
    const endpoint = backend.pick(this.#tried ?? NOTHING_TRIED) ?? (this.#tried && backend.pick(NOTHING_TRIED))
    if (endpoint === undefined) {
      throw new FairleadError('NO_HEALTHY_INSTANCE', `No instance of ${backend.backend.name} is ready.`)
    }
    if (!backend.breaker.allow()) {
      throw new FairleadError('UPSTREAM_CIRCUIT_OPEN', `${backend.backend.name} failed too often and rests.`, {
        retryAfterS: backend.breaker.reopensInMs() / 1000,
      })
    }
    this.#try(backend, endpoint)
  }

  #limits({ backend, active }: BackendEntry): void {
    const { maxRequests } = backend.policy.limits
    if (active < maxRequests) return
    throw new FairleadError('UPSTREAM_SATURATED', `${maxRequests} requests to ${backend.name} are in flight.`, {
      retryAfterS: 1,
    })
  }

  #try(backend: BackendEntry, state: EndpointState): void {
    const { exchange } = this
    const { endpoint } = state
    this.#endpoint = state
    this.#trying = true
    state.active++
    backend.active++
    exchange.backend = backend.backend.name
    exchange.version = endpoint.version
    exchange.instance = endpoint.instance
    exchange.upstream = state.key
    this.#limitTry()
    this.#refuseOwnAddress(backend, state)
    const { transports } = this.#path
    this.send((request, sink) => transports.open(backend.backend, state, request, sink), this.#request(backend, state))
  }

  /** `backendRequest` bounds one try; the deadline of the whole stays in `#wholeAt`. */
  #wholeAt = Number.POSITIVE_INFINITY
  #limitTry(): void {
    if (this.exchange.attempts === 0) this.#wholeAt = this.deadlineAt
    const tryMs = this.#rule?.rule.timeouts.backendRequestMs ?? null
    if (tryMs === null) return
    const at = this.#path.clock.now() + tryMs
    this.#tryDeadline = at < this.#wholeAt
    this.deadlineAt = Math.min(at, this.#wholeAt)
  }

  #refuseOwnAddress({ backend }: BackendEntry, { endpoint }: EndpointState): void {
    if (backend.transport === 'mesh') return
    const own = this.#path.options.ownPorts?.() ?? []
    if (own.includes(endpoint.port) && /^(127\.|::1$|localhost$|::ffff:127\.)/.test(endpoint.address)) {
      throw new FairleadError('EGRESS_DENIED', 'A listener of this sidecar is not an upstream.')
    }
  }

  #request({ backend }: BackendEntry, { endpoint }: EndpointState): UpstreamRequest {
    // A repeat takes the same array: what the try before added is cut off again.
    const fields = this.#pass
    if (this.exchange.attempts === 0) this.#passLength = fields.length
    else fields.length = this.#passLength
    this.addTraceFields(fields)
    if (backend.transport === 'mesh') {
      fields.push(HEADERS.instance, endpoint.instance)
      if (this.deadlineAt < Number.POSITIVE_INFINITY) fields.push(HEADERS.timeout, this.#leftMs())
    }
    return { method: this.head.method, target: this.#target, host: this.#host, fields, body: this.head.body }
  }

  #leftMs(): string {
    return String(Math.max(1, Math.floor(this.deadlineAt - this.#path.clock.now())))
  }

  // ── outcomes ──────────────────────────────────────────────────────────────────────────────────────────────────────

  onHead(head: ResponseHead): void {
    const refusal = this.#backend?.backend.transport === 'mesh' ? fieldOf(head.fields, HEADERS.error) : undefined
    const ok = head.status < 500
    if (refusal === undefined) this.#settle(ok, false)
    else this.#settleRefusal(refusal)
    if (refusal !== undefined && isRepickable(refusal) && this.#repick()) return
    const codes = this.#rule?.rule.retry.codes
    if (refusal === undefined && codes?.includes(head.status) && this.#mayRepeat() && this.#retry()) return
    this.#passOn(head, refusal)
  }

  #passOn(head: ResponseHead, refusal: string | undefined): void {
    let fields = withoutMeshFields(head.fields, refusal === undefined ? '' : HEADERS.error)
    const ofRule = this.#rule?.rule.filters.responseHeaders
    if (ofRule !== undefined) fields = editFields(fields, ofRule)
    if (this.#filters?.responseHeaders !== undefined) fields = editFields(fields, this.#filters.responseHeaders)
    this.passHead(head, fields)
  }

  protected failed({ error, reached, raced }: UpstreamFailure): void {
    const { code } = error
    const local = code === 'UPSTREAM_SATURATED' || code === 'NOT_READY' || code === 'EGRESS_DENIED'
    this.exchange.flag = flagOf(code)
    const refusal = !reached && isPeerRefusal(code)
    if (refusal) this.#settleRefusal(code)
    else this.#settle(false, local)
    if (raced && (this.#safe || !reached) && !this.#racedOnce && this.replayable) {
      // RFC 9112 §9.3.1: the kept-alive connection closed as we used it; or a mux said GOAWAY. Once, on another connection.
      this.#racedOnce = true
      this.#again(0)
      return
    }
    if (refusal && this.#repick()) return
    const repeatable = reached ? this.#mayRepeat() : this.#mayRetryUnsent()
    if (local || !repeatable || !this.#retry()) this.rescue(error)
  }

  override onDeadline(): void {
    const wholeOver = this.#path.clock.now() >= this.#wholeAt
    if (this.over || this.answering || wholeOver || !this.#tryDeadline) {
      super.onDeadline()
      return
    }
    this.call?.abort()
    this.call = undefined
    this.exchange.flag = 'UT'
    this.#settle(false, false)
    if (!this.#mayRepeat() || !this.#retry()) {
      this.rescue(new FairleadError('UPSTREAM_TIMEOUT', 'No answer within the time that the route allows for one try.'))
    }
  }

  #mayRetryUnsent(): boolean {
    const attempts = this.#rule?.rule.retry.attempts ?? 0
    return this.replayable && !this.#exact && this.#retries < attempts
  }

  /** Bytes may have reached the app: only what is safe to repeat, or what the route's author asked for. */
  #mayRepeat(): boolean {
    return this.#mayRetryUnsent() && (this.#safe || this.#rule?.rule.retry.anyMethod === true)
  }

  /** False = no time or no budget left. */
  #retry(): boolean {
    const backend = this.#backend!
    const delay = retryDelayMs(this.#retries, this.#rule!.rule.retry, this.#path.random)
    if (this.#path.clock.now() + delay >= this.#wholeAt || !backend.budget.withdraw()) return false
    this.#retries++
    this.#again(delay)
    return true
  }

  #repick(): boolean {
    if (this.#exact || this.#repicks >= REPICKS_MAX || !this.replayable) return false
    if (this.#backend!.endpoints.length < 2) return false
    this.#repicks++
    this.#again(0)
    return true
  }

  #again(delayMs: number): void {
    this.call?.abort()
    this.call = undefined
    if (this.#endpoint !== undefined) {
      this.#tried ??= new Set()
      this.#tried.add(this.#endpoint)
    }
    const run = (): void => {
      if (this.over) return
      this.exchange.flag = '-'
      try {
        if (this.#exact) this.#try(this.#backend!, this.#endpoint!)
        else this.#pickAndTry(this.#backend!)
      } catch (thrown) {
        this.rescue(thrown)
      }
    }
    if (delayMs === 0) queueMicrotask(run)
    else this.#path.clock.after(delayMs, run, true)
  }

  // ── accounts ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The try has an outcome. `neither`: it says nothing about backend or instance. */
  #settle(ok: boolean, neither: boolean): void {
    if (!this.#trying) return
    this.#trying = false
    this.#uncount()
    if (this.#exact) return
    if (neither) {
      this.#backend!.breaker.forget()
      return
    }
    this.#backend!.breaker.settle(ok)
    this.#endpoint!.settle(ok)
  }

  #settleRefusal(code: string): void {
    if (!this.#trying) return
    const blameless = isBlameless(code) || code === 'POLICY_DENIED'
    if (code === 'ENDPOINT_MISMATCH' && !this.#exact) this.#endpoint!.settle(false)
    this.#settle(code !== 'UPSTREAM_CONNECT_FAILED', blameless || code === 'ENDPOINT_MISMATCH')
  }

  #uncount(): void {
    this.#endpoint!.active--
    this.#backend!.active--
  }

  protected release(): void {
    this.#path.active--
    this.#settle(false, true)
  }

  protected ownLines(): string {
    if (this.#endpoint !== undefined) return this.#path.linesOf(this.#endpoint, this.exchange.backend)
    const { backend } = this.exchange
    return backend === '' ? '' : `${HEADERS.backend}: ${backend}\r\n`
  }
}

const NOTHING_TRIED: ReadonlySet<EndpointState> = new Set()

function callerMs(timeout: OwnFields['timeout']): number {
  const ms = parseTimeoutMs(timeout)
  if (ms === undefined) throw new FairleadError('BAD_REQUEST', `${HEADERS.timeout} is not a number of milliseconds.`)
  if (ms === 0) throw new FairleadError('UPSTREAM_TIMEOUT', 'The caller has no time left.')
  return ms
}

function invalidBackend(to: RuleBackend | undefined, route: string): string {
  return to === undefined ? `Route ${route} names no backend.` : `Route ${route}: backend ${to.ref.backend} is invalid.`
}
