// body-reader.ts — takes a message body out of a byte stream: by length, chunked (RFC 9112 §7.1), or until close.
//
// Modes: a count of bytes left; chunked, with a state per byte outside of data; until-close, which never ends by itself.
// Chunk extensions are capped and dropped, trailers are checked, capped and dropped (T3). One reader serves a connection.

import { COLON, CR, HEX, HTAB, LF, SP, TOKEN, VALUE } from './bytes.ts'
import { FIELDS_MAX, HEAD_BYTES_MAX, refuse, refuseLarge } from './refusal.ts'

/** Bytes `from`…`to` of `bytes` are body; valid only during the call. */
export interface BodySink {
  onBody(bytes: Buffer, from: number, to: number): void
}

/** Over all chunks of one body. */
const EXTENSION_BYTES_MAX = 4 * 1024
const SIZE_DIGITS_MAX = 12

const DATA = 0
const SIZE = 1
const EXTENSION = 2
const SIZE_LF = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILER_START = 6
const TRAILER_NAME = 7
const TRAILER_VALUE = 8
const TRAILER_LF = 9
const END_LF = 10

export class BodyReader {
  done = true
  #left = 0
  #chunked = false
  #state = DATA
  #digits = 0
  #extensionBytes = 0
  #trailerBytes = 0
  #trailers = 0

  begin(body: number | 'chunked' | 'until-close'): void {
    this.#chunked = body === 'chunked'
    this.#left = typeof body === 'number' ? body : body === 'chunked' ? 0 : Number.POSITIVE_INFINITY
    this.done = body === 0
    if (!this.#chunked) return
    this.#state = SIZE
    this.#digits = this.#extensionBytes = this.#trailerBytes = this.#trailers = 0
  }

  /** Bytes still to come when they are known, else Infinity. */
  get left(): number {
    return this.#chunked ? Number.POSITIVE_INFINITY : this.#left
  }

  /** True while the body ends with the connection. */
  get untilClose(): boolean {
    return !this.#chunked && this.#left === Number.POSITIVE_INFINITY
  }

  /** Feeds `bytes`; returns the index after the last byte that belongs to this body. @throws FairleadError */
  feed(bytes: Buffer, from: number, to: number, sink: BodySink): number {
    if (this.#chunked) return this.#feedChunked(bytes, from, to, sink)
    const end = to - from < this.#left ? to : from + this.#left
    this.#left -= end - from
    this.done = this.#left === 0
    if (end > from) sink.onBody(bytes, from, end)
    return end
  }

  #feedChunked(bytes: Buffer, from: number, to: number, sink: BodySink): number {
    let at = from
    while (at < to && !this.done) {
      if (this.#state !== DATA) this.#step(bytes[at++]!)
      else at = this.#data(bytes, at, to, sink)
    }
    return at
  }

  #data(bytes: Buffer, from: number, to: number, sink: BodySink): number {
    const end = to - from < this.#left ? to : from + this.#left
    this.#left -= end - from
    if (this.#left === 0) this.#state = DATA_CR
    sink.onBody(bytes, from, end)
    return end
  }

  #step(byte: number): void {
    switch (this.#state) {
      case SIZE:
        this.#size(byte)
        return
      case EXTENSION:
        this.#extension(byte)
        return
      case SIZE_LF:
        expect(byte, LF, 'a chunk size that does not end in CR LF')
        this.#state = this.#left === 0 ? TRAILER_START : DATA
        return
      case DATA_CR:
        expect(byte, CR, 'a chunk that is longer than its size')
        this.#state = DATA_LF
        return
      case DATA_LF:
        expect(byte, LF, 'a chunk that does not end in CR LF')
        this.#state = SIZE
        this.#digits = 0
        return
      default:
        this.#trailer(byte)
        return
    }
  }

  #size(byte: number): void {
    const value = HEX[byte]!
    if (value <= 15) {
      if (++this.#digits > SIZE_DIGITS_MAX) refuse('a chunk size with too many digits')
      this.#left = this.#left * 16 + value
    } else if (this.#digits === 0) refuse('a chunk without a size')
    else if (byte === CR) this.#state = SIZE_LF
    else if (byte === 59) this.#state = EXTENSION
    else refuse('a malformed chunk size')
  }

  #extension(byte: number): void {
    if (byte === CR) this.#state = SIZE_LF
    else if (VALUE[byte] !== 1) refuse('a control character in a chunk extension')
    else if (++this.#extensionBytes > EXTENSION_BYTES_MAX) refuse('chunk extensions that are too long')
  }

  #trailer(byte: number): void {
    if (++this.#trailerBytes > HEAD_BYTES_MAX) refuseLarge()
    switch (this.#state) {
      case TRAILER_START:
        if (byte === CR) this.#state = END_LF
        else if (TOKEN[byte] !== 1) refuse('a malformed trailer name')
        else if (++this.#trailers > FIELDS_MAX) refuseLarge()
        else this.#state = TRAILER_NAME
        return
      case TRAILER_NAME:
        if (byte === COLON) this.#state = TRAILER_VALUE
        else if (TOKEN[byte] !== 1) refuse('a malformed trailer name')
        return
      case TRAILER_VALUE:
        if (byte === CR) this.#state = TRAILER_LF
        else if (VALUE[byte] !== 1 && byte !== SP && byte !== HTAB) refuse('a control character in a trailer')
        return
      case TRAILER_LF:
        expect(byte, LF, 'bare CR')
        this.#state = TRAILER_START
        return
      default:
        expect(byte, LF, 'a last chunk that does not end in CR LF')
        this.done = true
    }
  }
}

function expect(byte: number, wanted: number, offence: string): void {
  if (byte !== wanted) refuse(offence)
}
