// local-request.ts — one request to `/.fairlead/*`: collects its body, asks the local surface, answers JSON.
//
// Off the hot path. Bounded: a body of at most BODY_BYTES_MAX. Not recorded as an exchange of the mesh.

import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { LocalSurface } from '../exchange.ts'
import type { ParsedRequest } from '../http1/request-head.ts'
import type { Channel, RequestSink } from '../listen/channel.ts'
import { answerError, answerJson } from './answer.ts'

const BODY_BYTES_MAX = 1024 * 1024

export class LocalRequest implements RequestSink {
  readonly #surface: LocalSurface
  readonly #channel: Channel
  readonly #head: ParsedRequest
  readonly #pieces: Buffer[] = []
  #bytes = 0
  #over = false

  constructor(surface: LocalSurface, channel: Channel, head: ParsedRequest) {
    this.#surface = surface
    this.#channel = channel
    this.#head = head
  }

  /** To be called once, at once. */
  start(): void {
    if (this.#head.body === 0) void this.#handle()
  }

  onRequestBody(bytes: Buffer, from: number, to: number): void {
    if (this.#over) return
    this.#bytes += to - from
    if (this.#bytes <= BODY_BYTES_MAX) this.#pieces.push(Buffer.from(bytes.subarray(from, to)))
    else this.#fail(new FairleadError('PAYLOAD_TOO_LARGE', `The body has more than ${BODY_BYTES_MAX} bytes.`))
  }

  onRequestEnd(): void {
    if (!this.#over) void this.#handle()
  }

  onRequestFlush(): boolean {
    return true
  }

  onResponseDrain(): void {}

  onClientGone(error: FairleadError | undefined): void {
    if (error !== undefined) this.#fail(error)
    this.#over = true
  }

  async #handle(): Promise<void> {
    const { method, path, fields } = this.#head
    try {
      const answer = await this.#surface.handle(method, path, fields, Buffer.concat(this.#pieces))
      if (this.#over) return
      this.#over = true
      answerJson(this.#channel, answer.status, answer.body)
    } catch (thrown) {
      this.#fail(asFairleadError(thrown))
    }
  }

  #fail(error: FairleadError): void {
    if (this.#over) return
    this.#over = true
    if (this.#head.body !== 0) this.#channel.closeAfter()
    answerError(this.#channel, error, '', '')
  }
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1'])

/** A browser page that rebinds a name to us, or that posts across origins, is no part of the app (T11). */
export function refuseForeign(head: ParsedRequest): FairleadError | undefined {
  const { authority, fields } = head
  if (authority.kind === 'mesh' || !LOOPBACK.has(authority.host)) {
    return new FairleadError('HOST_NOT_ALLOWED', 'The local surface answers on a loopback name or address only.')
  }
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === 'origin') return new FairleadError('FOREIGN_ORIGIN', 'The local surface is not for web pages.')
  }
  return undefined
}
