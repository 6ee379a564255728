// mesh-pool.ts — connections of one backend whose endpoints are sidecars: few, and each carries many requests.
//
// One connection per endpoint, a further one only when all have no room; calls wait for it in one bounded line. What the
// peer speaks is found out by ALPN: an endpoint without the mux is called over the HTTP/1.1 pool, and asked again later.
// Another identity of ours, or the end of the peer's proof, means a new connection; the old one ends with its streams.

import type { Socket } from 'node:net'
import { isRevoked } from '../../certs/revoked.ts'
import type { Clock } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { Identity } from '../exchange.ts'
import { HTTP1_PROTOCOL, MESH_ALPN } from '../tls-context.ts'
import { type Dialled, type DialParts, dial } from '../transport/dial.ts'
import { Pool, type PoolEndpoint, saturated } from '../transport/pool.ts'
import type { Limits, ResponseSink, UpstreamCall, UpstreamRequest } from '../transport/seam.ts'
import { type ClientOwner, MuxClientConnection } from './client-connection.ts'
import type { MuxParts } from './connection.ts'
import { failedCall, WaitingCall } from './waiting-call.ts'

/** How long an endpoint that chose HTTP/1.1 is not offered the mux. */
const HTTP1_FOR_MS = 60_000
/** A connection stops taking streams so long before the end of the peer's proof, or at half of what is left if sooner. */
const RETIRE_BEFORE_MS = 30_000

export interface MuxSettings extends Omit<MuxParts, 'clock'> {
  /** What our hello says. */
  readonly self: () => { readonly instance: string; readonly version: string }
}

interface Kept {
  readonly connection: MuxClientConnection
  readonly lane: Lane
  readonly identity: Identity | undefined
  /** By the wall clock. */
  readonly retireAt: number
  readonly validUntil: number
  /** Of the peer's certificate. */
  readonly serial: string
  fresh: boolean
}

/** Connections and calls of one endpoint. */
interface Lane {
  readonly endpoint: PoolEndpoint
  readonly kept: Kept[]
  dialling: Socket | undefined
  waiting: WaitingCall[]
  /** Monotonic: until then over HTTP/1.1. */
  http1Until: number
}

export class MeshPool implements ClientOwner {
  readonly #parts: DialParts
  readonly #mux: MuxSettings
  readonly #clock: Clock
  readonly #identity: string
  readonly #http1: Pool
  readonly #lanes = new Map<string, Lane>()
  /** Also those that only finish. */
  readonly #kept = new Map<MuxClientConnection, Kept>()
  #limits: Limits
  #dialling = 0
  #waiting = 0
  #closed = false

  constructor(parts: DialParts, mux: MuxSettings, identity: string, limits: Limits) {
    this.#parts = parts
    this.#mux = mux
    this.#clock = parts.clock
    this.#identity = identity
    this.#limits = limits
    this.#http1 = new Pool(parts, identity, limits)
  }

  set limits(limits: Limits) {
    this.#limits = limits
    this.#http1.limits = limits
  }

  get connections(): number {
    return this.#kept.size + this.#dialling + this.#http1.connections
  }

  get pending(): number {
    return this.#waiting + this.#http1.pending
  }

  open(endpoint: PoolEndpoint, request: UpstreamRequest, sink: ResponseSink): UpstreamCall {
    const lane = this.#lane(endpoint)
    const connection = this.#pick(lane)
    if (connection !== undefined) return connection.open(request, sink)
    if (lane.http1Until > this.#clock.now()) return this.#http1.open(endpoint, request, sink)
    if (this.#closed) return failedCall(sink, new FairleadError('DRAINING', 'This sidecar is leaving.'))
    if (this.#waiting >= this.#limits.maxPendingRequests) return failedCall(sink, saturated(this.#limits))
    const call = new WaitingCall(request, sink, (cancelled) => this.#cancel(lane, cancelled))
    lane.waiting.push(call)
    this.#waiting++
    this.#dial(lane)
    return call
  }

  /** ClientOwner */
  get wanted(): boolean {
    return this.#waiting > 0
  }

  /** ClientOwner: a stream ended while calls wait. */
  muxFreed(connection: MuxClientConnection): void {
    const kept = this.#kept.get(connection)
    if (kept !== undefined) this.#serve(kept.lane)
    if (this.#waiting > 0 && connection.active === 0) this.#dialNext()
  }

  /** ClientOwner */
  muxClosed(connection: MuxClientConnection): void {
    const kept = this.#kept.get(connection)
    if (kept === undefined) return
    this.#kept.delete(connection)
    const at = kept.lane.kept.indexOf(kept)
    if (at >= 0) kept.lane.kept.splice(at, 1)
    this.#dialNext()
  }

  /** Looks after every connection: idle, expired, opened with an identity of yesterday, or not answering. */
  sweep(): void {
    const now = this.#clock.now()
    const wall = this.#clock.wall()
    const revoked = this.#parts.revoked?.()
    for (const kept of [...this.#kept.values()]) {
      const { connection } = kept
      if (connection.active > 0) connection.idleSince = now
      kept.fresh &&= wall < kept.retireAt
      if (wall >= kept.validUntil) connection.destroy(undefined, 'the proof of the peer ended')
      else if (isRevoked(revoked, kept.serial, this.#identity)) connection.destroy(undefined, 'the peer was revoked')
      else if (!this.#fresh(kept) || now - connection.idleSince > this.#limits.idleTimeoutMs) connection.retire()
      connection.watch()
    }
    for (const lane of this.#lanes.values()) {
      const used = lane.kept.length > 0 || lane.dialling !== undefined || lane.waiting.length > 0
      if (!used && lane.http1Until < now) this.#lanes.delete(lane.endpoint.key)
    }
    this.#http1.sweep()
  }

  /** Another pool takes over: connections end with their streams. */
  retire(): void {
    for (const { connection } of [...this.#kept.values()]) connection.retire()
    this.#http1.retire()
  }

  /** Ends everything; calls in flight fail. */
  destroy(): void {
    this.#closed = true
    for (const lane of this.#lanes.values()) {
      lane.dialling?.destroy()
      this.#failWaiting(lane, new FairleadError('DRAINING', 'This sidecar is leaving.'))
    }
    for (const connection of [...this.#kept.keys()]) connection.destroy()
    this.#http1.destroy()
  }

  #lane(endpoint: PoolEndpoint): Lane {
    let lane = this.#lanes.get(endpoint.key)
    if (lane !== undefined && lane.endpoint.endpoint.instance === endpoint.endpoint.instance) return lane
    // The address belongs to another instance now: what goes on there is not for it.
    for (const { connection } of [...(lane?.kept ?? [])]) connection.retire()
    if (lane !== undefined)
      this.#failWaiting(lane, new FairleadError('INSTANCE_GONE', 'The instance left its address.'))
    lane = { endpoint, kept: [], dialling: undefined, waiting: [], http1Until: Number.NEGATIVE_INFINITY }
    this.#lanes.set(endpoint.key, lane)
    return lane
  }

  #pick(lane: Lane): MuxClientConnection | undefined {
    for (const kept of lane.kept) if (kept.connection.room && this.#fresh(kept)) return kept.connection
    return undefined
  }

  #fresh(kept: Kept): boolean {
    return kept.fresh && kept.identity === this.#parts.identity.current()
  }

  #cancel(lane: Lane, call: WaitingCall): void {
    const at = lane.waiting.indexOf(call)
    if (at < 0) return
    lane.waiting.splice(at, 1)
    this.#waiting--
  }

  #failWaiting(lane: Lane, error: FairleadError): void {
    for (const call of lane.waiting.splice(0)) {
      this.#waiting--
      call.fail(error)
    }
  }

  /** Calls that wait get streams as long as there is room. */
  #serve(lane: Lane): void {
    while (lane.waiting.length > 0) {
      const connection = this.#pick(lane)
      if (connection === undefined) return
      const call = lane.waiting.shift()!
      this.#waiting--
      call.attach(connection.open(call.request, call.sink))
    }
  }

  #dialNext(): void {
    if (this.#closed || this.#waiting === 0) return
    for (const lane of this.#lanes.values()) if (lane.waiting.length > 0) this.#dial(lane)
  }

  /** One dial at a time for an endpoint; at the limit the calls wait. */
  #dial(lane: Lane): void {
    if (lane.dialling !== undefined || this.#closed) return
    if (this.connections >= this.#limits.maxConnections) {
      this.#makeRoom()
      return
    }
    const identity = this.#parts.identity.current()
    const target = {
      address: lane.endpoint.endpoint.address,
      port: lane.endpoint.endpoint.port,
      identity: this.#identity,
      connectTimeoutMs: this.#limits.connectTimeoutMs,
      alpn: MESH_ALPN,
    }
    try {
      lane.dialling = dial(this.#parts, target, (result) => this.#dialled(lane, identity, result))
      this.#dialling++
    } catch (thrown) {
      const error = asFairleadError(thrown)
      queueMicrotask(() => this.#failWaiting(lane, error))
    }
  }

  /** At the limit an idle connection gives way; its end (`muxClosed`) starts the next dial. */
  #makeRoom(): void {
    for (const { connection } of this.#kept.values()) {
      if (connection.active > 0) continue
      connection.destroy()
      return
    }
  }

  #dialled(lane: Lane, identity: Identity | undefined, result: Dialled | FairleadError): void {
    lane.dialling = undefined
    this.#dialling--
    if (this.#closed) {
      if (!(result instanceof FairleadError)) result.socket.destroy()
      return
    }
    if (result instanceof FairleadError) this.#notDialled(lane, result)
    else if (result.protocol === HTTP1_PROTOCOL) this.#fallBack(lane, identity, result)
    else this.#speakMux(lane, identity, result)
  }

  /** A peer that asked us to go elsewhere, and nowhere else to go: it still serves what is on its way. */
  #notDialled(lane: Lane, error: FairleadError): void {
    const last = lane.kept.find(({ connection }) => connection.takes)
    for (const call of lane.waiting.splice(0)) {
      this.#waiting--
      if (last?.connection.takes === true) call.attach(last.connection.open(call.request, call.sink))
      else call.fail(error)
    }
  }

  #fallBack(lane: Lane, identity: Identity | undefined, dialled: Dialled): void {
    lane.http1Until = this.#clock.now() + HTTP1_FOR_MS
    this.#http1.adopt(lane.endpoint, identity, dialled)
    for (const call of lane.waiting.splice(0)) {
      this.#waiting--
      call.attach(this.#http1.open(lane.endpoint, call.request, call.sink))
    }
  }

  #speakMux(lane: Lane, identity: Identity | undefined, { socket, validUntil, serial, attach }: Dialled): void {
    const hello = { ...this.#mux.self(), wanted: lane.endpoint.endpoint.instance ?? '' }
    const { events, times } = this.#mux
    const connection = new MuxClientConnection(socket, { clock: this.#clock, events, times }, hello, this)
    attach(connection)
    const left = validUntil - this.#clock.wall()
    const retireAt = validUntil - Math.min(RETIRE_BEFORE_MS, left / 2)
    const kept = { connection, lane, identity, retireAt, validUntil, serial, fresh: true }
    this.#kept.set(connection, kept)
    lane.kept.unshift(kept)
    this.#serve(lane)
    if (lane.waiting.length > 0) this.#dial(lane)
  }
}
