// lines.ts — NDJSON from a byte stream: whole lines out, one bounded buffer.

import { FairleadError } from '../../kernel/errors.ts'

export class LineReader {
  readonly #bytesMax: number
  #held: Buffer[] = []
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Lines that `chunk` completes; empty ones are left out. @throws FairleadError PAYLOAD_TOO_LARGE */
  push(chunk: Buffer): string[] {
    const lines: string[] = []
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      this.#hold(chunk.subarray(from, at))
      const line = Buffer.concat(this.#held).toString('utf8')
      this.#held = []
      this.#bytes = 0
      if (line.trim() !== '') lines.push(line)
      from = at + 1
    }
    this.#hold(chunk.subarray(from))
    return lines
  }

  #hold(part: Buffer): void {
    if (part.length === 0) return
    this.#bytes += part.length
    if (this.#bytes > this.#bytesMax) {
      throw new FairleadError('PAYLOAD_TOO_LARGE', `A line has more than ${this.#bytesMax} bytes.`)
    }
    this.#held.push(part)
  }
}
