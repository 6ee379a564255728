// outbox.ts — collects what one turn wants to write to a socket and hands it over in one write.
//
// Small pieces are joined as one Latin-1 string (one copy into the kernel, no Buffer made); large ones are copied, since
// read buffers are reused, and leave in one writev. Bounded by the reader: it pauses while `flush` says false.

import type { Socket } from 'node:net'
import { latin1 } from './bytes.ts'

/** Up to here a copy as text is cheaper than a Buffer (bench/proxy.ts, one-hop-32). */
const TEXT_BYTES_MAX = 4 * 1024

export class Outbox {
  readonly #socket: Socket
  #text = ''
  #pieces: (string | Buffer)[] | undefined

  constructor(socket: Socket) {
    this.#socket = socket
  }

  text(text: string): void {
    this.#text += text
  }

  bytes(bytes: Buffer, from: number, to: number): void {
    if (to - from <= TEXT_BYTES_MAX) {
      this.#text += latin1(bytes, from, to)
      return
    }
    this.#pieces ??= []
    if (this.#text !== '') this.#pieces.push(this.#text)
    this.#pieces.push(Buffer.from(bytes.subarray(from, to)))
    this.#text = ''
  }

  /** A piece that nobody changes any more: taken as it is. */
  owned(piece: Buffer): void {
    this.#pieces ??= []
    if (this.#text !== '') this.#pieces.push(this.#text)
    this.#pieces.push(piece)
    this.#text = ''
  }

  /** As `bytes`, framed as one chunk. */
  chunk(bytes: Buffer, from: number, to: number): void {
    this.#text += `${(to - from).toString(16)}\r\n`
    this.bytes(bytes, from, to)
    this.#text += '\r\n'
  }

  /** Writes what was collected. False = the socket is full: wait for its `drain`. */
  flush(): boolean {
    const socket = this.#socket
    if (this.#pieces !== undefined) return this.#flushPieces()
    if (this.#text === '') return !socket.writableNeedDrain
    const text = this.#text
    this.#text = ''
    return socket.write(text, 'latin1')
  }

  #flushPieces(): boolean {
    const socket = this.#socket
    const pieces = this.#pieces!
    this.#pieces = undefined
    socket.cork()
    for (const piece of pieces) socket.write(piece, 'latin1')
    if (this.#text !== '') socket.write(this.#text, 'latin1')
    this.#text = ''
    socket.uncork()
    return !socket.writableNeedDrain
  }
}
