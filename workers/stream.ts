// stream.ts — one NDJSON answer (dispatch or attach): events of its attempts, a beat, the end.
//
// Ends when every attempt it waits for has its result. A reader that is too slow loses progress lines first (a newer
// one replaces them), then the stream: results are kept, so the scheduler attaches and misses nothing that counts.

import type { ServerResponse } from 'node:http'
import type { Clock, Timer } from '../kernel/clock.ts'
import { type EventSink, keyOf } from './attempts.ts'
import { formatLine, type RefusalReason, type WorkerEvent } from './contract.ts'

/** Below the 10 s that docs/dispatch.md promises. */
export const BEAT_MS = 5_000
export const PROGRESS_BUFFER_BYTES_MAX = 256 * 1024
export const STREAM_BUFFER_BYTES_MAX = 16 * 1024 * 1024

export interface EventStreamOptions {
  readonly response: ServerResponse
  readonly clock: Clock
  freeSlots(): number
  onClose(stream: EventSink): void
}

export class EventStream implements EventSink {
  readonly #options: EventStreamOptions
  readonly #waiting = new Set<string>()
  readonly #beat: Timer
  #complete = false

  constructor(options: EventStreamOptions) {
    this.#options = options
    const { response, clock } = options
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
    response.flushHeaders()
    this.#beat = clock.every(BEAT_MS, () => this.write({ t: 'beat', freeSlots: options.freeSlots() }))
    response.once('close', () => {
      this.#beat.cancel()
      options.onClose(this)
    })
  }

  /** The stream ends no sooner than this attempt has its result. */
  expect(key: string): void {
    this.#waiting.add(key)
  }

  send(event: WorkerEvent, key: string): void {
    this.write(event)
    if (event.t === 'result' && this.#waiting.delete(key)) this.#endWhenDone()
  }

  /** Nothing ran: the stream need not wait for this one. */
  refuse(job: { readonly job: string; readonly token: string }, reason: RefusalReason): void {
    this.write({ t: 'refused', job: job.job, token: job.token, reason })
    this.#waiting.delete(keyOf(job))
  }

  /** Everything that this stream was opened for has been named. */
  complete(): void {
    this.#complete = true
    this.#endWhenDone()
  }

  write(event: WorkerEvent): void {
    const { response } = this.#options
    if (response.destroyed || response.writableEnded) return
    if (event.t === 'progress' && response.writableLength > PROGRESS_BUFFER_BYTES_MAX) return
    response.write(formatLine(event))
    if (response.writableLength > STREAM_BUFFER_BYTES_MAX) response.destroy()
  }

  #endWhenDone(): void {
    if (this.#complete && this.#waiting.size === 0) this.#options.response.end()
  }
}
