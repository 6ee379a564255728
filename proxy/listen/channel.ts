// channel.ts — where a listener and a request path meet: one request at a time on one connection.

import type { FairleadError } from '../../kernel/errors.ts'
import type { ResponseHead } from '../exchange.ts'
import type { ParsedRequest } from '../http1/request-head.ts'

/** Who is at the other end; fixed for the life of a connection. */
export interface Peer {
  readonly address: string
  /** Verified SPIFFE ID; '' on a plain listener. */
  readonly spiffeId: string
  /** SHA-256 of the peer's certificate, hex; '' on a plain listener. */
  readonly certificateHash: string
}

/** The listener's side: the way to the client. */
export interface Channel {
  readonly peer: Peer
  /** Stages a head; `extra` are further field lines, each with CR LF. Leaves with `flush` or `end`. */
  respond(head: ResponseHead, extra: string): void
  /** Stages body bytes; they are valid only during the call. */
  write(bytes: Buffer, from: number, to: number): void
  /** False = wait for `onResponseDrain`. */
  flush(): boolean
  /** The response is complete; the connection goes on to the next request or closes. */
  end(): void
  /** Breaks the connection: the only honest end of a response that cannot be completed. */
  abort(): void
  /** After `onRequestFlush` said false. */
  resumeRequest(): void
  /** The connection closes after this response. */
  closeAfter(): void
}

/** The path's side: one request. After `onClientGone` no callback follows. */
export interface RequestSink {
  /** Bytes are valid only during the call. */
  onRequestBody(bytes: Buffer, from: number, to: number): void
  onRequestEnd(): void
  /** The turn's bytes are handed over. False = read no more until `resumeRequest`. */
  onRequestFlush(): boolean
  /** The response may flow again. */
  onResponseDrain(): void
  /** The client left, or `error`: it broke the framing of its body. */
  onClientGone(error: FairleadError | undefined): void
}

export interface ChannelHandler {
  onRequest(channel: Channel, head: ParsedRequest): RequestSink
  /** A head that was refused: answer it; the connection closes after that. */
  onMalformed(channel: Channel, error: FairleadError): void
}
