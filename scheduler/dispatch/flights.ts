// flights.ts — attempts that are leased: who carries their word to us, and what that word does.
//
// A flight: sent (carried by a dispatch stream) → its stream broke (carried by none) → carried by an attach stream …
// → landed by a result, a refusal, a release, or the end of its session. Only these end it; a broken stream does not.
// A landing is written to the leader until it is durable, then acked; a second result of the same attempt changes
// nothing and is acked again.

import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import type { RefusalReason, WorkerEvent, WorkerResult } from '../../workers/contract.ts'
import type { Leader } from '../leader/port.ts'
import type { AttemptRow } from '../store/contract.ts'
import type { DispatchMetrics } from './metrics.ts'
import { type Outcomes, verdictOf } from './outcomes.ts'
import type { WorkerSession } from './sessions.ts'

const REQUEUE_MIN_MS = 100
const REQUEUE_MAX_MS = 1_000
/** After POLICY_DENIED or a failed handshake: it takes a person or a push to change that. */
const DENIED_MIN_MS = 5_000
const DENIED_MAX_MS = 10_000
const WRITE_RETRY_MIN_MS = 200
const WRITE_RETRY_MAX_MS = 5_000

export interface Ref {
  readonly job: string
  readonly token: string
}

export interface Flight extends Ref {
  readonly key: string
  readonly row: AttemptRow
  readonly session: WorkerSession
  carrier: 'stream' | 'attach' | 'none'
  started: boolean
  /** A last word is being written. */
  landing: boolean
  /** Plain mode: stops the request. */
  abort?: (why: 'cancelled' | 'timedOut') => void
}

export interface FlightsParts {
  readonly leader: Leader
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly outcomes: Outcomes
  readonly metrics: DispatchMetrics
  readonly closing: AbortSignal
  ack(session: WorkerSession, ref: Ref): void
  /** A slot became free. */
  onFree(): void
}

export const keyOf = (ref: Ref): string => `${ref.job}/${ref.token}`

export class Flights {
  readonly #parts: FlightsParts
  readonly #byKey = new Map<string, Flight>()
  readonly #bySession = new Map<WorkerSession, Set<Flight>>()
  readonly #writes = new Set<Promise<void>>()

  constructor(parts: FlightsParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#byKey.size
  }

  get(ref: Ref): Flight | undefined {
    return this.#byKey.get(keyOf(ref))
  }

  of(session: WorkerSession): Flight[] {
    return [...(this.#bySession.get(session) ?? [])]
  }

  add(row: AttemptRow, session: WorkerSession, carrier: Flight['carrier']): Flight {
    const ref = { job: row.job, token: row.token.toString() }
    const key = keyOf(ref)
    const flight: Flight = { ...ref, key, row, session, carrier, started: false, landing: false }
    this.#byKey.set(key, flight)
    const flights = this.#bySession.get(session) ?? new Set()
    this.#bySession.set(session, flights.add(flight))
    session.attempts.add(key)
    return flight
  }

  /** One line of a stream of this session. `beat`, `running` and `attached` are the stream's own business. */
  onEvent(session: WorkerSession, event: WorkerEvent): void {
    if (event.t === 'beat' || event.t === 'attached') return
    const flight = this.get(event)
    if (!flight || flight.session !== session) {
      if (event.t === 'result') this.#parts.ack(session, event)
      return
    }
    if (flight.landing) return
    const { leader } = this.#parts
    if (event.t === 'progress') leader.progress(flight.job, flight.token, event.pct)
    else if (event.t === 'log') leader.log(flight.job, flight.token, event.seq, event.stream, event.text)
    else if (event.t === 'refused') this.#workerRefused(flight, event.reason)
    else if (event.t === 'result') this.#result(flight, event)
    else this.#started(flight)
  }

  /** Nothing ran. `pause`: the instance gets nothing for as long. */
  refuse(flights: readonly Flight[], reason: RefusalReason | string, retryAfterMs: number): void {
    const session = flights[0]?.session
    if (!session) return
    const delays = flights.map(() => this.requeueMs(reason, retryAfterMs))
    // The retry budget speaks of repeats, not of this instance.
    if (reason !== 'RETRY_BUDGET_EXHAUSTED') this.pause(session, Math.min(...delays))
    flights.forEach((flight, index) => {
      this.#giveBack(flight, 'refused', reason, delays[index]!)
    })
  }

  /** Leased, but its worker never had it. */
  release(flight: Flight): void {
    this.#giveBack(flight, 'released', 'the worker never had it', this.requeueMs('', 0))
  }

  /** The session ended; resolves when every attempt of it has a durable end. */
  async lose(session: WorkerSession): Promise<void> {
    const writes = this.of(session).map((flight) => {
      flight.abort?.('cancelled')
      return flight.landing ? undefined : this.#lost(flight)
    })
    await Promise.all(writes)
  }

  /** Waits for last words on their way to the store. */
  async settle(): Promise<void> {
    await Promise.all(this.#writes)
  }

  pause(session: WorkerSession, ms: number): void {
    session.refused(ms)
    this.#parts.clock.after(ms + 1, () => this.#parts.onFree(), true)
  }

  requeueMs(reason: string, retryAfterMs: number): number {
    const { random } = this.#parts
    const denied = reason === 'POLICY_DENIED' || reason === 'UPSTREAM_TLS'
    const jitter = denied
      ? random.between(DENIED_MIN_MS, DENIED_MAX_MS)
      : random.between(REQUEUE_MIN_MS, REQUEUE_MAX_MS)
    return Math.round(retryAfterMs + jitter)
  }

  #started(flight: Flight): void {
    if (flight.started) return
    flight.started = true
    this.#parts.leader.started(flight.job, flight.token)
  }

  #workerRefused(flight: Flight, reason: RefusalReason): void {
    if (reason === 'draining') flight.session.status = 'draining'
    // The pause is for a worker that has no room; the other reasons concern one job, or all the session's.
    if (reason === 'full' || reason === 'wrong-session') {
      this.pause(flight.session, this.#parts.random.between(REQUEUE_MIN_MS, REQUEUE_MAX_MS))
    }
    this.#giveBack(flight, 'refused', reason, this.requeueMs(reason, 0))
  }

  #result(flight: Flight, result: WorkerResult): void {
    const { leader, outcomes, metrics, ack } = this.#parts
    if (result.error?.code === 'WORKER_LOST') return void this.#lost(flight).then(() => ack(flight.session, flight))
    const { authority, row } = flight.session
    outcomes.add({ authority, backend: flight.row.backend, instance: row.instance }, result)
    if (verdictOf(result) === 'succeeded') flight.session.succeeded()
    metrics.ended(result.outcome, flight.row.version)
    void this.#land(flight, async () => {
      this.#started(flight)
      await leader.finish(result)
    }).then((durable) => durable && ack(flight.session, flight))
  }

  #giveBack(flight: Flight, how: 'refused' | 'released', reason: string, delayMs: number): void {
    if (flight.landing) return
    this.#parts.metrics.refused(how === 'released' ? 'released' : reason)
    void this.#land(flight, () => this.#parts.leader.giveBack(flight.job, flight.token, how, reason, delayMs))
  }

  async #lost(flight: Flight): Promise<void> {
    this.#parts.metrics.ended('lost', flight.row.version)
    await this.#land(flight, () => this.#parts.leader.lost(flight.job, flight.token))
  }

  /** Frees the slot at once, writes until it is durable; false when we close first (the next scheduler attaches). */
  #land(flight: Flight, write: () => Promise<unknown>): Promise<boolean> {
    flight.landing = true
    flight.session.attempts.delete(flight.key)
    this.#parts.onFree()
    const landed = this.#write(flight, write).then((durable) => {
      this.#byKey.delete(flight.key)
      const flights = this.#bySession.get(flight.session)
      flights?.delete(flight)
      if (flights?.size === 0) this.#bySession.delete(flight.session)
      return durable
    })
    const done = landed.then(() => void this.#writes.delete(done))
    this.#writes.add(done)
    return landed
  }

  async #write(flight: Flight, write: () => Promise<unknown>): Promise<boolean> {
    const { clock, random, log, closing } = this.#parts
    for (let delayMs = WRITE_RETRY_MIN_MS; ; delayMs = Math.min(WRITE_RETRY_MAX_MS, delayMs * 2)) {
      try {
        await write()
        return true
      } catch (error) {
        log.error({ error, task_id: flight.job }, 'the end of an attempt could not be stored; trying again')
        if (closing.aborted) return false
        await clock.sleep(random.between(delayMs / 2, delayMs), closing).catch(() => undefined)
      }
    }
  }
}
