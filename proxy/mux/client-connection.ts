// client-connection.ts — our end of a mux connection that we opened: requests out, answers in.
//
// Modes: as in connection.ts, and before the peer's hello (requests may go out already: a peer that is not the one we
// meant refuses them all). After GOAWAY streams above its last id never reached anything and are failed as such.

import type { Socket } from 'node:net'
import { FairleadError } from '../../kernel/errors.ts'
import type { ResponseSink, UpstreamCall, UpstreamFailure, UpstreamRequest } from '../transport/seam.ts'
import { MuxConnection, type MuxParts } from './connection.ts'
import { BadHead, readResponseHead, requestHeadText } from './head.ts'
import { type Hello, helloFrame, readHello } from './hello.ts'
import { MuxStream, type StreamCarrier } from './stream.ts'
import { failedCall } from './waiting-call.ts'
import {
  frameHead,
  HEAD_PAYLOAD_MAX,
  MUX_FIELDS_MAX,
  type MuxCode,
  MuxError,
  REQUEST,
  RESPONSE,
  resetFrame,
  STREAM_ID_MAX,
  STREAMS_MAX,
} from './wire.ts'

export interface ClientOwner {
  /** Calls wait for a stream to end. */
  readonly wanted: boolean
  /** One did. */
  muxFreed(connection: MuxClientConnection): void
  /** The socket is closed. */
  muxClosed(connection: MuxClientConnection): void
}

export class MuxClientConnection extends MuxConnection<ClientStream> {
  /** Monotonic time at which it was last seen at work. */
  idleSince: number
  readonly #owner: ClientOwner
  readonly #hello: Hello
  /** Streams up to here are served; lowered by GOAWAY. */
  #lastServed = STREAM_ID_MAX
  /** Heads that may still come for streams that we gave up. */
  #lateHeads = 0

  constructor(socket: Socket, parts: MuxParts, hello: Hello, owner: ClientOwner) {
    super(socket, parts)
    this.#owner = owner
    this.#hello = hello
    this.idleSince = this.clock.now()
    this.stage(helloFrame(hello))
  }

  /** Another stream may be opened here. */
  get room(): boolean {
    return !this.leaving && this.takes && !this.congested
  }

  /** As `room`, but also when the peer asked us to go elsewhere and serves us still. */
  get takes(): boolean {
    return !this.over && this.opened < this.#lastServed && this.streams.size < STREAMS_MAX
  }

  open(request: UpstreamRequest, sink: ResponseSink): UpstreamCall {
    const head = requestHeadText(request)
    if (head.length > HEAD_PAYLOAD_MAX || request.fields.length > 2 * MUX_FIELDS_MAX) {
      return failedCall(sink, new FairleadError('HEADERS_TOO_LARGE', 'The head does not fit into one mux frame.'))
    }
    const stream = new ClientStream(this, ++this.opened, request, sink)
    this.streams.set(stream.id, stream)
    this.stage(frameHead(head.length, REQUEST, 0, stream.id) + head)
    return stream
  }

  /** No new streams; closes when the last one ended. */
  retire(): void {
    if (this.over || this.leaving) return
    this.leaving = true
    this.sayGoAway(0, 'NONE')
    this.closeWhenDone()
  }

  onRead(count: number, bytes: Buffer): boolean {
    this.read(bytes, count)
    return true
  }

  /** Of a stream: nobody wants the answer, or it came before the request was all sent. */
  giveUp(stream: ClientStream): void {
    if (!stream.headSeen) this.#lateHeads++
    this.forget(stream)
    this.stage(resetFrame(stream.id, 'CANCELLED'))
    this.#freed()
  }

  done(stream: ClientStream): void {
    this.forget(stream)
    this.#freed()
  }

  #freed(): void {
    if (this.#owner.wanted) queueMicrotask(() => this.#owner.muxFreed(this))
  }

  protected onHello(bytes: Buffer, from: number, to: number): void {
    const { instance } = readHello(bytes, from, to)
    const { wanted } = this.#hello
    if (wanted === '' || instance === wanted || instance === '') return
    // It finds the same in our hello, and looks at none of our streams.
    this.refused('ENDPOINT_MISMATCH', `${instance} answers for ${wanted}`)
    this.onGoAway(0, 'ENDPOINT_MISMATCH')
  }

  protected onHead(type: number, id: number, bytes: Buffer, from: number, to: number): void {
    if (type !== RESPONSE) throw new MuxError('PROTOCOL', 'a request from the side that was called')
    const stream = this.streams.get(id)
    if (stream === undefined) {
      this.checkKnown(id)
      if (--this.#lateHeads < 0) throw new MuxError('PROTOCOL', 'a second answer')
      return
    }
    if (stream.headSeen) throw new MuxError('PROTOCOL', 'a second head')
    this.touch(stream)
    try {
      stream.onResponseHead(bytes, from, to)
    } catch (thrown) {
      if (!(thrown instanceof BadHead)) throw thrown
      this.resetStream(stream, 'BAD_HEAD')
    }
  }

  protected onReset(stream: ClientStream, code: MuxCode): void {
    stream.fail(failureOf(code))
  }

  protected onOwnReset(stream: ClientStream, code: MuxCode): void {
    const lost = code === 'STALLED'
    stream.fail({
      error: new FairleadError(lost ? 'UPSTREAM_RESET' : 'UPSTREAM_PROTOCOL', `The mux stream was reset: ${code}.`),
      reached: true,
      raced: false,
    })
  }

  protected onGoAway(last: number, code: MuxCode): void {
    if (last > this.#lastServed) throw new MuxError('PROTOCOL', 'a GOAWAY that takes back the one before')
    this.#lastServed = last
    this.leaving = true
    const failure = refusal(code)
    for (const stream of [...this.streams.values()]) {
      if (stream.id <= last) continue
      this.forget(stream)
      stream.fail(failure)
    }
    this.closeWhenDone()
  }

  protected onLost(why: string): void {
    for (const stream of [...this.streams.values()]) {
      this.forget(stream)
      const error = new FairleadError('UPSTREAM_RESET', `The connection to the sidecar was lost: ${why}.`)
      stream.fail({ error, reached: true, raced: !stream.headSeen })
    }
  }

  protected onClosed(): void {
    this.#owner.muxClosed(this)
  }
}

/** One request. `write` … `abort` are the seam; the rest is for the connection. */
export class ClientStream extends MuxStream implements UpstreamCall {
  headSeen = false
  readonly #connection: MuxClientConnection
  readonly #sink: ResponseSink
  readonly #method: string
  readonly #open: boolean
  #ended: boolean
  #over = false

  constructor(connection: MuxClientConnection, id: number, request: UpstreamRequest, sink: ResponseSink) {
    super(connection as StreamCarrier, id)
    this.#connection = connection
    this.#sink = sink
    this.#method = request.method
    this.#open = request.body === 'chunked'
    this.#ended = request.body === 0
    // Until the head says more, a body is an offence.
    this.receiveEnded = true
  }

  write(bytes: Buffer, from: number, to: number): void {
    if (!this.#over && !this.#ended) this.sendBody(bytes, from, to)
  }

  end(): void {
    if (this.#over || this.#ended) return
    this.#ended = true
    if (this.#open) this.sendEnd()
  }

  flush(): boolean {
    return this.#over || this.mayFlow()
  }

  resume(): void {
    if (!this.#over) this.resumeReceiving()
  }

  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#connection.giveUp(this)
  }

  /** @throws BadHead */
  onResponseHead(bytes: Buffer, from: number, to: number): void {
    const head = readResponseHead(bytes, from, to, this.#method)
    this.headSeen = true
    this.expectBody(head.body)
    this.#sink.onHead(head)
    if (this.receiveEnded) this.onBodyEnd()
  }

  onBody(bytes: Buffer, from: number, to: number): void {
    if (!this.#over) this.#sink.onBody(bytes, from, to)
  }

  onBodyEnd(): void {
    if (this.#over) return
    this.#over = true
    if (this.#ended && this.queued === 0) this.#connection.done(this)
    else this.#connection.giveUp(this)
    this.#sink.onEnd()
  }

  onTurnEnd(): boolean {
    return this.#over || this.#sink.onResponseFlush()
  }

  onDrained(): void {
    if (!this.#over && !this.#ended) this.#sink.onRequestDrain()
  }

  onSent(): void {}

  fail(failure: UpstreamFailure): void {
    if (this.#over) return
    this.#over = true
    this.#sink.onFailure(failure)
  }
}

/** What a stream that never reached the app is told, by the peer's reason. */
function refusal(code: MuxCode): UpstreamFailure {
  if (code === 'ENDPOINT_MISMATCH') {
    const error = new FairleadError('ENDPOINT_MISMATCH', 'Another instance answers at this address.')
    return { error, reached: false, raced: false }
  }
  if (code === 'REFUSED' || code === 'FLOOD') {
    const error = new FairleadError('OVERLOADED', `The sidecar of the instance refuses more: ${code}.`)
    return { error, reached: false, raced: true }
  }
  if (code === 'DRAINING' || code === 'NONE') {
    return { error: new FairleadError('DRAINING', 'The instance is leaving.'), reached: false, raced: true }
  }
  const error = new FairleadError('UPSTREAM_PROTOCOL', `The sidecar of the instance refuses this connection: ${code}.`)
  return { error, reached: false, raced: false }
}

function failureOf(code: MuxCode): UpstreamFailure {
  if (code === 'REFUSED' || code === 'DRAINING') return refusal(code)
  if (code === 'BAD_HEAD') {
    const error = new FairleadError('UPSTREAM_PROTOCOL', 'The sidecar of the instance refused the head.')
    return { error, reached: false, raced: false }
  }
  const broke = code === 'BROKEN' || code === 'CANCELLED' || code === 'STALLED'
  const error = broke
    ? new FairleadError('UPSTREAM_RESET', `The sidecar of the instance broke the answer off: ${code}.`)
    : new FairleadError('UPSTREAM_PROTOCOL', `The sidecar of the instance reset the stream: ${code}.`)
  return { error, reached: true, raced: false }
}
