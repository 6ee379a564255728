// sidecar-stream.ts — the control plane's end of one sidecar's stream.
//
// Modes: open → closed. Owns: the newest snapshot that did not fit the socket yet (one, never a queue), ping and silence.
// A slow reader skips versions, it never holds memory; a silent one is closed, and so is one whose certificate ended.

import type { Clock, Timer, WallMs } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Snapshot } from '../../mesh-config/snapshot.ts'
import { type FromSidecar, parseFromSidecar, STREAM_SILENCE_MS, type ToSidecar } from '../contract.ts'
import { LineReader } from './lines.ts'

export const FROM_SIDECAR_LINE_BYTES_MAX = 1024 * 1024
const PINGS_PER_SILENCE = 3
/** A closed stream's goodbye must leave within this time. */
const GOODBYE_MS = 2_000

export type Hello = Extract<FromSidecar, { t: 'hello' }>
export type Reply = Extract<FromSidecar, { t: 'ack' } | { t: 'nack' }>

/** What the stream writes to: a ServerResponse, or a test's. `write` false = wait for `onDrain`. */
export interface Wire {
  write(text: string): boolean
  end(): void
  destroy(): void
}

export interface SidecarStreamOptions {
  readonly hello: Hello
  readonly spiffeId: string
  /** Of the certificate that opened it. */
  readonly serial: string
  /** End of the certificate that opened it. */
  readonly leafNotAfter: WallMs
  readonly wire: Wire
  readonly clock: Clock
  readonly log: Log
  onReply(reply: Reply): void
  onClosed(): void
}

export class SidecarStream {
  readonly hello: Hello
  readonly leafNotAfter: WallMs
  readonly spiffeId: string
  readonly serial: string
  readonly #options: SidecarStreamOptions
  readonly #lines = new LineReader(FROM_SIDECAR_LINE_BYTES_MAX)
  readonly #ping: Timer
  readonly #expiry: Timer
  #silence: Timer | undefined
  #full = false
  #waiting: Snapshot | undefined
  #closed = false

  constructor(options: SidecarStreamOptions) {
    this.#options = options
    this.hello = options.hello
    this.leafNotAfter = options.leafNotAfter
    this.spiffeId = options.spiffeId
    this.serial = options.serial
    const { clock } = options
    this.#ping = clock.every(STREAM_SILENCE_MS / PINGS_PER_SILENCE, () => this.#write({ t: 'ping' }))
    this.#expiry = clock.after(options.leafNotAfter - clock.wall(), () => this.goaway('certificate ended'), true)
    this.#listen()
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Sends now, or as the newest one when the socket takes more. */
  publish(snapshot: Snapshot): void {
    if (this.#full) this.#waiting = snapshot
    else this.#write({ t: 'snapshot', snapshot })
  }

  onDrain(): void {
    this.#full = false
    const snapshot = this.#waiting
    this.#waiting = undefined
    if (snapshot) this.publish(snapshot)
  }

  /** Bytes from the sidecar, after its hello. */
  onData(chunk: Buffer): void {
    if (this.#closed) return
    this.#listen()
    try {
      for (const line of this.#lines.push(chunk)) this.#onLine(parseFromSidecar(line))
    } catch (error) {
      this.#options.log.warn({ error, instance: this.hello.instance }, 'sidecar stream refused')
      this.close()
    }
  }

  /** Asks the sidecar to come again, elsewhere or here, and ends the stream. */
  goaway(why: string): void {
    if (this.#closed) return
    this.#options.log.info({ instance: this.hello.instance, why }, 'sidecar stream: goaway')
    this.#write({ t: 'goaway' })
    this.close()
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#ping.cancel()
    this.#expiry.cancel()
    this.#silence?.cancel()
    this.#options.wire.end()
    this.#options.clock.after(GOODBYE_MS, () => this.#options.wire.destroy(), true)
    this.#options.onClosed()
  }

  #onLine(message: FromSidecar): void {
    if (message.t === 'ack' || message.t === 'nack') this.#options.onReply(message)
    else if (message.t === 'hello') throw new Error('a second hello on one stream')
  }

  #write(message: ToSidecar): void {
    if (this.#closed) return
    // A full socket takes no pings: the silence of a reader that does not read ends the stream.
    if (this.#full && message.t === 'ping') return
    this.#full = !this.#options.wire.write(`${JSON.stringify(message)}\n`)
  }

  #listen(): void {
    this.#silence?.cancel()
    this.#silence = this.#options.clock.after(STREAM_SILENCE_MS, () => this.goaway('silent'), true)
  }
}
