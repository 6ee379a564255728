// listener.ts — a listening socket of the data path: plain (own app) or mutual TLS (other sidecars).
//
// Owns its connections: caps their number, sweeps for what takes too long, drains. A TLS peer that does not prove an
// X509-SVID of our trust domain is destroyed before a byte of it reaches the path; why is logged and counted.
// The certificate is swapped at run time: connections that exist go on with theirs until the peer's chain ends.

import { createHash } from 'node:crypto'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import { verifyPeer } from '../../certs/peer.ts'
import { explain } from '../../certs/reasons.ts'
import { isRevoked, type Revoked } from '../../certs/revoked.ts'
import type { Clock } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { IdentitySource, Observer } from '../exchange.ts'
import type { MuxTimes } from '../mux/connection.ts'
import { muxEvents } from '../mux/events.ts'
import { type MuxSelf, MuxServerConnection, type MuxServerOwner } from '../mux/server-connection.ts'
import { MUX_PROTOCOL } from '../mux/wire.ts'
import { ALPN, MESH_ALPN, serverOptions } from '../tls-context.ts'
import type { ChannelHandler, Peer } from './channel.ts'
import { type ConnectionLimits, ServerConnection, type ServerConnectionOwner } from './server-connection.ts'

export interface ListenerLimits extends ConnectionLimits {
  readonly connectionsMax: number
  readonly handshakeTimeoutMs: number
  /** On drain, idle connections stay open this long, so that a request already on its way is still answered. */
  readonly drainGraceMs: number
}

export const LISTENER_LIMITS: ListenerLimits = {
  connectionsMax: 10_000,
  handshakeTimeoutMs: 5_000,
  headTimeoutMs: 10_000,
  idleTimeoutMs: 75_000,
  stallTimeoutMs: 300_000,
  lingerMs: 2_000,
  drainGraceMs: 100,
}

export interface ListenerOptions {
  readonly direction: 'outbound' | 'inbound'
  readonly host: string
  /** 0 = a free one. */
  readonly port: number
  /** Mutual TLS by this identity; undefined = plain. */
  readonly identity: IdentitySource | undefined
  /** Peers that count no more; asked at each handshake and each sweep. */
  readonly revoked?: () => Revoked | undefined
  readonly handler: ChannelHandler
  readonly clock: Clock
  readonly log: Log
  readonly observer: Observer
  readonly limits?: Partial<ListenerLimits>
  /** Offers `fairlead-mux/1` beside HTTP/1.1; with TLS only. */
  readonly mux?: MuxListening
}

export interface MuxListening {
  /** What our hello says. */
  readonly self: () => MuxSelf
  readonly times?: Partial<MuxTimes> | undefined
}

/** A connection as the listener sees it, whatever it speaks. */
interface Served {
  sweep(): void
  /** The drain begins; what is on its way is still served. */
  drainStarts(): void
  /** Nothing in flight: leaves now. Else when it is done. */
  closeIdle(): void
  destroy(): void
}

export interface Listener extends Closable {
  readonly port: number
  readonly connections: number
  /** Takes no new connection, finishes what is in flight, closes the rest. Resolves when none is left. */
  drain(): Promise<void>
  /** Drains for at most `drainMs` (5 s), then breaks what is left. */
  close(drainMs?: number): Promise<void>
}

const SWEEP_MS = 1_000
const CLOSE_DRAIN_MS = 5_000

/** @throws FairleadError PORT_IN_USE */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const listener = new RunningListener(options)
  await listener.start()
  return listener
}

class RunningListener implements Listener, ServerConnectionOwner, MuxServerOwner {
  readonly handler: ChannelHandler
  readonly limits: ListenerLimits
  draining = false
  coarseNow: number
  readonly #options: ListenerOptions
  readonly #server: Server | TlsServer
  readonly #all = new Map<Served, { validUntil: number; serial: string; spiffeId: string }>()
  readonly #sockets = new Set<Socket>()
  readonly #stop: (() => void)[] = []
  #waiting: (() => void)[] = []
  #closing: Promise<void> | undefined

  constructor(options: ListenerOptions) {
    this.#options = options
    this.handler = options.handler
    this.limits = { ...LISTENER_LIMITS, ...options.limits }
    this.coarseNow = options.clock.now()
    this.#server = options.identity === undefined ? this.#plainServer() : this.#tlsServer(options.identity)
    this.#server.maxConnections = this.limits.connectionsMax
    this.#server.on('drop', () => this.#refused('connections', undefined))
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  get connections(): number {
    return this.#all.size
  }

  async start(): Promise<void> {
    const { clock, host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => reject(listenFailure(error, host, port)))
      this.#server.listen({ host, port, backlog: 1024 }, resolve)
    })
    this.#server.on('error', (error) => this.#options.log.error({ error }, 'listener failed'))
    const sweep = clock.every(SWEEP_MS, () => this.#sweep())
    this.#stop.push(() => sweep.cancel())
  }

  get idleTimeoutMs(): number {
    return this.limits.idleTimeoutMs
  }

  muxGone(connection: MuxServerConnection): void {
    this.gone(connection)
  }

  gone(connection: Served): void {
    if (!this.#all.delete(connection)) return
    this.#options.observer.connection(this.#options.direction, 'closed')
    if (this.#all.size === 0) for (const resolve of this.#waiting.splice(0)) resolve()
  }

  async drain(): Promise<void> {
    if (!this.draining) {
      this.draining = true
      if (this.#server.listening) this.#server.close()
      for (const connection of this.#all.keys()) connection.drainStarts()
      await this.#options.clock.sleep(this.limits.drainGraceMs)
      for (const connection of this.#all.keys()) connection.closeIdle()
    }
    if (this.#all.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  close(drainMs = CLOSE_DRAIN_MS): Promise<void> {
    this.#closing ??= this.#close(drainMs)
    return this.#closing
  }

  async #close(drainMs: number): Promise<void> {
    const hard = this.#options.clock.after(drainMs, () => {
      for (const connection of this.#all.keys()) connection.destroy()
    })
    await this.drain()
    hard.cancel()
    for (const stop of this.#stop.splice(0)) stop()
    for (const socket of this.#sockets) socket.destroy()
  }

  #plainServer(): Server {
    return createTcpServer({ noDelay: true, keepAlive: true }, (socket) => {
      this.#add(socket, { address: socket.remoteAddress ?? '', spiffeId: '', certificateHash: '' }, Infinity, '')
    })
  }

  #tlsServer(source: IdentitySource): TlsServer {
    const server = createTlsServer({
      ...serverOptions(source.current()),
      ALPNProtocols: this.#options.mux === undefined ? ALPN : MESH_ALPN,
      handshakeTimeout: this.limits.handshakeTimeoutMs,
      noDelay: true,
      keepAlive: true,
    })
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      socket.on('error', () => undefined) // reported by tlsClientError
    })
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      this.#refused(error.code ?? 'handshake', socket.remoteAddress, error.message)
      socket.destroy() // Node reports a handshake that timed out, and leaves it open
    })
    server.on('secureConnection', (socket) => this.#secure(socket, source))
    this.#stop.push(
      source.onChange(() => {
        const fresh = source.current()
        if (fresh !== undefined) server.setSecureContext(serverOptions(fresh))
      }),
    )
    return server
  }

  /** The judge of peers: our own rules, on the certificate's DER (certs/peer.ts). */
  #secure(socket: TLSSocket, source: IdentitySource): void {
    const identity = source.current()
    const verdict =
      identity === undefined || socket.isSessionReused()
        ? undefined
        : verifyPeer(socket, identity.bundleDer, {
            now: this.#options.clock.wall(),
            trustDomain: identity.trustDomain,
            revoked: this.#options.revoked?.(),
          })
    if (verdict === undefined || !verdict.ok) {
      const why = verdict === undefined ? 'no certificate of our own, or a resumed session' : explain(verdict.reasons)
      socket.on('error', () => undefined)
      this.#refused(verdict?.reasons[0] ?? 'NOT_READY', socket.remoteAddress, why)
      socket.destroy()
      return
    }
    const peer: Peer = {
      address: socket.remoteAddress ?? '',
      spiffeId: verdict.spiffeId,
      certificateHash: createHash('sha256').update(socket.getPeerCertificate().raw).digest('hex'),
    }
    this.#add(socket, peer, verdict.validUntil, verdict.serial)
  }

  #add(socket: Socket, peer: Peer, validUntil: number, serial: string): void {
    if (this.draining) return void socket.destroy()
    const connection = this.#serve(socket, peer)
    this.#all.set(connection, { validUntil, serial, spiffeId: peer.spiffeId })
    this.#options.observer.connection(this.#options.direction, 'opened')
  }

  #serve(socket: Socket, peer: Peer): Served {
    const { mux, clock, log, observer, direction } = this.#options
    if (mux === undefined || (socket as TLSSocket).alpnProtocol !== MUX_PROTOCOL) {
      return new ServerConnection(socket, peer, this)
    }
    const parts = { clock, events: muxEvents(direction, log, observer), times: mux.times }
    return new MuxServerConnection(socket, peer, parts, mux.self(), this)
  }

  #refused(reason: string, address: string | undefined, why?: string): void {
    const { direction, log, observer } = this.#options
    observer.connection(direction, 'refused', reason)
    log.warn({ direction, reason, why, address }, 'connection refused')
  }

  #cut(connection: Served, spiffeId: string): void {
    const { direction, log } = this.#options
    log.warn({ direction, reason: 'REVOKED', spiffeId }, 'connection cut')
    connection.destroy()
  }

  #sweep(): void {
    this.coarseNow = this.#options.clock.now()
    const wall = this.#options.clock.wall()
    const revoked = this.#options.revoked?.()
    for (const [connection, { validUntil, serial, spiffeId }] of this.#all) {
      if (wall >= validUntil) connection.destroy()
      else if (isRevoked(revoked, serial, spiffeId)) this.#cut(connection, spiffeId)
      else connection.sweep()
    }
  }
}

function listenFailure(error: NodeJS.ErrnoException, host: string, port: number): FairleadError {
  if (error.code !== 'EADDRINUSE')
    return new FairleadError('INTERNAL', `Cannot listen on ${host}:${port}: ${error.message}`, { cause: error })
  return new FairleadError('PORT_IN_USE', `${host}:${port} is taken by another process.`, { cause: error })
}
