// pool.ts — connections of one backend: kept alive per endpoint, bounded over all of them, with one bounded queue.
//
// A call takes an idle connection of its endpoint (last used first), else it waits in line while connections are dialled,
// and takes the first one that is there: dialled, or freed by another call. So a burst never dials more than DIALS_MAX at
// once (a storm of handshakes makes all of them miss their time), and nobody waits for a handshake that nobody needs.
// A dial that fails tells the calls that waited when it began; all of them when the endpoint has no other connection.
// Never: repeats a request. It says what is known about where the bytes got to; retry.ts decides.

import { isRevoked } from '../../certs/revoked.ts'
import type { Clock } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { Identity } from '../exchange.ts'
import { ALPN } from '../tls-context.ts'
import { type Dialled, type DialParts, dial } from './dial.ts'
import { type CallOwner, Http1Call } from './http1-call.ts'
import { type ConnectionOwner, Http1Connection } from './http1-connection.ts'
import type { Limits, ResponseSink, UpstreamCall, UpstreamRequest } from './seam.ts'

/** An EndpointState is one. */
export interface PoolEndpoint {
  /** `address:port` */
  readonly key: string
  readonly endpoint: { readonly address: string; readonly port: number; readonly instance?: string }
}

interface Kept {
  readonly connection: Http1Connection
  readonly lane: Lane
  /** End of the peer's proof, by the wall clock; the sweep compares it. */
  readonly validUntil: number
  expired: boolean
  /** Of the peer's certificate; '' = plain. */
  readonly serial: string
  /** The identity that it was opened with; another one now = not reused. */
  readonly identity: Identity | undefined
}

/** Connections and calls of one endpoint. */
interface Lane {
  readonly endpoint: PoolEndpoint
  readonly idle: Kept[]
  /** In line, oldest first. */
  readonly waiting: Waiting[]
  /** Dialling ones included. */
  connections: number
  dialling: number
}

interface Waiting {
  readonly call: Http1Call
  /** Place in the order of everything that happened to this pool. */
  readonly order: number
}

/** Handshakes under way to one endpoint. */
const DIALS_MAX = 16

export class Pool implements CallOwner, ConnectionOwner {
  limits: Limits
  readonly #parts: DialParts
  readonly #clock: Clock
  /** SPIFFE ID of every endpoint; '' = plain. */
  readonly #identity: string
  readonly #lanes = new Map<string, Lane>()
  readonly #kept = new Map<Http1Connection, Kept>()
  readonly #dialling = new Set<{ destroy(): void }>()
  #connections = 0
  #waiting = 0
  #order = 0
  #closed = false
  #retired = false

  constructor(parts: DialParts, identity: string, limits: Limits) {
    this.#parts = parts
    this.#clock = parts.clock
    this.#identity = identity
    this.limits = limits
  }

  get connections(): number {
    return this.#connections
  }

  get pending(): number {
    return this.#waiting
  }

  open(endpoint: PoolEndpoint, request: UpstreamRequest, sink: ResponseSink): UpstreamCall {
    const call = new Http1Call(this, request, sink)
    const lane = this.#lane(endpoint)
    const kept = this.#takeIdle(lane)
    if (kept !== undefined) kept.connection.start(call)
    else if (this.#waiting - this.#dialling.size >= this.limits.maxPendingRequests && !this.#mayDial(lane)) {
      queueMicrotask(() => call.fail(saturated(this.limits), false, false))
    } else this.#wait(lane, call)
    return call
  }

  /** CallOwner: the call is over before it had a connection. */
  cancel(call: Http1Call): void {
    for (const lane of this.#lanes.values()) {
      const at = lane.waiting.findIndex((waiting) => waiting.call === call)
      if (at < 0) continue
      lane.waiting.splice(at, 1)
      this.#waiting--
      return
    }
  }

  /** ConnectionOwner */
  released(connection: Http1Connection): void {
    const kept = this.#kept.get(connection)
    if (kept === undefined || this.#closed || !this.#fresh(kept)) {
      connection.destroy()
      return
    }
    const next = this.#next(kept.lane)
    if (next !== undefined) {
      connection.start(next)
      return
    }
    // Retired, or others wait and this connection takes their room.
    if (this.#retired || (this.#waiting > 0 && this.#connections >= this.limits.maxConnections)) {
      connection.destroy()
      return
    }
    connection.idleSince = this.#clock.now()
    kept.lane.idle.push(kept)
  }

  /** ConnectionOwner */
  closed(connection: Http1Connection): void {
    const kept = this.#kept.get(connection)
    if (kept === undefined) return
    this.#kept.delete(connection)
    const at = kept.lane.idle.indexOf(kept)
    if (at >= 0) kept.lane.idle.splice(at, 1)
    this.#left(kept.lane)
  }

  /** Closes what is idle for too long, expired, or opened with an identity of yesterday. */
  sweep(): void {
    const oldest = this.#clock.now() - this.limits.idleTimeoutMs
    const wall = this.#clock.wall()
    const revoked = this.#parts.revoked?.()
    for (const kept of this.#kept.values()) {
      kept.expired = wall >= kept.validUntil
      if (isRevoked(revoked, kept.serial, this.#identity)) kept.connection.destroy()
    }
    for (const lane of this.#lanes.values()) {
      for (const kept of [...lane.idle]) {
        if (kept.connection.idleSince <= oldest || !this.#fresh(kept)) kept.connection.destroy()
      }
      if (lane.connections === 0 && lane.waiting.length === 0) this.#lanes.delete(lane.endpoint.key)
    }
  }

  /** Another pool takes over: idle connections close now, busy ones after their answer. */
  retire(): void {
    this.#retired = true
    for (const lane of this.#lanes.values()) for (const kept of [...lane.idle]) kept.connection.destroy()
  }

  /** Ends everything; calls in flight fail. */
  destroy(): void {
    this.#closed = true
    for (const socket of this.#dialling) socket.destroy()
    for (const lane of this.#lanes.values()) {
      this.#failWaiting(lane, Number.POSITIVE_INFINITY, new FairleadError('DRAINING', 'This sidecar is leaving.'))
    }
    for (const connection of [...this.#kept.keys()]) connection.destroy()
  }

  #lane(endpoint: PoolEndpoint): Lane {
    let lane = this.#lanes.get(endpoint.key)
    if (lane === undefined) {
      lane = { endpoint, idle: [], waiting: [], connections: 0, dialling: 0 }
      this.#lanes.set(endpoint.key, lane)
    }
    return lane
  }

  #takeIdle(lane: Lane): Kept | undefined {
    for (let kept = lane.idle.pop(); kept !== undefined; kept = lane.idle.pop()) {
      if (kept.connection.usable && this.#fresh(kept)) return kept
      kept.connection.destroy()
    }
    return undefined
  }

  #fresh(kept: Kept): boolean {
    if (kept.identity === undefined) return true
    return kept.identity === this.#parts.identity.current() && !kept.expired
  }

  /** At the limit: an idle connection of another endpoint gives way. */
  #makeRoom(): boolean {
    for (const lane of this.#lanes.values()) {
      const kept = lane.idle.shift()
      if (kept === undefined) continue
      kept.connection.destroy()
      this.closed(kept.connection)
      return this.#connections < this.limits.maxConnections
    }
    return false
  }

  #wait(lane: Lane, call: Http1Call): void {
    lane.waiting.push({ call, order: this.#order++ })
    this.#waiting++
    if (lane.dialling < lane.waiting.length && this.#mayDial(lane)) this.#dial(lane)
  }

  #mayDial(lane: Lane): boolean {
    if (this.#closed || lane.dialling >= DIALS_MAX) return false
    return this.#connections < this.limits.maxConnections || this.#makeRoom()
  }

  /** First in line for this endpoint. */
  #next(lane: Lane): Http1Call | undefined {
    const waiting = lane.waiting.shift()
    if (waiting !== undefined) this.#waiting--
    return waiting?.call
  }

  #dial(lane: Lane): void {
    const identity = this.#identity === '' ? undefined : this.#parts.identity.current()
    const target = {
      address: lane.endpoint.endpoint.address,
      port: lane.endpoint.endpoint.port,
      identity: this.#identity,
      connectTimeoutMs: this.limits.connectTimeoutMs,
      alpn: ALPN,
    }
    const order = this.#order++
    try {
      const socket = dial(this.#parts, target, (result) => {
        this.#dialling.delete(socket)
        lane.dialling--
        if (result instanceof FairleadError) this.#dialFailed(lane, order, result)
        else this.#dialled(lane, identity, result)
      })
      this.#dialling.add(socket)
      lane.dialling++
      lane.connections++
      this.#connections++
    } catch (thrown) {
      const error = asFairleadError(thrown)
      queueMicrotask(() => this.#failWaiting(lane, Number.POSITIVE_INFINITY, error))
    }
  }

  #dialled(lane: Lane, identity: Identity | undefined, dialled: Dialled): void {
    this.released(this.#keep(lane, identity, dialled).connection)
    this.#grow(lane)
  }

  #keep(lane: Lane, identity: Identity | undefined, dialled: Dialled): Kept {
    const connection = new Http1Connection(dialled.socket, this)
    dialled.attach(connection)
    const { validUntil, serial } = dialled
    const kept = { connection, lane, validUntil, serial, expired: false, identity }
    this.#kept.set(connection, kept)
    return kept
  }

  /** Takes a connection that somebody else opened; it is idle and serves the next call. */
  adopt(endpoint: PoolEndpoint, identity: Identity | undefined, dialled: Dialled): void {
    const lane = this.#lane(endpoint)
    lane.connections++
    this.#connections++
    const { connection } = this.#keep(lane, identity, dialled)
    this.released(connection)
  }

  #dialFailed(lane: Lane, order: number, error: FairleadError): void {
    const unreachable = lane.connections === 1 // this one, and it failed
    this.#failWaiting(lane, unreachable ? Number.POSITIVE_INFINITY : order, error)
    this.#left(lane)
  }

  /** Fails the calls that were in line before `order`. */
  #failWaiting(lane: Lane, order: number, error: FairleadError): void {
    while (lane.waiting.length > 0 && lane.waiting[0]!.order < order) this.#next(lane)!.fail(error, false, false)
  }

  /** A connection of this lane is no more: there is room for one more, here or elsewhere. */
  #left(lane: Lane): void {
    lane.connections--
    this.#connections--
    this.#grow(lane)
    if (this.#waiting === 0) return
    for (const other of this.#lanes.values()) if (other !== lane) this.#grow(other)
  }

  #grow(lane: Lane): void {
    while (lane.dialling < lane.waiting.length && this.#connections < this.limits.maxConnections) {
      if (this.#closed || lane.dialling >= DIALS_MAX) return
      const before = lane.dialling
      this.#dial(lane)
      if (lane.dialling === before) return // no certificate: those in line are being told
    }
  }
}

export function saturated(limits: Limits): FairleadError {
  const { maxConnections, maxPendingRequests } = limits
  return new FairleadError(
    'UPSTREAM_SATURATED',
    `All ${maxConnections} connections are busy and ${maxPendingRequests} requests wait already.`,
    { retryAfterS: 1 },
  )
}
