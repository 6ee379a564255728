// seam.ts — the one seam of every transport: `open(request, sink) → call`. HTTP/1.1 today, mux by ALPN later.
//
// Callbacks instead of promises and streams: on the hot path a request costs one object here (DESIGN §6).
// Order of callbacks: onHead, onBody…, then onEnd or onFailure, once; onResponseFlush after each turn that brought bytes.
// After `abort()` no callback comes any more.

import type { FairleadError } from '../../kernel/errors.ts'
import type { Fields, ResponseHead } from '../exchange.ts'

export interface UpstreamRequest {
  readonly method: string
  /** Canonical path with query. */
  readonly target: string
  readonly host: string
  /** End-to-end fields only; without host and framing. */
  readonly fields: Fields
  readonly body: number | 'chunked'
}

export interface UpstreamFailure {
  readonly error: FairleadError
  /** False = no byte of the request can have reached the app: safe to repeat whatever the method. */
  readonly reached: boolean
  /** A kept-alive connection that closed before any byte of the answer: most likely its idle timeout met our request. */
  readonly raced: boolean
}

export interface ResponseSink {
  onHead(head: ResponseHead): void
  /** Bytes are valid only during the call. */
  onBody(bytes: Buffer, from: number, to: number): void
  onEnd(): void
  onFailure(failure: UpstreamFailure): void
  /** The turn's bytes are all handed over. False = read no more until `resume()`. */
  onResponseFlush(): boolean
  /** The request body may flow again after `flush()` said false. */
  onRequestDrain(): void
}

export interface UpstreamCall {
  write(bytes: Buffer, from: number, to: number): void
  end(): void
  /** Sends what was written in this turn. False = wait for `onRequestDrain`. */
  flush(): boolean
  resume(): void
  /** Nobody wants the answer any more: the connection is given up, no callback follows. */
  abort(): void
}

export interface Limits {
  readonly maxConnections: number
  readonly maxPendingRequests: number
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
}
