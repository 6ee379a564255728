// frame-reader.ts — cuts a byte stream into frames and checks what can be checked without knowing streams.
//
// Read buffers are reused: a frame is valid only during the call. What is left of a read is copied and joined once, when
// the frame that it begins is complete, so that a sender of single bytes costs a copy per byte and not per frame.

import { FRAME_HEAD_BYTES, MuxError, PAYLOAD_MAX, readU16, readU32, STREAM_ID_MAX } from './wire.ts'

export interface FrameSink {
  /** Payload is `bytes[from…to]`. False = read no further. */
  onFrame(type: number, flags: number, stream: number, bytes: Buffer, from: number, to: number): boolean
}

export class FrameReader {
  readonly #sink: FrameSink
  #pieces: Buffer[] = []
  #have = 0
  #need = FRAME_HEAD_BYTES

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Part of a frame is here and the rest is not. */
  get partial(): boolean {
    return this.#have > 0
  }

  /** @throws MuxError PROTOCOL, TOO_LARGE, and what the sink throws */
  feed(fresh: Buffer, count: number): void {
    let bytes = fresh
    let to = count
    if (this.#have > 0) {
      this.#pieces.push(Buffer.from(fresh.subarray(0, count)))
      this.#have += count
      if (this.#have < this.#need) return
      bytes = Buffer.concat(this.#pieces, this.#have)
      to = this.#have
      this.#pieces = []
      this.#have = 0
    }
    const at = this.#frames(bytes, to)
    if (at < to && at >= 0) this.#keep(bytes, at, to)
  }

  /** Returns the index after the last complete frame, or -1: the sink wants no more. */
  #frames(bytes: Buffer, to: number): number {
    let at = 0
    while (to - at >= FRAME_HEAD_BYTES) {
      const length = frameLength(bytes, at)
      const from = at + FRAME_HEAD_BYTES
      const end = from + length
      if (end > to) break
      const stream = readU32(bytes, at + 4)
      if (stream > STREAM_ID_MAX) throw new MuxError('PROTOCOL', 'a stream id beyond 31 bits')
      if (!this.#sink.onFrame(bytes[at + 2]!, bytes[at + 3]!, stream, bytes, from, end)) return -1
      at = end
    }
    return at
  }

  #keep(bytes: Buffer, at: number, to: number): void {
    this.#pieces.push(Buffer.from(bytes.subarray(at, to)))
    this.#have = to - at
    this.#need = FRAME_HEAD_BYTES + (this.#have >= FRAME_HEAD_BYTES ? frameLength(bytes, at) : 0)
  }
}

/** Checked as soon as the frame's head is there: nothing is collected for a frame that will be refused. */
function frameLength(bytes: Buffer, at: number): number {
  const length = readU16(bytes, at)
  const max = PAYLOAD_MAX[bytes[at + 2]!] ?? -1
  if (max < 0) throw new MuxError('PROTOCOL', `an unknown frame type ${bytes[at + 2]}`)
  if (length > max) throw new MuxError('TOO_LARGE', `a frame of ${length} bytes`)
  return length
}
