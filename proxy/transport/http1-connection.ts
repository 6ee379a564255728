// http1-connection.ts — one client connection to one endpoint; carries one request at a time.
//
// Modes: idle → busy (head sent) → answering (response head seen) → idle again, or closed. It goes back to its pool only
// when request and response ended exactly; any doubt (extra bytes, early answer, until-close) closes it.
// Read buffers are reused (`onread`): nothing may keep a slice past its callback.

import type { Socket } from 'node:net'
import { FairleadError } from '../../kernel/errors.ts'
import { BodyReader, type BodySink } from '../http1/body-reader.ts'
import { Outbox } from '../http1/outbox.ts'
import { parseResponseHead } from '../http1/response-head.ts'
import { LAST_CHUNK, requestText } from '../http1/write-head.ts'
import type { Http1Call } from './http1-call.ts'

/** RFC 9110 §15.2 sets no bound; a peer that sends more than this is broken or hostile (T5). */
const INTERIM_MAX = 8

export interface ConnectionOwner {
  /** Ready for the next request. */
  released(connection: Http1Connection): void
  closed(connection: Http1Connection): void
}

export class Http1Connection implements BodySink {
  readonly #socket: Socket
  readonly #owner: ConnectionOwner
  readonly #out: Outbox
  readonly #reader = new BodyReader()
  #call: Http1Call | undefined
  #tail: Buffer | undefined
  #headSeen = false
  #requestEnded = true
  #interim = 0
  #used = 0
  #keep = true
  #gone = false
  #paused = false
  /** Monotonic time of the last release; the pool's sweep compares it. */
  idleSince = 0

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.#socket = socket
    this.#owner = owner
    this.#out = new Outbox(socket)
    socket.on('drain', () => this.#call?.sink.onRequestDrain())
    socket.on('end', () => this.#onEnd())
    socket.on('error', (error) => this.#onGone(error))
    socket.on('close', () => this.#onGone(undefined))
  }

  get usable(): boolean {
    return !this.#gone && this.#call === undefined && this.#keep && this.#socket.writable
  }

  get socket(): Socket {
    return this.#socket
  }

  start(call: Http1Call): void {
    const { request } = call
    this.#call = call
    this.#headSeen = false
    this.#interim = 0
    this.#used++
    this.#requestEnded = request.body === 0
    this.#out.text(requestText(request.method, request.target, request.host, request.fields, request.body))
    call.attach(this)
  }

  writeBody(bytes: Buffer, from: number, to: number): void {
    if (this.#call?.request.body === 'chunked') this.#out.chunk(bytes, from, to)
    else this.#out.bytes(bytes, from, to)
  }

  endBody(): void {
    if (this.#call?.request.body === 'chunked') this.#out.text(LAST_CHUNK)
    this.#requestEnded = true
  }

  flush(): boolean {
    return this.#gone || this.#out.flush()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#socket.resume()
  }

  /** The call does not want its answer. */
  giveUp(): void {
    this.#call = undefined
    this.destroy()
  }

  destroy(): void {
    this.#keep = false
    this.#socket.destroy()
  }

  /** `bytes[0…count]` arrived. False = read no more for now. */
  onRead(count: number, bytes: Buffer): boolean {
    const call = this.#call
    if (call === undefined) {
      // Bytes that nobody asked for: a desynchronised or hostile peer (T5).
      if (count > 0) this.destroy()
      return true
    }
    try {
      this.#consume(call, bytes, count)
    } catch (thrown) {
      this.#protocolError(thrown)
      return true
    }
    if (this.#call !== call) return true
    this.#paused = !call.sink.onResponseFlush()
    return !this.#paused
  }

  /** BodySink */
  onBody(bytes: Buffer, from: number, to: number): void {
    this.#call?.sink.onBody(bytes, from, to)
  }

  #consume(call: Http1Call, fresh: Buffer, count: number): void {
    let bytes = fresh
    let to = count
    if (this.#tail !== undefined) {
      bytes = Buffer.concat([this.#tail, fresh.subarray(0, count)])
      to = bytes.length
      this.#tail = undefined
    }
    let at = 0
    while (!this.#headSeen) {
      const next = this.#head(call, bytes, at, to)
      if (next < 0 || this.#call !== call) return
      at = next
    }
    if (!this.#reader.done) at = this.#reader.feed(bytes, at, to, this)
    if (this.#reader.done && this.#call === call) this.#finish(call, at < to)
  }

  /** Returns the index after the head; -1 = more is needed. */
  #head(call: Http1Call, bytes: Buffer, at: number, to: number): number {
    const head = at < to ? parseResponseHead(bytes, at, to, call.request.method) : undefined
    if (head === undefined) {
      if (at < to) this.#tail = Buffer.from(bytes.subarray(at, to))
      return -1
    }
    if (head.interim) {
      if (head.status === 101) throw new FairleadError('UPSTREAM_PROTOCOL', 'The app switched protocols unasked.')
      if (++this.#interim > INTERIM_MAX) throw new FairleadError('UPSTREAM_PROTOCOL', 'Too many interim responses.')
      return head.end
    }
    this.#headSeen = true
    if (head.close || head.body === 'until-close') this.#keep = false
    this.#reader.begin(head.body)
    call.sink.onHead(head)
    return head.end
  }

  #finish(call: Http1Call, extra: boolean): void {
    this.#call = undefined
    call.over = true
    if (extra || !this.#requestEnded) this.#keep = false
    if (this.#keep) this.#owner.released(this)
    else this.#socket.destroy()
    call.sink.onEnd()
  }

  #protocolError(thrown: unknown): void {
    const call = this.#call
    this.#call = undefined
    this.destroy()
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    const error = new FairleadError('UPSTREAM_PROTOCOL', `The answer was not understood: ${why}`, { cause: thrown })
    call?.fail(error, true, false)
  }

  /** The peer sends no more. */
  #onEnd(): void {
    const call = this.#call
    if (call !== undefined && this.#headSeen && this.#reader.untilClose) this.#finish(call, false)
    else this.#onGone(undefined)
  }

  #onGone(cause: Error | undefined): void {
    if (this.#gone) return
    this.#gone = true
    this.#keep = false
    const call = this.#call
    this.#call = undefined
    this.#socket.destroy()
    this.#owner.closed(this)
    if (call === undefined) return
    const raced = this.#used > 1 && !this.#headSeen && this.#tail === undefined && this.#interim === 0
    const error = new FairleadError('UPSTREAM_RESET', 'The connection closed before the answer was complete.', {
      cause,
    })
    call.fail(error, true, raced)
  }
}
