// server-connection.ts — our end of a mux connection that another sidecar opened: requests in, answers out.
//
// Each stream is a Channel for the request path, as an HTTP/1.1 connection is one for each of its requests in turn.
// Drain: GOAWAY with the highest id (open no more), a grace for what is on its way, GOAWAY with the real last id, then the
// connection closes with its last stream.

import type { Socket } from 'node:net'
import { assert, type FairleadError } from '../../kernel/errors.ts'
import type { ResponseHead } from '../exchange.ts'
import type { ParsedRequest } from '../http1/request-head.ts'
import type { Channel, ChannelHandler, Peer, RequestSink } from '../listen/channel.ts'
import { MuxConnection, type MuxParts } from './connection.ts'
import { BadHead, readRequestHead, responseHeadText } from './head.ts'
import { helloFrame, readHello } from './hello.ts'
import { MuxStream, type StreamCarrier } from './stream.ts'
import {
  frameHead,
  HEAD_PAYLOAD_MAX,
  type MuxCode,
  MuxError,
  REQUEST,
  RESPONSE,
  resetFrame,
  STREAM_CREDIT,
  STREAM_ID_MAX,
  STREAMS_MAX,
} from './wire.ts'

export interface MuxSelf {
  readonly instance: string
  readonly version: string
}

export interface MuxServerOwner {
  readonly handler: ChannelHandler
  readonly idleTimeoutMs: number
  /** Called once. */
  muxGone(connection: MuxServerConnection): void
}

export class MuxServerConnection extends MuxConnection<ServerStream> {
  readonly peer: Peer
  readonly #owner: MuxServerOwner
  readonly #self: MuxSelf
  /** The last GOAWAY is out: what comes now is refused. */
  #shut: MuxCode | undefined
  #busyAt: number

  constructor(socket: Socket, peer: Peer, parts: MuxParts, self: MuxSelf, owner: MuxServerOwner) {
    super(socket, parts)
    this.peer = peer
    this.#owner = owner
    this.#self = self
    this.#busyAt = this.clock.now()
    socket.on('data', (chunk: Buffer) => this.read(chunk, chunk.length))
    this.stage(helloFrame({ ...self, wanted: '' }))
  }

  // ── from the listener ─────────────────────────────────────────────────────────────────────────────────────────────

  sweep(): void {
    this.watch()
    const now = this.clock.now()
    if (this.active > 0) this.#busyAt = now
    else if (!this.over && now - this.#busyAt > this.#owner.idleTimeoutMs) this.closeIdle()
  }

  drainStarts(): void {
    if (this.#shut === undefined) this.sayGoAway(STREAM_ID_MAX, 'DRAINING')
  }

  /** Takes no more streams; closes with the last one. */
  closeIdle(): void {
    this.#shutBy('DRAINING')
  }

  #shutBy(code: MuxCode): void {
    if (this.over || this.#shut !== undefined) return
    this.#shut = code
    this.leaving = true
    this.sayGoAway(this.opened, code)
    this.closeWhenDone()
  }

  // ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────────

  protected onHello(bytes: Buffer, from: number, to: number): void {
    const { wanted } = readHello(bytes, from, to)
    if (wanted !== '' && wanted !== this.#self.instance) {
      throw new MuxError('ENDPOINT_MISMATCH', `this is ${this.#self.instance}, not ${wanted}`)
    }
  }

  protected onHead(type: number, id: number, bytes: Buffer, from: number, to: number): void {
    if (type !== REQUEST) throw new MuxError('PROTOCOL', 'an answer from the side that calls')
    if (id !== this.opened + 1) throw new MuxError('PROTOCOL', 'a stream out of order')
    this.opened = id
    if (this.#shut !== undefined) this.#refuse(id, 'DRAINING', 'a stream after GOAWAY')
    else if (this.streams.size >= STREAMS_MAX) this.#refuse(id, 'REFUSED', `more than ${STREAMS_MAX} streams`)
    else this.#begin(id, bytes, from, to)
  }

  #begin(id: number, bytes: Buffer, from: number, to: number): void {
    let head: ParsedRequest
    try {
      head = readRequestHead(bytes, from, to)
    } catch (thrown) {
      if (!(thrown instanceof BadHead)) throw thrown
      this.#refuse(id, 'BAD_HEAD', thrown.message)
      return
    }
    const stream = new ServerStream(this, id, head)
    this.streams.set(id, stream)
    stream.start(this.#owner.handler, head)
  }

  #refuse(id: number, code: MuxCode, why: string): void {
    this.allowLate(STREAM_CREDIT)
    this.refuseStream(id, code, why)
  }

  /** The path broke an answer off, or its queue cannot be sent. */
  breakOff(stream: ServerStream): void {
    this.forget(stream)
    this.stage(resetFrame(stream.id, 'BROKEN'))
  }

  done(stream: ServerStream): void {
    this.forget(stream)
  }

  protected onReset(stream: ServerStream, _code: MuxCode): void {
    const early = !stream.answered
    stream.gone(undefined)
    if (!early || !this.resetTooOften() || this.#shut !== undefined) return
    // Others share this connection: what is in flight is served, the rest must come by another one.
    this.refused('FLOOD', 'too many early resets')
    this.#shutBy('FLOOD')
  }

  protected onOwnReset(stream: ServerStream, _code: MuxCode): void {
    stream.gone(undefined)
  }

  /** The client opens no more streams. */
  protected onGoAway(): void {
    this.leaving = true
    this.closeWhenDone()
  }

  protected onLost(): void {
    for (const stream of [...this.streams.values()]) {
      this.forget(stream)
      stream.gone(undefined)
    }
  }

  protected onClosed(): void {
    this.#owner.muxGone(this)
  }

  protected override fatal(code: MuxCode, why: string): void {
    super.fatal(code, why, code === 'ENDPOINT_MISMATCH' || code === 'VERSION' ? 0 : this.opened)
  }
}

/** One request of a peer. */
export class ServerStream extends MuxStream implements Channel {
  readonly peer: Peer
  /** The whole answer is handed over. */
  answered = false
  readonly #connection: MuxServerConnection
  readonly #headMethod: boolean
  #sink: RequestSink | undefined
  #active = true
  #bodiless = false
  #openEnded = false

  constructor(connection: MuxServerConnection, id: number, head: ParsedRequest) {
    super(connection as StreamCarrier, id)
    this.#connection = connection
    this.peer = connection.peer
    this.#headMethod = head.method === 'HEAD'
    this.expectBody(head.body)
  }

  start(handler: ChannelHandler, head: ParsedRequest): void {
    const sink = handler.onRequest(this, head)
    if (this.#active) this.#sink = sink
  }

  // ── Channel ───────────────────────────────────────────────────────────────────────────────────────────────────────

  respond(head: ResponseHead, extra: string): void {
    assert(extra === '', 'inbound answers carry no field lines of their own')
    if (!this.#active) return
    this.#bodiless = head.status === 204 || head.status === 304 || this.#headMethod
    this.#openEnded = !this.#bodiless && typeof head.body !== 'number'
    const text = responseHeadText(head, this.#bodiless)
    assert(text.length <= HEAD_PAYLOAD_MAX, 'a head that the codec took fits into a frame')
    this.#connection.stageHead(frameHead(text.length, RESPONSE, 0, this.id) + text)
  }

  write(bytes: Buffer, from: number, to: number): void {
    if (this.#active && !this.#bodiless) this.sendBody(bytes, from, to)
  }

  flush(): boolean {
    return !this.#active || this.mayFlow()
  }

  end(): void {
    if (!this.#active) return
    this.#active = false
    this.#sink = undefined
    this.answered = true
    if (this.#openEnded) this.sendEnd()
    this.onSent()
  }

  abort(): void {
    if (!this.#active) return
    this.#active = false
    this.#sink = undefined
    this.#connection.breakOff(this)
  }

  resumeRequest(): void {
    this.resumeReceiving()
  }

  /** Nothing to close: what is left of the request is dropped, and the client resets the stream. */
  closeAfter(): void {}

  // ── MuxStream ─────────────────────────────────────────────────────────────────────────────────────────────────────

  onBody(bytes: Buffer, from: number, to: number): void {
    this.#sink?.onRequestBody(bytes, from, to)
  }

  onBodyEnd(): void {
    this.#sink?.onRequestEnd()
    this.onSent()
  }

  /** An answer that came early: nobody reads the rest, so nothing more is asked for. */
  onTurnEnd(): boolean {
    return this.#sink?.onRequestFlush() ?? false
  }

  onDrained(): void {
    this.#sink?.onResponseDrain()
  }

  onSent(): void {
    if (this.answered && this.receiveEnded && this.queued === 0) this.#connection.done(this)
  }

  gone(error: FairleadError | undefined): void {
    if (!this.#active) return
    this.#active = false
    const sink = this.#sink
    this.#sink = undefined
    sink?.onClientGone(error)
  }
}
