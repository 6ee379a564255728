// server-connection.ts — one connection of a client: reads requests one at a time, writes answers in order.
//
// Modes: waiting for a head → request (body flows in, answer flows out, each may end first) → waiting …, or closing:
// the answer is out, nothing more is served, what still comes in is thrown away until the client closes (lingering).
// Pipelined requests wait in `tail` with the socket paused. What is refused is answered and closed, never guessed.

import type { Socket } from 'node:net'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { ResponseHead } from '../exchange.ts'
import { BodyReader, type BodySink } from '../http1/body-reader.ts'
import { Outbox } from '../http1/outbox.ts'
import { type ParsedRequest, parseRequestHead } from '../http1/request-head.ts'
import { CHUNKED, CONNECTION_CLOSE, CONTINUE, fieldsText, LAST_CHUNK, statusLine } from '../http1/write-head.ts'
import type { Channel, ChannelHandler, Peer, RequestSink } from './channel.ts'

/** Rest of a request body that is read and thrown away to keep the connection after an early answer. */
const DISCARD_BYTES_MAX = 64 * 1024

export interface ServerConnectionOwner {
  readonly handler: ChannelHandler
  readonly limits: ConnectionLimits
  /** New answers say `connection: close`. */
  readonly draining: boolean
  /** Coarse monotonic time, moved by the listener's sweep. */
  readonly coarseNow: number
  /** Called once. */
  gone(connection: ServerConnection): void
}

export interface ConnectionLimits {
  readonly headTimeoutMs: number
  readonly idleTimeoutMs: number
  /** No progress of a body in either direction. */
  readonly stallTimeoutMs: number
  readonly lingerMs: number
}

export class ServerConnection implements Channel, BodySink {
  readonly peer: Peer
  readonly #socket: Socket
  readonly #owner: ServerConnectionOwner
  readonly #out: Outbox
  readonly #reader = new BodyReader()
  #sink: RequestSink | undefined
  #tail: Buffer | undefined
  /** Body bytes of the turn in which a head came: [from, to) pairs, delivered once the path has its sink. */
  #early: number[] | undefined
  #active = false
  #closing = false
  #gone = false
  #closeAfter = false
  #http10 = false
  #headMethod = false
  #chunkedOut = false
  #bodiless = false
  #responded = false
  #pausedByPath = false
  #discarded = 0
  #served = 0
  #since: number

  constructor(socket: Socket, peer: Peer, owner: ServerConnectionOwner) {
    this.#socket = socket
    this.peer = peer
    this.#owner = owner
    this.#out = new Outbox(socket)
    this.#since = owner.coarseNow
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('drain', () => this.#onDrain())
    socket.on('end', () => this.#onGone())
    socket.on('error', () => this.#onGone())
    socket.on('close', () => this.#onGone())
  }

  /** Waiting for a request, nothing of it seen. */
  get idle(): boolean {
    return !this.#active && this.#tail === undefined && !this.#closing
  }

  // ── Channel ───────────────────────────────────────────────────────────────────────────────────────────────────────

  respond(head: ResponseHead, extra: string): void {
    this.#responded = true
    this.#since = this.#owner.coarseNow
    const bodiless = head.status === 204 || head.status === 304 || this.#headMethod
    this.#bodiless = bodiless
    this.#chunkedOut = !bodiless && typeof head.body !== 'number' && !this.#http10
    let framing = ''
    if (this.#chunkedOut) framing = CHUNKED
    else if (typeof head.body !== 'number') this.#closeAfter = true
    else if (!bodiless) framing = `content-length: ${head.body}\r\n`
    if (this.#owner.draining) this.#closeAfter = true
    const close = this.#closeAfter ? CONNECTION_CLOSE : ''
    this.#out.text(`${statusLine(head.status)}${head.lines ?? fieldsText(head.fields)}${extra}${framing}${close}\r\n`)
  }

  write(bytes: Buffer, from: number, to: number): void {
    if (this.#chunkedOut) this.#out.chunk(bytes, from, to)
    else if (!this.#bodiless) this.#out.bytes(bytes, from, to)
  }

  flush(): boolean {
    return this.#gone || this.#out.flush()
  }

  end(): void {
    if (this.#chunkedOut) this.#out.text(LAST_CHUNK)
    this.#out.flush()
    this.#active = false
    this.#sink = undefined
    this.#served++
    this.#since = this.#owner.coarseNow
    if (!this.#reader.done && this.#reader.left > DISCARD_BYTES_MAX) this.#closeAfter = true
    if (this.#closeAfter) {
      this.#close()
      return
    }
    if (this.#pausedByPath) this.resumeRequest()
    if (this.#tail !== undefined) queueMicrotask(() => this.#continue())
  }

  abort(): void {
    this.#active = false
    this.#sink = undefined
    this.#socket.destroy()
    this.#onGone()
  }

  resumeRequest(): void {
    if (!this.#pausedByPath) return
    this.#pausedByPath = false
    this.#since = this.#owner.coarseNow
    this.#socket.resume()
  }

  closeAfter(): void {
    this.#closeAfter = true
  }

  // ── from the listener ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Looks for what takes too long; called about once a second. */
  sweep(): void {
    const waited = this.#owner.coarseNow - this.#since
    const { limits } = this.#owner
    if (this.#closing) {
      if (waited > limits.lingerMs) this.#socket.destroy()
    } else if (this.#active) this.#sweepActive(waited)
    else if (this.#tail !== undefined) {
      if (waited > limits.headTimeoutMs) {
        this.#malformed(new FairleadError('REQUEST_TIMEOUT', 'The request head took too long.'))
      }
    } else if (waited > (this.#served === 0 ? limits.headTimeoutMs : limits.idleTimeoutMs)) this.#socket.destroy()
  }

  /** `draining` of the listener says it with each answer. */
  drainStarts(): void {}

  /** Nothing in flight: leaves now. */
  closeIdle(): void {
    if (this.idle) this.#close()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** BodySink */
  onBody(bytes: Buffer, from: number, to: number): void {
    if (this.#early !== undefined) this.#early.push(from, to)
    else if (this.#sink !== undefined) this.#sink.onRequestBody(bytes, from, to)
    else this.#discarded += to - from
  }

  #onData(chunk: Buffer): void {
    if (this.#closing || this.#gone) return
    let bytes = chunk
    if (this.#tail !== undefined) {
      bytes = Buffer.concat([this.#tail, chunk])
      this.#tail = undefined
    } else if (!this.#active) this.#since = this.#owner.coarseNow
    this.#consume(bytes)
  }

  #continue(): void {
    const bytes = this.#tail
    if (bytes === undefined || this.#active || this.#closing || this.#gone) return
    this.#tail = undefined
    this.#since = this.#owner.coarseNow
    this.#socket.resume()
    this.#consume(bytes)
  }

  #consume(bytes: Buffer): void {
    let at = 0
    try {
      while (at < bytes.length && !this.#closing && !this.#gone) {
        if (!this.#reader.done) at = this.#feed(bytes, at)
        else if (this.#active || this.#socket.writableNeedDrain) {
          this.#pipelined(bytes, at)
          return
        } else at = this.#head(bytes, at)
      }
    } catch (thrown) {
      this.#malformed(asFairleadError(thrown))
      return
    }
    if (this.#sink !== undefined && !this.#sink.onRequestFlush()) this.#pauseByPath()
  }

  /** The next request waits until this one is answered, and its answer has left. */
  #pipelined(bytes: Buffer, at: number): void {
    this.#tail = bytes.subarray(at)
    this.#socket.pause()
    this.#sink?.onRequestFlush()
  }

  #pauseByPath(): void {
    if (this.#reader.done) return
    this.#pausedByPath = true
    this.#socket.pause()
  }

  #feed(bytes: Buffer, at: number): number {
    this.#since = this.#owner.coarseNow
    const end = this.#reader.feed(bytes, at, bytes.length, this)
    if (this.#reader.done) this.#sink?.onRequestEnd()
    else if (this.#discarded > DISCARD_BYTES_MAX) this.#close()
    return end
  }

  /** Returns the index after the head and what came of its body. */
  #head(bytes: Buffer, at: number): number {
    const head = parseRequestHead(bytes, at, bytes.length)
    if (head === undefined) {
      this.#tail = at === 0 ? bytes : bytes.subarray(at)
      return bytes.length
    }
    this.#closeAfter = head.close
    this.#http10 = head.http10
    this.#headMethod = head.method === 'HEAD'
    this.#responded = this.#chunkedOut = false
    this.#discarded = 0
    if (head.body !== 0) return this.#beginWithBody(head, bytes)
    this.#active = true
    const sink = this.#owner.handler.onRequest(this, head)
    if (this.#active) this.#sink = sink
    return head.end
  }

  /** Reads what is there of the body first: an offence in the same packet is refused before anything goes upstream. */
  #beginWithBody(head: ParsedRequest, bytes: Buffer): number {
    const early: number[] = []
    this.#early = early
    this.#reader.begin(head.body)
    let end: number
    try {
      end = this.#reader.feed(bytes, head.end, bytes.length, this)
    } finally {
      this.#early = undefined
    }
    this.#active = true
    const sink = this.#owner.handler.onRequest(this, head)
    if (!this.#active) return end
    this.#sink = sink
    if (head.expectContinue && !this.#responded && !this.#reader.done) this.#socket.write(CONTINUE, 'latin1')
    for (let i = 0; i < early.length && this.#sink === sink; i += 2) {
      sink.onRequestBody(bytes, early[i]!, early[i + 1]!)
    }
    if (this.#reader.done && this.#sink === sink) sink.onRequestEnd()
    return end
  }

  // ── endings ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Answers 4xx when nothing was answered yet, and closes. */
  #malformed(error: FairleadError): void {
    const sink = this.#sink
    this.#sink = undefined
    this.#closeAfter = true
    this.#reader.begin(0)
    if (this.#active && sink !== undefined) {
      sink.onClientGone(error)
      return
    }
    this.#active = true
    this.#headMethod = this.#chunkedOut = this.#http10 = false
    this.#owner.handler.onMalformed(this, error)
  }

  /** Half-closes, then throws away what still comes: a reset would take the answer from the client. */
  #close(): void {
    if (this.#closing) return
    this.#closing = true
    this.#tail = undefined
    this.#since = this.#owner.coarseNow
    this.#socket.resume()
    this.#socket.end()
  }

  #sweepActive(waited: number): void {
    if (waited <= this.#owner.limits.stallTimeoutMs) return
    const bodyStalled = !this.#reader.done && !this.#pausedByPath
    if (bodyStalled && !this.#responded) {
      this.#malformed(new FairleadError('REQUEST_TIMEOUT', 'The request body stopped arriving.'))
    } else if (bodyStalled || this.#socket.writableNeedDrain) this.#socket.destroy()
  }

  #onDrain(): void {
    this.#since = this.#owner.coarseNow
    if (this.#sink !== undefined) this.#sink.onResponseDrain()
    else if (this.#tail !== undefined) this.#continue()
  }

  #onGone(): void {
    if (this.#gone) return
    if (this.#closing && !this.#socket.destroyed) {
      // Our answer is out and the client is done too.
      this.#socket.destroySoon()
    }
    this.#gone = true
    const sink = this.#sink
    this.#sink = undefined
    this.#active = false
    this.#owner.gone(this)
    sink?.onClientGone(undefined)
    if (!this.#closing) this.#socket.destroy()
  }
}
