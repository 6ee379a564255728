// inbound.ts — the listener for other sidecars and the path of their requests to the own app.
//
// One request, outermost first: record → rescue → shed → instance check → time limit → authorize → local app. The peer was
// verified by the listener; who it is decides, and the app learns it from `x-forwarded-client-cert`, set here only.

import type { Clock } from '../kernel/clock.ts'
import { FairleadError } from '../kernel/errors.ts'
import type { Closable } from '../kernel/lifetime.ts'
import { HEADERS } from '../kernel/local-surface.ts'
import type { Log } from '../kernel/log.ts'
import type { Random } from '../kernel/random.ts'
import type { Tracing } from '../kernel/tracing.ts'
import type { Authorizer, Fields, IdentitySource, Observer, ResponseHead, RouteTable } from './exchange.ts'
import type { ParsedRequest } from './http1/request-head.ts'
import type { Channel, Peer, RequestSink } from './listen/channel.ts'
import { type Listener, type ListenerLimits, type MuxListening, startListener } from './listen/listener.ts'
import type { MuxTimes } from './mux/connection.ts'
import { Deadlines } from './path/deadlines.ts'
import { flagOf } from './path/flags.ts'
import { Forwarding, type PathParts } from './path/forwarding.ts'
import { answerMalformed } from './path/malformed.ts'
import { parseTimeoutMs, takeOwnFields, withoutMeshFields } from './path/own-fields.ts'
import { isSafeToRepeat } from './path/retry.ts'
import { Pool } from './transport/pool.ts'
import type { Limits, UpstreamFailure } from './transport/seam.ts'

export const INBOUND_REQUESTS_MAX = 10_000

/** Idle below the 5 s after which a Node server closes: a request must not meet that (reference/reliability.md §2.2). */
export const APP_LIMITS: Limits = {
  maxConnections: 1_024,
  maxPendingRequests: 1_024,
  connectTimeoutMs: 100,
  idleTimeoutMs: 4_000,
}

/** A sidecar of another host keeps its connections; a mesh peer is authenticated, so idle ones may stay. */
const PEER_IDLE_MS = 3_600_000

export interface InboundOptions {
  readonly host: string
  readonly port: number
  readonly app: { readonly host: string; readonly port: number }
  /** Own instance id: requests meant for another one are refused. */
  readonly instance: string
  readonly table: () => RouteTable | undefined
  /** Authorizer of the table in force. */
  readonly authorizer: () => Authorizer | undefined
  readonly identity: IdentitySource
  /** Standalone mode without certificates: plain text, nobody is verified. */
  readonly dangerPlainText?: boolean
  readonly observer: Observer
  readonly tracing: Tracing
  readonly log: Log
  readonly clock: Clock
  readonly random: Random
  readonly limits?: Partial<ListenerLimits>
  readonly appLimits?: Partial<Limits>
  /** False = peers are served over HTTP/1.1 only. */
  readonly mux?: boolean
  readonly muxTimes?: Partial<MuxTimes>
}

export interface Inbound extends Closable {
  readonly port: number
  readonly active: number
  readonly connections: number
  drain(): Promise<void>
}

export async function startInbound(options: InboundOptions): Promise<Inbound> {
  const path = new InboundPath(options)
  const { host, port, clock, log, observer } = options
  let listener: Listener
  try {
    listener = await startListener({
      direction: 'inbound',
      host,
      port,
      identity: options.dangerPlainText === true ? undefined : options.identity,
      revoked: () => options.table()?.snapshot.revoked,
      handler: path,
      clock,
      log,
      observer,
      limits: { idleTimeoutMs: PEER_IDLE_MS, ...options.limits },
      ...(options.mux === false ? {} : { mux: muxOf(options) }),
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

function muxOf({ instance, table, muxTimes }: InboundOptions): MuxListening {
  return { self: () => ({ instance, version: table()?.snapshot.self.version ?? '' }), times: muxTimes }
}

const SWEEP_MS = 500

class InboundPath implements PathParts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly observer: Observer
  readonly tracing: Tracing
  readonly deadlines: Deadlines
  readonly options: InboundOptions
  readonly app: Pool
  readonly appEndpoint: { key: string; endpoint: { address: string; port: number } }
  active = 0
  readonly #sweep: { cancel(): void }

  constructor(options: InboundOptions) {
    this.options = options
    this.clock = options.clock
    this.random = options.random
    this.log = options.log
    this.observer = options.observer
    this.tracing = options.tracing
    this.deadlines = new Deadlines(options.clock)
    const { host, port } = options.app
    this.appEndpoint = { key: `${host}:${port}`, endpoint: { address: host, port } }
    this.app = new Pool({ clock: options.clock, identity: options.identity }, '', {
      ...APP_LIMITS,
      ...options.appLimits,
    })
    this.#sweep = options.clock.every(SWEEP_MS, () => this.app.sweep())
  }

  onRequest(channel: Channel, head: ParsedRequest): RequestSink {
    const request = new InboundRequest(this, channel, head)
    request.start()
    return request
  }

  onMalformed(channel: Channel, error: FairleadError): void {
    answerMalformed(this, 'inbound', channel, error)
  }

  async close(): Promise<void> {
    this.#sweep.cancel()
    this.app.destroy()
    await this.deadlines.close()
  }
}

class InboundRequest extends Forwarding {
  readonly #path: InboundPath
  #fields: Fields = []
  #safe = false
  #racedOnce = false

  constructor(path: InboundPath, channel: Channel, head: ParsedRequest) {
    super(path, channel, head, 'inbound')
    this.#path = path
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
    const { head, exchange } = this
    const { options } = this.#path
    const table = options.table()
    const own = takeOwnFields(head.fields, false)
    this.#fields = own.pass
    this.#safe = isSafeToRepeat(head.method, own.idempotencyKey)
    const { instance, timeout } = own
    this.trace(own, 0, 'server')
    exchange.instance = options.instance
    exchange.upstream = this.#path.appEndpoint.key
    this.#shed(instance)
    this.#describe(table)
    this.limitTo(callerMs(timeout))
    this.limitTo(table?.inbound.requestTimeoutMs ?? Number.POSITIVE_INFINITY)
    this.#authorize(options.authorizer())
    this.#addFields()
    this.#open()
  }

  #shed(instance: string | undefined): void {
    const { active, options } = this.#path
    if (active > INBOUND_REQUESTS_MAX) throw new FairleadError('OVERLOADED', 'Too many requests are in flight here.')
    if (this.head.method === 'CONNECT') throw new FairleadError('UNSUPPORTED', 'CONNECT is not carried.')
    if (this.head.upgrade !== '') throw new FairleadError('UNSUPPORTED', 'Protocol upgrades are not carried yet.')
    if (instance !== undefined && instance !== options.instance) {
      throw new FairleadError('ENDPOINT_MISMATCH', `This is ${options.instance}, not ${instance.slice(0, 80)}.`)
    }
  }

  #describe(table: RouteTable | undefined): void {
    if (table === undefined) throw new FairleadError('NOT_READY', 'This sidecar has no snapshot yet.')
    this.exchange.service = table.snapshot.self.service
    this.exchange.version = table.snapshot.self.version
  }

  /** Without an authorizer nothing passes: policy fails closed. */
  #authorize(authorizer: Authorizer | undefined): void {
    const { method, path } = this.head
    if (path.startsWith('/.fairlead/')) throw new FairleadError('POLICY_DENIED', 'That path belongs to the sidecar.')
    if (authorizer === undefined) throw new FairleadError('NOT_READY', 'This sidecar has no policy yet.')
    const { allowed, rule } = authorizer.check(this.channel.peer.spiffeId, method, path)
    this.exchange.route = rule
    if (!allowed) throw new FairleadError('POLICY_DENIED', 'The policy of this service does not allow this caller.')
  }

  #addFields(): void {
    const { peer } = this.channel
    const fields = this.#fields
    this.addTraceFields(fields)
    fields.push('x-forwarded-for', peer.address, 'x-forwarded-proto', 'http')
    if (peer.spiffeId !== '') fields.push('x-forwarded-client-cert', this.#clientCert(peer))
    if (this.deadlineAt < Number.POSITIVE_INFINITY) {
      fields.push(HEADERS.timeout, String(Math.max(1, Math.floor(this.deadlineAt - this.#path.clock.now()))))
    }
  }

  /** Envoy's format, so that frameworks that know it read it. */
  #clientCert(peer: Peer): string {
    const by = this.#path.options.identity.current()?.spiffeId ?? ''
    return `By=${by};Hash=${peer.certificateHash};URI=${peer.spiffeId}`
  }

  #open(): void {
    const { head } = this
    const { app, appEndpoint } = this.#path
    const request = {
      method: head.method,
      target: head.path + head.query,
      host: head.host,
      fields: this.#fields,
      body: head.body,
    }
    this.send((upstream, sink) => app.open(appEndpoint, upstream, sink), request)
  }

  onHead(head: ResponseHead): void {
    this.passHead(head, withoutMeshFields(head.fields, ''))
  }

  protected failed({ error, raced }: UpstreamFailure): void {
    if (raced && this.#safe && !this.#racedOnce && this.replayable) {
      // RFC 9112 §9.3.1: the app closed the kept-alive connection as we used it. Once, on another connection.
      this.#racedOnce = true
      queueMicrotask(() => this.#again())
      return
    }
    this.exchange.flag = flagOf(error.code)
    this.rescue(error)
  }

  #again(): void {
    if (!this.over) this.#open()
  }

  protected release(): void {
    this.#path.active--
  }

  protected ownLines(): string {
    return ''
  }
}

function callerMs(timeout: string | undefined): number {
  const ms = parseTimeoutMs(timeout)
  if (ms === undefined) throw new FairleadError('BAD_REQUEST', `${HEADERS.timeout} is not a number of milliseconds.`)
  if (ms === 0) throw new FairleadError('UPSTREAM_TIMEOUT', 'The caller has no time left.')
  return ms
}
