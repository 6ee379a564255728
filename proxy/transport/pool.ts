// pool.ts — connections of one backend: kept alive per endpoint, bounded over all of them, with one bounded queue.
//
// A call takes an idle connection of its endpoint (last used first), else a new one, else waits in line. A freed
// connection serves the first in line for its endpoint; when the line wants another endpoint, it makes room for it.
// Never: repeats a request. It says what is known about where the bytes got to; retry.ts decides.

import type { Socket } from 'node:net'
import type { Clock } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { Identity } from '../exchange.ts'
import { type Dialled, type DialParts, dial } from './dial.ts'
import { type CallOwner, Http1Call } from './http1-call.ts'
import type { ConnectionOwner, Http1Connection } from './http1-connection.ts'
import type { Limits, ResponseSink, UpstreamCall, UpstreamRequest } from './seam.ts'

/** An EndpointState is one. */
export interface PoolEndpoint {
  /** `address:port` */
  readonly key: string
  readonly endpoint: { readonly address: string; readonly port: number }
}

interface Kept {
  readonly connection: Http1Connection
  readonly lane: Lane
  /** End of the peer's proof, by the wall clock; the sweep compares it. */
  readonly validUntil: number
  expired: boolean
  /** The identity that it was opened with; another one now = not reused. */
  readonly identity: Identity | undefined
}

/** Connections and calls of one endpoint. */
interface Lane {
  readonly endpoint: PoolEndpoint
  readonly idle: Kept[]
  connections: number
}

interface Waiting {
  readonly call: Http1Call
  readonly lane: Lane
}

export class Pool implements CallOwner, ConnectionOwner {
  limits: Limits
  readonly #parts: DialParts
  readonly #clock: Clock
  /** SPIFFE ID of every endpoint; '' = plain. */
  readonly #identity: string
  readonly #lanes = new Map<string, Lane>()
  readonly #kept = new Map<Http1Connection, Kept>()
  readonly #dialling = new Map<Http1Call, { socket: Socket; lane: Lane }>()
  #waiting: Waiting[] = []
  #connections = 0
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
    return this.#waiting.length
  }

  open(endpoint: PoolEndpoint, request: UpstreamRequest, sink: ResponseSink): UpstreamCall {
    const call = new Http1Call(this, request, sink)
    const lane = this.#lane(endpoint)
    const kept = this.#takeIdle(lane)
    if (kept !== undefined) kept.connection.start(call)
    else if (this.#connections < this.limits.maxConnections || this.#makeRoom()) this.#dial(call, lane)
    else if (this.#waiting.length < this.limits.maxPendingRequests) this.#waiting.push({ call, lane })
    else queueMicrotask(() => call.fail(saturated(this.limits), false, false))
    return call
  }

  /** CallOwner: the call is over before it had a connection. */
  cancel(call: Http1Call): void {
    const attempt = this.#dialling.get(call)
    if (attempt === undefined) {
      this.#waiting = this.#waiting.filter((waiting) => waiting.call !== call)
      return
    }
    this.#dialling.delete(call)
    attempt.socket.destroy()
    this.#left(attempt.lane)
  }

  /** ConnectionOwner */
  released(connection: Http1Connection): void {
    const kept = this.#kept.get(connection)
    if (kept === undefined || this.#closed || !this.#fresh(kept)) {
      connection.destroy()
      return
    }
    if (this.#retired && this.#waiting.length === 0) {
      connection.destroy()
      return
    }
    if (this.#waiting.length > 0) {
      this.#serve(kept)
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
    for (const kept of this.#kept.values()) kept.expired = wall >= kept.validUntil
    for (const lane of this.#lanes.values()) {
      for (const kept of [...lane.idle]) {
        if (kept.connection.idleSince <= oldest || !this.#fresh(kept)) kept.connection.destroy()
      }
      if (lane.connections === 0) this.#lanes.delete(lane.endpoint.key)
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
    for (const { call } of this.#waiting.splice(0)) call.fail(saturated(this.limits), false, false)
    for (const call of [...this.#dialling.keys()]) {
      this.cancel(call)
      call.fail(new FairleadError('DRAINING', 'This sidecar is leaving.'), false, false)
    }
    for (const connection of [...this.#kept.keys()]) connection.destroy()
  }

  #lane(endpoint: PoolEndpoint): Lane {
    let lane = this.#lanes.get(endpoint.key)
    if (lane === undefined) {
      lane = { endpoint, idle: [], connections: 0 }
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

  #dial(call: Http1Call, lane: Lane): void {
    const identity = this.#identity === '' ? undefined : this.#parts.identity.current()
    const target = {
      address: lane.endpoint.endpoint.address,
      port: lane.endpoint.endpoint.port,
      identity: this.#identity,
      connectTimeoutMs: this.limits.connectTimeoutMs,
    }
    lane.connections++
    this.#connections++
    try {
      const socket = dial(this.#parts, target, this, (result) => this.#dialled(call, lane, identity, result))
      this.#dialling.set(call, { socket, lane })
    } catch (thrown) {
      this.#left(lane)
      queueMicrotask(() => call.fail(asFairleadError(thrown), false, false))
    }
  }

  #dialled(call: Http1Call, lane: Lane, identity: Identity | undefined, result: Dialled | FairleadError): void {
    const wanted = this.#dialling.delete(call)
    if (result instanceof FairleadError) {
      if (!wanted) return // cancelled: counted out there
      this.#left(lane)
      call.fail(result, false, false)
      return
    }
    const { connection, validUntil } = result
    this.#kept.set(connection, { connection, lane, validUntil, expired: false, identity })
    if (call.over || this.#closed) connection.destroy()
    else connection.start(call)
  }

  /** A connection of this lane is no more: the first in line may have a new one. */
  #left(lane: Lane): void {
    lane.connections--
    this.#connections--
    if (this.#closed || this.#connections >= this.limits.maxConnections) return
    const next = this.#waiting.shift()
    if (next !== undefined) this.#dial(next.call, next.lane)
  }

  /** A connection is free and calls wait: first one for this endpoint, else it makes room for the first in line. */
  #serve(kept: Kept): void {
    const at = this.#waiting.findIndex((waiting) => waiting.lane === kept.lane)
    if (at < 0) {
      kept.connection.destroy()
      return
    }
    const [next] = this.#waiting.splice(at, 1)
    kept.connection.start(next!.call)
  }
}

function saturated(limits: Limits): FairleadError {
  const { maxConnections, maxPendingRequests } = limits
  return new FairleadError(
    'UPSTREAM_SATURATED',
    `All ${maxConnections} connections are busy and ${maxPendingRequests} requests wait already.`,
    { retryAfterS: 1 },
  )
}
