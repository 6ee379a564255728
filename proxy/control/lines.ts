// lines.ts — bytes to NDJSON lines, bounded.

import { FairleadError } from '../../kernel/errors.ts'

const NEWLINE = 0x0a

export class LineReader {
  readonly #bytesMax: number
  readonly #onLine: (line: string) => void
  #parts: Buffer[] = []
  #length = 0

  constructor(bytesMax: number, onLine: (line: string) => void) {
    this.#bytesMax = bytesMax
    this.#onLine = onLine
  }

  /** @throws FairleadError PAYLOAD_TOO_LARGE, and whatever `onLine` throws */
  push(chunk: Buffer): void {
    let from = 0
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.#add(chunk.subarray(from, at))
      const line = Buffer.concat(this.#parts).toString('utf8').trim()
      this.#parts = []
      this.#length = 0
      from = at + 1
      if (line !== '') this.#onLine(line)
    }
    this.#add(chunk.subarray(from))
  }

  #add(part: Buffer): void {
    this.#length += part.length
    if (this.#length > this.#bytesMax) {
      throw new FairleadError('PAYLOAD_TOO_LARGE', `A line is longer than ${this.#bytesMax} bytes.`)
    }
    if (part.length > 0) this.#parts.push(part)
  }
}
