// stream.ts — one stream of a mux connection: the body that leaves, the body that comes, and the credit of both.
//
// What cannot leave now waits in a queue that is bounded by its source: the source stops when `mayFlow` says false, after at
// most one read more. What comes is handed on at once; the peer may send more only while the receiver keeps up.

import type { MuxCode } from './wire.ts'
import { DATA_PAYLOAD_MAX, STREAM_CREDIT, STREAM_CREDIT_GROWN } from './wire.ts'

/** What a stream asks of its connection. */
export interface StreamCarrier {
  /** Bytes that this side received for streams whose reader does not keep up. */
  held: number
  /** Nothing more may be staged for now. */
  readonly full: boolean
  /** True = a DATA frame of that size may be staged at once. */
  mayStage(bytes: number): boolean
  stageData(stream: number, bytes: Buffer, from: number, to: number): void
  stageOwned(stream: number, piece: Buffer): void
  stageEnd(stream: number): void
  stageCredit(stream: number, bytes: number): void
  /** The stream has a queue: it gets its turn. */
  queue(stream: MuxStream): void
  /** `onDrained` is called when it may go on. */
  wait(stream: MuxStream): void
  resetStream(stream: MuxStream, code: MuxCode): void
}

/** Streams grow their credit only while the connection holds less than this. */
const HELD_BYTES_TO_GROW = 1024 * 1024

export abstract class MuxStream {
  readonly id: number
  sendCredit = STREAM_CREDIT
  receiveCredit = STREAM_CREDIT
  /** Bytes of the declared body that are still to come; Infinity = it ends with END. */
  receiveLeft = 0
  receiveEnded = true
  /** In the connection's ring of streams with data. */
  inRing = false
  /** Something came in this turn. */
  touched = false
  /** Monotonic time of the last byte that could leave while more waited. */
  since = 0
  protected readonly carrier: StreamCarrier
  #pieces: Buffer[] | undefined
  #endWaits = false
  #queued = 0
  #window = STREAM_CREDIT
  #unreturned = 0
  #held = 0
  #paused = false

  constructor(carrier: StreamCarrier, id: number) {
    this.carrier = carrier
    this.id = id
  }

  get queued(): number {
    return this.#queued
  }

  // ── what the two sides add ────────────────────────────────────────────────────────────────────────────────────────

  abstract onBody(bytes: Buffer, from: number, to: number): void
  abstract onBodyEnd(): void
  /** The turn is over. False = hand over no more until `resumeReceiving`. */
  abstract onTurnEnd(): boolean
  /** The queue is empty and the source may go on. */
  abstract onDrained(): void
  /** The queue is empty, and END is out if it was asked for. */
  abstract onSent(): void

  // ── leaving ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `bytes` are valid only during the call. */
  protected sendBody(bytes: Buffer, from: number, to: number): void {
    const length = to - from
    if (length === 0) return
    if (this.#pieces === undefined && length <= this.sendCredit && this.carrier.mayStage(length)) {
      this.sendCredit -= length
      this.carrier.stageData(this.id, bytes, from, to)
      return
    }
    this.#pieces ??= []
    this.#pieces.push(Buffer.from(bytes.subarray(from, to)))
    this.#queued += length
    this.carrier.queue(this)
  }

  protected sendEnd(): void {
    if (this.#pieces === undefined) this.carrier.stageEnd(this.id)
    else this.#endWaits = true
  }

  /** False = wait for `onDrained`. */
  protected mayFlow(): boolean {
    if (this.#pieces === undefined && !this.carrier.full) return true
    this.carrier.wait(this)
    return false
  }

  /** Stages one frame of at most `bytesMax`. Returns its length; 0 = no credit. */
  sendOne(bytesMax: number): number {
    const pieces = this.#pieces!
    const piece = pieces[0]!
    const length = Math.min(piece.length, DATA_PAYLOAD_MAX, bytesMax, this.sendCredit)
    if (length <= 0) return 0
    this.sendCredit -= length
    this.#queued -= length
    if (length < piece.length) {
      pieces[0] = piece.subarray(length)
      this.carrier.stageOwned(this.id, piece.subarray(0, length))
      return length
    }
    pieces.shift()
    this.carrier.stageOwned(this.id, piece)
    if (pieces.length === 0) this.#emptied()
    return length
  }

  /** Nothing of it leaves any more, nothing of it is held. */
  drop(): void {
    this.#pieces = undefined
    this.#queued = 0
    this.#endWaits = false
    this.carrier.held -= this.#held
    this.#held = 0
  }

  #emptied(): void {
    this.#pieces = undefined
    if (this.#endWaits) {
      this.#endWaits = false
      this.carrier.stageEnd(this.id)
    }
    this.onSent()
  }

  // ── coming ────────────────────────────────────────────────────────────────────────────────────────────────────────

  protected expectBody(body: number | 'chunked' | 'until-close'): void {
    this.receiveEnded = body === 0
    this.receiveLeft = typeof body === 'number' ? body : Number.POSITIVE_INFINITY
  }

  receive(bytes: Buffer, from: number, to: number, last: boolean): void {
    const length = to - from
    const declared = this.receiveLeft !== Number.POSITIVE_INFINITY
    if (this.receiveEnded || length > this.receiveLeft || (declared && last)) {
      this.carrier.resetStream(this, 'BAD_BODY')
      return
    }
    if (length > this.receiveCredit) {
      this.carrier.resetStream(this, 'OVER_CREDIT')
      return
    }
    this.receiveCredit -= length
    this.receiveLeft -= length
    this.#unreturned += length
    this.receiveEnded = last || this.receiveLeft === 0
    if (this.#paused) this.#hold()
    if (length > 0) this.onBody(bytes, from, to)
    if (this.receiveEnded) this.onBodyEnd()
  }

  /** After the bytes of a turn: asks the reader whether it keeps up. */
  endTurn(): void {
    this.touched = false
    const keepsUp = this.onTurnEnd()
    if (this.#paused) return
    if (keepsUp) this.#giveBack()
    else {
      this.#paused = true
      this.#hold()
    }
  }

  protected resumeReceiving(): void {
    if (!this.#paused) return
    this.#paused = false
    this.carrier.held -= this.#held
    this.#held = 0
    this.#giveBack()
  }

  #hold(): void {
    this.carrier.held += this.#unreturned - this.#held
    this.#held = this.#unreturned
  }

  /** Tops the peer's credit up when half of it is used and the rest of the body needs more. */
  #giveBack(): void {
    if (this.receiveEnded || this.receiveLeft <= this.receiveCredit || this.#unreturned * 2 < this.#window) return
    if (this.carrier.held < HELD_BYTES_TO_GROW) this.#window = STREAM_CREDIT_GROWN
    const grant = this.#window - this.receiveCredit
    this.#unreturned = 0
    this.receiveCredit += grant
    this.carrier.stageCredit(this.id, grant)
  }
}
