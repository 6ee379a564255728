// stream.ts — the control stream: snapshots come down, acks go up (control-plane/contract.ts).
//
// NDJSON both ways over one mTLS POST. Modes: waiting (no identity) → connecting → streaming → waiting (back-off with
// full jitter, next address) …; closed. A stream that is silent for STREAM_SILENCE_MS is broken. A bad snapshot is
// nacked with every problem and changes nothing; the last good one stays in force whatever happens here.

import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import {
  type FromSidecar,
  parseToSidecarKind,
  STREAM_LINE_BYTES_MAX,
  STREAM_PATH,
  STREAM_PROTOCOL,
  STREAM_SILENCE_MS,
} from '../../control-plane/contract.ts'
import type { Clock, Timer } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import type { IdentitySource } from '../exchange.ts'
import { backoffMs } from './backoff.ts'
import { dialControlPlane } from './dial.ts'
import { LineReader } from './lines.ts'

export interface StreamOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly controlPlanes: readonly URL[]
  readonly identity: IdentitySource
  readonly hello: Omit<Extract<FromSidecar, { t: 'hello' }>, 't' | 'protocol' | 'have'>
  /** Version of the snapshot in force; '' = none. */
  readonly have: () => string
  /** Takes a snapshot into force; throws FairleadError with problems when it cannot be. */
  readonly apply: (snapshot: unknown) => Promise<void>
  /** The control plane does not accept our certificate. */
  readonly onRefused?: () => void
}

const RETRY = { leastMs: 50, baseMs: 250, maxMs: 10_000 }

export class ControlStream implements Closable {
  readonly #options: StreamOptions
  #address = 0
  #failures = 0
  #timer: Timer | undefined
  #live: LiveStream | undefined
  #connecting = false
  #closed = false
  #unsubscribe: () => void = () => undefined

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get connected(): boolean {
    return this.#live?.answered ?? false
  }

  start(): void {
    // A renewed certificate gets a stream of its own; the control plane judges a stream by the leaf it began with.
    this.#unsubscribe = this.#options.identity.onChange(() => this.#reconnect())
    this.#reconnect()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#unsubscribe()
    this.#timer?.cancel()
    this.#live?.end(undefined)
  }

  #reconnect(): void {
    if (this.#live) this.#live.end(undefined)
    else this.#schedule(0)
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel()
    if (this.#closed) return
    this.#timer = this.#options.clock.after(delayMs, () => void this.#connect(), true)
  }

  async #connect(): Promise<void> {
    const { identity, clock, controlPlanes } = this.#options
    const self = identity.current()
    const url = controlPlanes[this.#address % Math.max(1, controlPlanes.length)]
    if (!self || !url || this.#connecting || this.#live) return
    this.#connecting = true
    try {
      const { trustDomain, bundleDer: bundle } = self
      const socket = await dialControlPlane({ clock, url, bundle, trustDomain, svid: self })
      const call = request({
        method: 'POST',
        path: STREAM_PATH,
        headers: { host: url.host, 'content-type': 'application/x-ndjson', 'transfer-encoding': 'chunked' },
        createConnection: () => socket,
      })
      if (this.#closed) return void call.destroy()
      this.#live = new LiveStream(call, this.#options, (why) => this.#ended(url, why))
    } catch (error) {
      this.#ended(url, asFairleadError(error))
    } finally {
      this.#connecting = false
    }
  }

  /** `why` undefined: ended as it should (renewal, goaway); comes back at once, elsewhere. */
  #ended(url: URL, why: FairleadError | undefined): void {
    if (this.#live?.answered) this.#failures = 0
    this.#live = undefined
    if (this.#closed) return
    this.#address++
    if (why === undefined) {
      this.#schedule(RETRY.leastMs)
      return
    }
    this.#failures++
    if (why.code === 'UNAUTHENTICATED') this.#options.onRefused?.()
    const delayMs = Math.round(backoffMs(this.#failures, RETRY, this.#options.random))
    this.#options.log.warn({ error: why, controlPlane: url.host, delayMs }, 'control stream ended')
    this.#schedule(delayMs)
  }
}

/** One stream from its first byte to its last. */
class LiveStream {
  readonly #call: ClientRequest
  readonly #options: StreamOptions
  readonly #onEnd: (why: FairleadError | undefined) => void
  #silence: Timer
  #ended = false
  /** One is applied at a time; of those that come meanwhile only the newest waits. */
  #applying = false
  #next: { readonly snapshot: unknown } | undefined
  answered = false

  constructor(call: ClientRequest, options: StreamOptions, onEnd: (why: FairleadError | undefined) => void) {
    this.#call = call
    this.#options = options
    this.#onEnd = onEnd
    this.#silence = this.#listen()
    call.on('error', (cause) => this.end(unreachable(cause.message, cause)))
    call.on('response', (response) => this.#read(response))
    this.#send({ t: 'hello', protocol: STREAM_PROTOCOL, ...options.hello, have: options.have() })
  }

  end(why: FairleadError | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#silence.cancel()
    this.#call.destroy()
    this.#onEnd(why)
  }

  #read(response: IncomingMessage): void {
    response.on('error', (cause) => this.end(unreachable(cause.message, cause)))
    response.on('end', () => this.end(unreachable('the control plane closed the stream')))
    const { statusCode = 0 } = response
    if (statusCode !== 200) {
      const code = statusCode === 401 || statusCode === 403 ? 'UNAUTHENTICATED' : 'UNREACHABLE'
      this.end(new FairleadError(code, `The control plane answered ${statusCode} to the stream.`))
      return
    }
    this.answered = true
    const lines = new LineReader(STREAM_LINE_BYTES_MAX, (line) => this.#take(line))
    response.on('data', (chunk: Buffer) => {
      this.#silence.cancel()
      this.#silence = this.#listen()
      try {
        lines.push(chunk)
      } catch (error) {
        this.end(asFairleadError(error))
      }
    })
  }

  #take(line: string): void {
    const message = parseToSidecarKind(line)
    if (message.t === 'ping') this.#send({ t: 'pong' })
    else if (message.t === 'goaway') this.end(undefined)
    else if (message.t === 'snapshot') {
      this.#next = { snapshot: message.snapshot }
      if (!this.#applying) void this.#applyAll()
    }
    // Other kinds come from a newer control plane; they are not for us.
  }

  async #applyAll(): Promise<void> {
    this.#applying = true
    while (this.#next && !this.#ended) {
      const { snapshot } = this.#next
      this.#next = undefined
      await this.#apply(snapshot)
    }
    this.#applying = false
  }

  async #apply(snapshot: unknown): Promise<void> {
    try {
      await this.#options.apply(snapshot)
      this.#send({ t: 'ack', version: versionOf(snapshot) })
    } catch (thrown) {
      const error = asFairleadError(thrown)
      this.#options.log.error({ error, problems: error.problems }, 'snapshot refused; the last good one stays')
      const problems = error.problems.length > 0 ? error.problems : [{ path: '$', message: error.message }]
      this.#send({ t: 'nack', version: versionOf(snapshot), problems: [...problems] })
    }
  }

  #send(message: FromSidecar): void {
    if (!this.#ended) this.#call.write(`${JSON.stringify(message)}\n`)
  }

  #listen(): Timer {
    return this.#options.clock.after(
      STREAM_SILENCE_MS,
      () => this.end(unreachable(`silent for ${STREAM_SILENCE_MS} ms`)),
      true,
    )
  }
}

/** Of a snapshot that may not be one. */
function versionOf(snapshot: unknown): string {
  const version = snapshot !== null && typeof snapshot === 'object' && 'version' in snapshot ? snapshot.version : ''
  return typeof version === 'string' ? version : ''
}

function unreachable(why: string, cause?: unknown): FairleadError {
  return new FairleadError('UNREACHABLE', `Control stream: ${why}.`, cause === undefined ? {} : { cause })
}
