// session.ts — this worker's session with the schedulers (docs/dispatch.md §5), kept through its own sidecar.
//
// Loop: who am I (own sidecar) → register → heartbeat. Modes: none → held ⇄ fenced. The session is trusted from the
// *start* of the request that renewed it; 5 s before it would end it is fenced: `onFence` aborts the handlers and
// nothing new starts until a scheduler confirms the session or gives another.
// Every failure is retried with back-off for as long as the worker lives: it may be up before its sidecar.

import { Agent, type Dispatcher } from 'undici'
import { type Clock, type MonotonicMs, plus, type Timer } from '../kernel/clock.ts'
import { FairleadError } from '../kernel/errors.ts'
import type { Closable } from '../kernel/lifetime.ts'
import { parseSelf, SELF_PATH, type Self } from '../kernel/local-surface.ts'
import type { Log } from '../kernel/log.ts'
import { parseJson } from '../kernel/parse.ts'
import type { Random } from '../kernel/random.ts'
import type { Ref } from './attempts.ts'
import {
  HEARTBEAT_PATH,
  type Heartbeat,
  LEAVE_PATH,
  parseHeartbeatAnswer,
  parseSessionGrant,
  SESSION_MARGIN_MS,
  SESSION_PATH,
  type SessionGrant,
  type SessionRequest,
  type WorkerResult,
} from './contract.ts'
import type { SessionView } from './server.ts'

const SCHEDULER_HOST = 'scheduler.mesh'
const CALL_TIMEOUT_MS = 5_000
const RETRY_MIN_MS = 200
/** A call on loopback is cheap, and a worker that starts beside its sidecar should be found soon after it. */
const RETRY_MAX_MS = 1_000
const LEAVE_TIMEOUT_MS = 2_000
const ANSWER_BYTES_MAX = 16 * 1024 * 1024

export interface SessionOptions {
  readonly sidecar: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** What the worker offers; the sidecar adds who it is. */
  offer(self: Self): SessionRequest
  status(): Omit<Heartbeat, 'session'>
  /** Attempts that the scheduler no longer counts as ours. */
  onStop(refs: readonly Ref[]): void
  /** The session may end soon and nobody confirmed it: stop everything that runs. */
  onFence(): void
  /** `fresh`: results and attempts of an earlier session are nobody's any more. */
  onSession(session: string, fresh: boolean): void
}

export interface SessionClient extends Closable {
  view(): SessionView
  /** Heartbeat now instead of at its time (a drain began). */
  nudge(): void
  /** Hands over what was not acked and ends the session; best effort. */
  leave(results: readonly WorkerResult[]): Promise<void>
}

export function startSession(options: SessionOptions): SessionClient {
  const client = new Session(options)
  client.start()
  return client
}

class Session implements SessionClient {
  readonly #options: SessionOptions
  readonly #agent = new Agent({ allowH2: false, connections: 2, pipelining: 1 })
  readonly #stop = new AbortController()
  #grant: SessionGrant | undefined
  #fenced = false
  #fence: Timer | undefined
  #wake: AbortController | undefined
  #loop: Promise<void> = Promise.resolve()
  #self: Self | undefined
  #lastSession: string | undefined

  constructor(options: SessionOptions) {
    this.#options = options
  }

  start(): void {
    this.#loop = this.#run()
  }

  view(): SessionView {
    if (this.#fenced) return { kind: 'fenced' }
    return this.#grant ? { kind: 'held', session: this.#grant.session } : { kind: 'none' }
  }

  nudge(): void {
    this.#wake?.abort()
  }

  async leave(results: readonly WorkerResult[]): Promise<void> {
    const session = this.#grant?.session
    this.#endLoop()
    await this.#loop
    if (session === undefined) return
    try {
      await this.#call(LEAVE_PATH, { session, results }, LEAVE_TIMEOUT_MS, null)
    } catch (error) {
      this.#options.log.info({ error }, 'leave was not heard; the session ends by itself')
    }
  }

  async close(): Promise<void> {
    this.#endLoop()
    await this.#loop
    await this.#agent.destroy()
  }

  #endLoop(): void {
    this.#stop.abort()
    this.#wake?.abort()
    this.#fence?.cancel()
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#stop.signal.aborted) {
      try {
        await this.#step()
        failures = 0
      } catch (error) {
        if (this.#stop.signal.aborted) return
        if (failures++ === 0) this.#options.log.warn({ error }, 'no scheduler yet; trying on')
      }
      await this.#pause(failures)
    }
  }

  async #step(): Promise<void> {
    this.#self ??= await this.#whoAmI()
    if (this.#grant === undefined) await this.#register(this.#self)
    else await this.#heartbeat(this.#grant.session, this.#self)
  }

  async #pause(failures: number): Promise<void> {
    const { clock, random } = this.#options
    const backoffMs = random.between(0.5, 1) * Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(10, failures))
    const waitMs = failures > 0 || this.#grant === undefined ? backoffMs : this.#grant.heartbeatMs
    this.#wake = new AbortController()
    if (this.#stop.signal.aborted) return
    // Both a nudge and close() end the pause early; neither is an error.
    await clock.sleep(waitMs, this.#wake.signal).catch(() => undefined)
  }

  async #whoAmI(): Promise<Self> {
    const answer = await this.#request({ method: 'GET', path: SELF_PATH, signal: this.#stop.signal }, CALL_TIMEOUT_MS)
    return parseSelf(answer)
  }

  async #register(self: Self): Promise<void> {
    const { clock, log, offer, onSession } = this.#options
    const at = clock.now()
    const before = this.#lastSession
    const grant = parseSessionGrant(await this.#call(SESSION_PATH, offer(self), CALL_TIMEOUT_MS))
    this.#grant = grant
    this.#lastSession = grant.session
    this.#trust(at, grant.ttlMs)
    log.info(
      { session: grant.session, instance: self.instance, version: self.version },
      'registered with the scheduler',
    )
    onSession(grant.session, before !== undefined && before !== grant.session)
  }

  async #heartbeat(session: string, self: Self): Promise<void> {
    const at = this.#options.clock.now()
    try {
      const body = { session, ...this.#options.status() }
      const answer = parseHeartbeatAnswer(await this.#call(HEARTBEAT_PATH, body, CALL_TIMEOUT_MS))
      this.#trust(at, answer.ttlMs)
      if (answer.stop.length > 0) this.#options.onStop(answer.stop)
    } catch (error) {
      if (!(error instanceof FairleadError) || error.code !== 'SESSION_UNKNOWN') throw error
      this.#grant = undefined
      await this.#register(self)
    }
  }

  /** The session holds until `at + ttl`; ours is over 5 s sooner. */
  #trust(at: MonotonicMs, ttlMs: number): void {
    const { clock, onFence, log } = this.#options
    this.#fence?.cancel()
    this.#fenced = false
    const fenceAt = plus(at, Math.max(0, ttlMs - SESSION_MARGIN_MS))
    this.#fence = clock.after(
      fenceAt - clock.now(),
      () => {
        this.#fenced = true
        log.error('no scheduler confirmed the session in time; handlers are stopped')
        onFence()
      },
      true,
    )
  }

  #call(
    path: string,
    body: unknown,
    timeoutMs: number,
    signal: AbortSignal | null = this.#stop.signal,
  ): Promise<unknown> {
    const headers = { host: SCHEDULER_HOST, 'content-type': 'application/json' }
    return this.#request({ method: 'POST', path, headers, body: JSON.stringify(body), signal }, timeoutMs)
  }

  async #request(request: Omit<Dispatcher.RequestOptions, 'origin'>, timeoutMs: number): Promise<unknown> {
    const answer = await this.#agent.request({
      ...request,
      origin: this.#options.sidecar,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    })
    const text = await textOf(answer)
    if (answer.statusCode >= 200 && answer.statusCode < 300) {
      return text === '' ? undefined : parseJson(text, `answer of ${request.path}`)
    }
    throw refusal(request.path, answer.statusCode, text)
  }
}

async function textOf(answer: Dispatcher.ResponseData): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX)
      throw new FairleadError('PAYLOAD_TOO_LARGE', `An answer has over ${ANSWER_BYTES_MAX} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Only the scheduler's own word that it does not know the session counts as that; the rest is "not now". */
function refusal(path: string, status: number, text: string): FairleadError {
  const code = status === 409 && /"code"\s*:\s*"SESSION_UNKNOWN"/.test(text) ? 'SESSION_UNKNOWN' : 'UNREACHABLE'
  return new FairleadError(code, `${path} answered ${status}`, { log: { answer: text.slice(0, 500) } })
}
