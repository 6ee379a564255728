// http1-call.ts — one request on its way: waiting for a connection, then on it, then over.
//
// Modes: waiting (body bytes are held, at most HELD_BYTES_MAX before `flush` says stop), attached, over.

import type { FairleadError } from '../../kernel/errors.ts'
import type { Http1Connection } from './http1-connection.ts'
import type { ResponseSink, UpstreamCall, UpstreamRequest } from './seam.ts'

export interface CallOwner {
  /** A call that waits is not wanted any more. */
  cancel(call: Http1Call): void
}

export class Http1Call implements UpstreamCall {
  readonly request: UpstreamRequest
  readonly sink: ResponseSink
  connection: Http1Connection | undefined
  over = false
  readonly #owner: CallOwner
  #held: Buffer[] | undefined
  #ended = false
  #stopped = false

  constructor(owner: CallOwner, request: UpstreamRequest, sink: ResponseSink) {
    this.#owner = owner
    this.request = request
    this.sink = sink
    this.#ended = request.body === 0
  }

  write(bytes: Buffer, from: number, to: number): void {
    if (this.over) return
    if (this.connection !== undefined) {
      this.connection.writeBody(bytes, from, to)
      return
    }
    this.#held ??= []
    this.#held.push(Buffer.from(bytes.subarray(from, to)))
  }

  end(): void {
    if (this.over || this.#ended) return
    this.#ended = true
    this.connection?.endBody()
  }

  flush(): boolean {
    if (this.over) return true
    if (this.connection !== undefined) return this.connection.flush()
    this.#stopped = this.#held !== undefined
    return !this.#stopped
  }

  resume(): void {
    // When it is over, the connection may carry another call, which may have paused it.
    if (!this.over) this.connection?.resume()
  }

  abort(): void {
    if (this.over) return
    this.over = true
    if (this.connection !== undefined) this.connection.giveUp()
    else this.#owner.cancel(this)
  }

  /** The connection is there and has written the head: what waited goes after it. */
  attach(connection: Http1Connection): void {
    this.connection = connection
    if (this.#held !== undefined) {
      for (const piece of this.#held) connection.writeBody(piece, 0, piece.length)
      this.#held = undefined
    }
    if (this.#ended && this.request.body !== 0) connection.endBody()
    if (connection.flush() && this.#stopped) this.sink.onRequestDrain()
  }

  fail(error: FairleadError, reached: boolean, raced: boolean): void {
    if (this.over) return
    this.over = true
    this.sink.onFailure({ error, reached, raced })
  }
}
