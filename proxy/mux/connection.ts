// connection.ts — what both ends of a mux connection do alike: frames in and out, credit, fair turns, pings, the end.
//
// Modes: open → leaving (no new streams; closes when the last one ends) → closing (GOAWAY is out, the socket is being
// closed, nothing is read) → gone. One write per turn of the event loop. Streams with data take turns of one frame, and
// a turn stages at most TURN_BYTES, so that a head never waits behind more than that.
// The socket is never paused: a peer that may not send has no credit.

import type { Socket } from 'node:net'
import type { Clock } from '../../kernel/clock.ts'
import { Outbox } from '../http1/outbox.ts'
import { FrameReader, type FrameSink } from './frame-reader.ts'
import { BAD_STREAMS, EARLY_RESETS, PINGS, Rate } from './rate.ts'
import type { MuxStream, StreamCarrier } from './stream.ts'
import {
  CONNECTION_CREDIT,
  CREDIT,
  CREDIT_MAX,
  codeName,
  creditFrame,
  DATA,
  DATA_PAYLOAD_MAX,
  END,
  frameHead,
  GOAWAY,
  goAwayFrame,
  HELLO,
  type MuxCode,
  MuxError,
  PING,
  PONG,
  RESET,
  readU32,
  resetFrame,
  STREAMS_MAX,
  u32,
} from './wire.ts'

/** Bodies that are staged in one turn. */
const TURN_BYTES = 64 * 1024
/** DATA frames in a row that carry nothing. */
const EMPTY_FRAMES_MAX = 10
const CREDITS_PER_DATA_FRAME = 10
const CREDITS_SAVED_MAX = 10_000
const GOAWAYS_MAX = 10
/** A peer that lets this much of heads and control frames wait does not read. */
const OUT_BYTES_MAX = 16 * 1024 * 1024

export interface MuxTimes {
  /** From the first byte of a frame to its last; also to the hello. */
  readonly frameTimeoutMs: number
  /** Silence after which we ask whether the peer is there. */
  readonly pingAfterMs: number
  readonly pongTimeoutMs: number
  /** The peer takes nothing off the socket for so long. */
  readonly writeStallMs: number
  /** The peer gives a stream with data no credit for so long. */
  readonly streamStallMs: number
  /** From GOAWAY to the end of the socket, whatever the peer does. */
  readonly lingerMs: number
}

export const MUX_TIMES: MuxTimes = {
  frameTimeoutMs: 10_000,
  pingAfterMs: 15_000,
  pongTimeoutMs: 10_000,
  writeStallMs: 30_000,
  streamStallMs: 300_000,
  lingerMs: 2_000,
}

export interface MuxEvents {
  /** Something was refused: a stream, or the whole connection. */
  muxRefused(code: MuxCode, why: string): void
}

export interface MuxParts {
  readonly clock: Clock
  readonly events: MuxEvents
  readonly times?: Partial<MuxTimes> | undefined
}

export abstract class MuxConnection<Stream extends MuxStream> implements FrameSink, StreamCarrier {
  held = 0
  protected readonly socket: Socket
  protected readonly clock: Clock
  protected readonly streams = new Map<number, Stream>()
  protected leaving = false
  protected greeted = false
  /** Streams ever opened, which is the id of the last one. */
  protected opened = 0
  readonly #events: MuxEvents
  readonly #times: MuxTimes
  readonly #out: Outbox
  readonly #reader = new FrameReader(this)
  readonly #earlyResets = new Rate(EARLY_RESETS)
  readonly #badStreams = new Rate(BAD_STREAMS)
  readonly #pings = new Rate(PINGS)
  readonly #waiting = new Set<MuxStream>()
  #ring: MuxStream[] = []
  #touched: MuxStream[] = []
  #sendCredit = CONNECTION_CREDIT
  #receiveCredit = CONNECTION_CREDIT
  #unreturned = 0
  #staged = 0
  #scheduled = false
  #closing = false
  #gone = false
  #emptyFrames = 0
  #creditsAllowed = 2 * STREAMS_MAX
  #resets = 0
  #goAways = 0
  /** DATA that may still come for streams that are no more. */
  #lateBytes = 0
  #lastReadAt: number
  #partialSince: number
  #pingSentAt = -1
  #pingNumber = 0
  #stuckSince = -1
  #closingSince = 0
  readonly #onImmediate = (): void => {
    this.#scheduled = false
    this.#turn()
  }

  constructor(socket: Socket, parts: MuxParts) {
    this.socket = socket
    this.clock = parts.clock
    this.#events = parts.events
    this.#times = { ...MUX_TIMES, ...parts.times }
    this.#out = new Outbox(socket)
    this.#lastReadAt = this.#partialSince = parts.clock.now()
    socket.on('drain', () => {
      this.#stuckSince = -1
      this.#turn()
    })
    socket.on('error', () => this.#onGone())
    socket.on('end', () => this.socket.destroySoon())
    socket.on('close', () => this.#onGone())
  }

  get active(): number {
    return this.streams.size
  }

  get over(): boolean {
    return this.#closing || this.#gone
  }

  /** The peer cannot take more now. */
  get full(): boolean {
    return this.socket.writableNeedDrain
  }

  /** Bodies here would wait for other bodies. */
  protected get congested(): boolean {
    return this.#sendCredit <= 0 || this.held * 2 >= CONNECTION_CREDIT || this.socket.writableLength > CONNECTION_CREDIT
  }

  // ── what the two sides add ────────────────────────────────────────────────────────────────────────────────────────

  protected abstract onHello(bytes: Buffer, from: number, to: number): void
  /** REQUEST or RESPONSE. */
  protected abstract onHead(type: number, stream: number, bytes: Buffer, from: number, to: number): void
  /** The peer reset it; it is forgotten already. */
  protected abstract onReset(stream: Stream, code: MuxCode): void
  /** We reset it; it is forgotten already. */
  protected abstract onOwnReset(stream: Stream, code: MuxCode): void
  protected abstract onGoAway(last: number, code: MuxCode): void
  /** Every stream ends. Called once. */
  protected abstract onLost(why: string): void
  /** The socket is closed. Called once. */
  protected abstract onClosed(): void

  // ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `bytes[0…count]` arrived. */
  read(bytes: Buffer, count: number): void {
    if (this.over) return
    this.#lastReadAt = this.clock.now()
    const wasPartial = this.#reader.partial
    try {
      this.#reader.feed(bytes, count)
      this.#endTurn()
    } catch (thrown) {
      if (thrown instanceof MuxError) this.fatal(thrown.code, thrown.message)
      else this.fatal('BROKEN', thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown))
      return
    }
    if (!wasPartial) this.#partialSince = this.#lastReadAt
  }

  /** FrameSink */
  onFrame(type: number, flags: number, stream: number, bytes: Buffer, from: number, to: number): boolean {
    // A frame that began in an earlier read is complete: what follows began now.
    this.#partialSince = this.#lastReadAt
    if (!this.greeted && type !== HELLO) throw new MuxError('PROTOCOL', 'a frame before the hello')
    if (type === DATA) this.#onData(flags, stream, bytes, from, to)
    else this.#onControl(type, flags, stream, bytes, from, to)
    return !this.over
  }

  #onControl(type: number, flags: number, stream: number, bytes: Buffer, from: number, to: number): void {
    if (flags !== 0) throw new MuxError('PROTOCOL', 'an unknown flag')
    const wide = type === HELLO || type === PING || type === PONG || type === GOAWAY
    if (wide !== (stream === 0) && type !== CREDIT) throw new MuxError('PROTOCOL', 'a frame on the wrong stream')
    switch (type) {
      case CREDIT:
        exactly(4, from, to)
        this.#onCredit(stream, readU32(bytes, from))
        return
      case RESET:
        exactly(1, from, to)
        this.#onResetFrame(stream, codeName(bytes[from]!))
        return
      case PING:
        exactly(8, from, to)
        if (this.#pings.exceeded(this.#lastReadAt)) throw new MuxError('FLOOD', 'too many pings')
        this.stage(frameHead(8, PONG, 0, 0) + bytes.toString('latin1', from, to))
        return
      case PONG:
        exactly(8, from, to)
        this.#onPong(readU32(bytes, from + 4))
        return
      case GOAWAY:
        exactly(5, from, to)
        if (++this.#goAways > GOAWAYS_MAX) throw new MuxError('FLOOD', 'too many GOAWAY')
        this.onGoAway(readU32(bytes, from), codeName(bytes[from + 4]!))
        return
      case HELLO:
        if (this.greeted) throw new MuxError('PROTOCOL', 'a second hello')
        this.onHello(bytes, from, to)
        this.greeted = true
        return
      default:
        this.onHead(type, stream, bytes, from, to)
    }
  }

  #onData(flags: number, id: number, bytes: Buffer, from: number, to: number): void {
    const length = to - from
    if ((flags & ~END) !== 0) throw new MuxError('PROTOCOL', 'an unknown flag')
    if (id === 0) throw new MuxError('PROTOCOL', 'a frame on the wrong stream')
    if (length > this.#receiveCredit) throw new MuxError('OVER_CREDIT', 'more DATA than the connection has credit for')
    this.#receiveCredit -= length
    this.#unreturned += length
    if (length > 0 || flags !== 0) this.#emptyFrames = 0
    else if (++this.#emptyFrames > EMPTY_FRAMES_MAX) throw new MuxError('FLOOD', 'too many empty frames')
    const stream = this.streams.get(id)
    if (stream === undefined) {
      this.#onLateData(id, length)
      return
    }
    this.touch(stream)
    stream.receive(bytes, from, to, flags === END)
  }

  /** It was sent before the peer knew that the stream is over. */
  #onLateData(id: number, length: number): void {
    this.checkKnown(id)
    this.#lateBytes -= length
    if (this.#lateBytes < 0) throw new MuxError('OVER_CREDIT', 'DATA for a closed stream beyond its credit')
  }

  /** A stream that we refused may have sent its first credit already. */
  protected allowLate(bytes: number): void {
    this.#lateBytes += bytes
  }

  protected checkKnown(id: number): void {
    if (id > this.opened) throw new MuxError('PROTOCOL', 'a frame for a stream that was never opened')
  }

  protected touch(stream: MuxStream): void {
    if (stream.touched) return
    stream.touched = true
    this.#touched.push(stream)
  }

  #onCredit(id: number, bytes: number): void {
    if (bytes === 0) throw new MuxError('PROTOCOL', 'a CREDIT of nothing')
    if (--this.#creditsAllowed < 0) throw new MuxError('FLOOD', 'too many CREDIT frames')
    if (id === 0) {
      this.#sendCredit += bytes
      if (this.#sendCredit > CREDIT_MAX) throw new MuxError('OVER_CREDIT', 'more credit than 31 bits')
      this.#schedule()
      return
    }
    const stream = this.streams.get(id)
    if (stream === undefined) {
      this.checkKnown(id)
      return
    }
    stream.sendCredit += bytes
    if (stream.sendCredit > CREDIT_MAX) this.resetStream(stream, 'OVER_CREDIT')
    else if (stream.queued > 0) this.queue(stream)
  }

  #onResetFrame(id: number, code: MuxCode): void {
    this.checkKnown(id)
    if (++this.#resets > this.opened) throw new MuxError('PROTOCOL', 'more resets than streams')
    const stream = this.streams.get(id)
    if (stream === undefined) return
    this.forget(stream)
    this.onReset(stream, code)
  }

  /** A reset of a stream whose answer was not over. True = too many of them. */
  protected resetTooOften(): boolean {
    return this.#earlyResets.exceeded(this.#lastReadAt)
  }

  #onPong(number: number): void {
    if (this.#pingSentAt < 0 || number !== this.#pingNumber) throw new MuxError('PROTOCOL', 'a PONG without PING')
    this.#pingSentAt = -1
  }

  /** After a read: the readers of the streams have their bytes; what they took is given back. */
  #endTurn(): void {
    if (this.#touched.length > 0) {
      const touched = this.#touched
      this.#touched = []
      for (const stream of touched) {
        if (this.streams.get(stream.id) === stream) stream.endTurn()
      }
    }
    if (this.#unreturned * 2 < CONNECTION_CREDIT || this.held * 2 >= CONNECTION_CREDIT) return
    this.#receiveCredit += this.#unreturned
    this.stage(creditFrame(0, this.#unreturned))
    this.#unreturned = 0
  }

  // ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  protected stage(text: string): void {
    if (this.over) return
    this.#out.text(text)
    this.#schedule()
  }

  /** The head of an answer. */
  stageHead(frame: string): void {
    this.stage(frame)
  }

  /** StreamCarrier */
  mayStage(bytes: number): boolean {
    return (
      this.#ring.length === 0 &&
      bytes <= DATA_PAYLOAD_MAX &&
      bytes <= this.#sendCredit &&
      this.#staged + bytes <= TURN_BYTES &&
      !this.socket.writableNeedDrain
    )
  }

  /** StreamCarrier */
  stageData(stream: number, bytes: Buffer, from: number, to: number): void {
    if (this.over) return
    this.#count(to - from)
    this.#out.text(frameHead(to - from, DATA, 0, stream))
    this.#out.bytes(bytes, from, to)
    this.#schedule()
  }

  /** StreamCarrier */
  stageOwned(stream: number, piece: Buffer): void {
    this.#count(piece.length)
    this.#out.text(frameHead(piece.length, DATA, 0, stream))
    this.#out.owned(piece)
  }

  /** StreamCarrier */
  stageEnd(stream: number): void {
    this.stage(frameHead(0, DATA, END, stream))
  }

  /** StreamCarrier */
  stageCredit(stream: number, bytes: number): void {
    this.stage(creditFrame(stream, bytes))
  }

  /** StreamCarrier */
  queue(stream: MuxStream): void {
    if (stream.inRing || this.over) return
    stream.since = this.clock.now()
    if (stream.sendCredit === 0) return
    stream.inRing = true
    this.#ring.push(stream)
    this.#schedule()
  }

  /** StreamCarrier */
  wait(stream: MuxStream): void {
    this.#waiting.add(stream)
  }

  #count(bytes: number): void {
    this.#staged += bytes
    this.#sendCredit -= bytes
    this.#creditsAllowed = Math.min(CREDITS_SAVED_MAX, this.#creditsAllowed + CREDITS_PER_DATA_FRAME)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#onImmediate)
  }

  #turn(): void {
    if (this.over) return
    if (this.#ring.length > 0) this.#pump()
    this.#out.flush()
    this.#staged = 0
    if (this.#waiting.size > 0) this.#wake()
    if (this.#ring.length > 0 && this.#sendCredit > 0 && !this.full) this.#schedule()
    if (this.socket.writableLength > OUT_BYTES_MAX) this.destroy('STALLED', 'the peer does not read')
    else if (this.leaving) this.closeWhenDone()
  }

  /** One frame of each stream in turn. */
  #pump(): void {
    const now = this.clock.now()
    while (this.#ring.length > 0 && this.#sendCredit > 0 && this.#staged < TURN_BYTES && !this.full) {
      const stream = this.#ring.shift()!
      stream.inRing = false
      if (stream.queued === 0) continue
      if (stream.sendOne(this.#sendCredit) > 0) stream.since = now
      if (stream.queued > 0 && stream.sendCredit > 0) {
        stream.inRing = true
        this.#ring.push(stream)
      }
    }
  }

  #wake(): void {
    if (this.full) return
    for (const stream of [...this.#waiting]) {
      if (stream.queued > 0) continue
      this.#waiting.delete(stream)
      stream.onDrained()
    }
  }

  // ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The stream is over on this side. */
  protected forget(stream: MuxStream): void {
    if (!this.streams.delete(stream.id)) return
    if (!stream.receiveEnded) this.#lateBytes += stream.receiveCredit
    stream.drop()
    this.#waiting.delete(stream)
    if (this.leaving) this.#schedule()
  }

  /** StreamCarrier: one bad stream is reset; a peer that sends many of them loses the connection. */
  resetStream(stream: MuxStream, code: MuxCode): void {
    const mine = this.streams.get(stream.id)
    if (mine === undefined) return
    this.forget(stream)
    this.onOwnReset(mine, code)
    this.refuseStream(stream.id, code, 'a stream was reset')
  }

  /** @throws MuxError FLOOD */
  protected refuseStream(id: number, code: MuxCode, why: string): void {
    this.stage(resetFrame(id, code))
    this.#events.muxRefused(code, why)
    if (code !== 'DRAINING' && code !== 'REFUSED' && this.#badStreams.exceeded(this.clock.now())) {
      throw new MuxError('FLOOD', 'too many bad streams')
    }
  }

  protected sayGoAway(last: number, code: MuxCode): void {
    this.stage(goAwayFrame(last, code))
  }

  protected refused(code: MuxCode, why: string): void {
    this.#events.muxRefused(code, why)
  }

  /** The peer broke the protocol: GOAWAY says why, then the connection ends. */
  protected fatal(code: MuxCode, why: string, last = this.opened): void {
    if (this.over) return
    this.#events.muxRefused(code, why)
    this.stage(goAwayFrame(last, code))
    this.#close()
    this.onLost(why)
  }

  /** Ends without a word: the peer is not there to read it, or all is said. */
  destroy(code?: MuxCode, why = 'the connection was closed'): void {
    if (code !== undefined && !this.#gone) this.#events.muxRefused(code, why)
    this.#onGone(why)
  }

  protected closeWhenDone(): void {
    if (this.streams.size === 0 && !this.over) this.#close()
  }

  #close(): void {
    this.#out.flush()
    this.#closing = true
    this.#closingSince = this.clock.now()
    this.#ring = []
    this.socket.destroySoon()
  }

  #onGone(why = 'the connection closed'): void {
    if (this.#gone) return
    const told = this.#closing && this.streams.size === 0
    this.#gone = true
    this.socket.destroy()
    this.onClosed()
    if (!told) this.onLost(why)
    this.#waiting.clear()
    this.#ring = []
  }

  // ── looked after ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Called about once a second. */
  watch(): void {
    const now = this.clock.now()
    if (this.#gone) return
    if (this.#closing) {
      if (now - this.#closingSince > this.#times.lingerMs) this.socket.destroy()
      return
    }
    if ((!this.greeted || this.#reader.partial) && now - this.#partialSince > this.#times.frameTimeoutMs) {
      this.fatal('TIMEOUT', 'a frame that does not end')
      return
    }
    this.#watchPeer(now)
    this.#watchWrites(now)
  }

  #watchPeer(now: number): void {
    const { pingAfterMs, pongTimeoutMs } = this.#times
    if (this.#pingSentAt >= 0) {
      if (now - this.#pingSentAt > pongTimeoutMs) this.destroy('TIMEOUT', 'the peer does not answer a ping')
      return
    }
    if (now - this.#lastReadAt <= pingAfterMs) return
    this.#pingSentAt = now
    this.#pingNumber = (this.#pingNumber + 1) >>> 0
    this.stage(frameHead(8, PING, 0, 0) + u32(0) + u32(this.#pingNumber))
  }

  #watchWrites(now: number): void {
    const { writeStallMs, streamStallMs } = this.#times
    if (!this.full) this.#stuckSince = -1
    else if (this.#stuckSince < 0) this.#stuckSince = now
    else if (now - this.#stuckSince > writeStallMs) {
      this.destroy('STALLED', 'the peer does not read')
      return
    }
    try {
      for (const stream of [...this.streams.values()]) {
        if (stream.queued > 0 && now - stream.since > streamStallMs) this.resetStream(stream, 'STALLED')
      }
    } catch (thrown) {
      if (thrown instanceof MuxError) this.fatal(thrown.code, thrown.message)
      else throw thrown
    }
  }
}

/** @throws MuxError PROTOCOL */
function exactly(length: number, from: number, to: number): void {
  if (to - from !== length) throw new MuxError('PROTOCOL', 'a frame of the wrong length')
}
