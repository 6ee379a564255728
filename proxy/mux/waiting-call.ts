// waiting-call.ts — a call that has no stream yet: it waits for a connection, then everything goes to its stream.
//
// Modes: waiting (body bytes are held; `flush` stops the source after the first turn of them), attached, over.

import type { FairleadError } from '../../kernel/errors.ts'
import type { ResponseSink, UpstreamCall, UpstreamRequest } from '../transport/seam.ts'

export class WaitingCall implements UpstreamCall {
  readonly request: UpstreamRequest
  readonly sink: ResponseSink
  over = false
  #call: UpstreamCall | undefined
  #held: Buffer[] | undefined
  #ended = false
  #stopped = false
  readonly #cancel: (call: WaitingCall) => void

  constructor(request: UpstreamRequest, sink: ResponseSink, cancel: (call: WaitingCall) => void) {
    this.request = request
    this.sink = sink
    this.#cancel = cancel
    this.#ended = request.body === 0
  }

  write(bytes: Buffer, from: number, to: number): void {
    if (this.over) return
    if (this.#call !== undefined) {
      this.#call.write(bytes, from, to)
      return
    }
    this.#held ??= []
    this.#held.push(Buffer.from(bytes.subarray(from, to)))
  }

  end(): void {
    if (this.over || this.#ended) return
    this.#ended = true
    this.#call?.end()
  }

  flush(): boolean {
    if (this.over) return true
    if (this.#call !== undefined) return this.#call.flush()
    this.#stopped = this.#held !== undefined
    return !this.#stopped
  }

  resume(): void {
    this.#call?.resume()
  }

  abort(): void {
    if (this.over) return
    if (this.#call !== undefined) {
      this.#call.abort()
      return
    }
    this.over = true
    this.#held = undefined
    this.#cancel(this)
  }

  /** What waited goes to `call`. */
  attach(call: UpstreamCall): void {
    this.#call = call
    for (const piece of this.#held ?? []) call.write(piece, 0, piece.length)
    this.#held = undefined
    if (this.#ended && this.request.body !== 0) call.end()
    if (call.flush() && this.#stopped) this.sink.onRequestDrain()
  }

  fail(error: FairleadError): void {
    if (this.over) return
    this.over = true
    this.#held = undefined
    this.sink.onFailure({ error, reached: false, raced: false })
  }
}

/** A call that is over before it began. */
export function failedCall(sink: ResponseSink, error: FairleadError): UpstreamCall {
  let over = false
  queueMicrotask(() => {
    if (!over) sink.onFailure({ error, reached: false, raced: false })
  })
  return {
    write: () => undefined,
    end: () => undefined,
    flush: () => true,
    resume: () => undefined,
    abort: () => {
      over = true
    },
  }
}
