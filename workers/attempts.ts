// attempts.ts — what one worker holds: running attempts, results until they are acked, the highest token per job.
//
// Owns: the slots, the refusals, who listens to which attempt, and every bound on that memory.
// A handler that outlives its result frees its slot and is counted as a zombie; past `zombiesMax` of them a zombie
// keeps a slot, so handlers that hang for ever end in `full` and not in memory.
// Never: speaks HTTP.

import type { Clock } from '../kernel/clock.ts'
import { assert } from '../kernel/errors.ts'
import type { Tracing } from '../kernel/tracing.ts'
import { type Attempt, type StopWhy, startAttempt } from './attempt.ts'
import type { DispatchJob, RefusalReason, WorkerEvent, WorkerResult } from './contract.ts'
import type { AnyHandler } from './handler.ts'
import type { WorkerMetrics } from './metrics.ts'

export const ATTEMPT_LIMITS = {
  /** Results kept for want of an ack; past either bound new work is refused as `full`. */
  unackedMax: 10_000,
  unackedBytesMax: 64 * 1024 * 1024,
  /** Jobs whose highest token is remembered; the oldest is forgotten first. */
  tokensMax: 100_000,
} as const

export interface Ref {
  readonly job: string
  readonly token: string
}

/** Takes the events of the attempts that it was given; one per open stream. */
export interface EventSink {
  send(event: WorkerEvent, key: string): void
}

export interface AttemptTableOptions {
  readonly handlers: ReadonlyMap<string, AnyHandler>
  readonly slots: number
  readonly clock: Clock
  readonly tracing: Tracing
  readonly metrics: WorkerMetrics
  /** Past this many handlers that outlived their result, each further one keeps its slot. */
  readonly zombiesMax: number
}

interface Running {
  readonly attempt: Attempt
  readonly type: string
}

interface Kept {
  readonly result: WorkerResult
  readonly bytes: number
}

export const keyOf = (ref: Ref): string => `${ref.job}/${ref.token}`

export class AttemptTable {
  readonly #options: AttemptTableOptions
  readonly #running = new Map<string, Running>()
  readonly #unacked = new Map<string, Kept>()
  readonly #highest = new Map<string, bigint>()
  readonly #sinks = new Map<string, Set<EventSink>>()
  readonly #idle = new Set<() => void>()
  #unackedBytes = 0
  #zombies = 0
  #errors = 0

  constructor(options: AttemptTableOptions) {
    this.#options = options
  }

  get freeSlots(): number {
    const { slots, zombiesMax } = this.#options
    return Math.max(0, slots - this.#running.size - Math.max(0, this.#zombies - zombiesMax))
  }

  get counts(): { running: number; unacked: number; zombies: number; errors: number } {
    return {
      running: this.#running.size,
      unacked: this.#unacked.size,
      zombies: this.#zombies,
      errors: this.#errors,
    }
  }

  running(): Ref[] {
    return [...this.#running.values()].map(({ attempt }) => ({ job: attempt.job, token: attempt.token }))
  }

  results(): WorkerResult[] {
    return [...this.#unacked.values()].map((kept) => kept.result)
  }

  /** The oldest results, as many as fit. */
  resultsUpTo(bytesMax: number): WorkerResult[] {
    let left = bytesMax
    const fitting: WorkerResult[] = []
    for (const { result, bytes } of this.#unacked.values()) {
      left -= bytes + 1
      if (left < 0) break
      fitting.push(result)
    }
    return fitting
  }

  /** Starts the job, or says why not. The sink hears of it from `accepted` on. */
  accept(job: DispatchJob, sink: EventSink): RefusalReason | undefined {
    const handler = this.#options.handlers.get(job.type)
    if (!handler) return 'unknown-type'
    const token = BigInt(job.token)
    if (token <= (this.#highest.get(job.job) ?? -1n)) return 'stale-token'
    if (this.freeSlots === 0 || this.#unackedFull()) return 'full'
    this.#supersede(job.job)
    this.#remember(job.job, token)
    this.#start(handler, job, sink)
    return undefined
  }

  /** Adds a listener to attempts that run already. */
  listen(ref: Ref, sink: EventSink): void {
    this.#sinks.get(keyOf(ref))?.add(sink)
  }

  /** A stream ended: nothing is sent to it any more; the attempts go on. */
  forget(sink: EventSink): void {
    for (const sinks of this.#sinks.values()) sinks.delete(sink)
  }

  ack(refs: readonly Ref[]): void {
    for (const ref of refs) this.#drop(keyOf(ref))
    this.#notify()
  }

  /** False: no such attempt runs here. */
  stop(ref: Ref, why: StopWhy): boolean {
    const running = this.#running.get(keyOf(ref))
    running?.attempt.stop(why)
    return running !== undefined
  }

  stopAll(why: StopWhy): void {
    for (const { attempt } of [...this.#running.values()]) attempt.stop(why)
  }

  /** Another session began: nobody will ask for the results of the old one. */
  forgetResults(): void {
    for (const key of [...this.#unacked.keys()]) this.#drop(key)
    this.#notify()
  }

  /** Resolves when `done()` holds; asked again whenever an attempt ends or is acked. */
  until(done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!done()) return
        this.#idle.delete(check)
        resolve()
      }
      this.#idle.add(check)
      check()
    })
  }

  #start(handler: AnyHandler, job: DispatchJob, sink: EventSink): void {
    const key = keyOf(job)
    this.#sinks.set(key, new Set([sink]))
    const { clock, tracing } = this.#options
    const attempt = startAttempt(handler, job, { clock, tracing, emit: (event) => this.#emit(key, event) })
    this.#running.set(key, { attempt, type: job.type })
  }

  #settled(key: string, result: WorkerResult): void {
    const running = this.#running.get(key)
    assert(running, 'an attempt settles once, after it started')
    this.#running.delete(key)
    this.#zombies++
    void running.attempt.gone.then(() => {
      this.#zombies--
      this.#notify()
    })
    this.#keep(key, result)
    if (result.outcome === 'failed') this.#errors++
    this.#options.metrics.finished(running.type, result.outcome, (result.durationMs ?? 0) / 1000)
    this.#send(key, result)
    this.#sinks.delete(key)
    this.#notify()
  }

  #emit(key: string, event: WorkerEvent): void {
    if (event.t === 'result') this.#settled(key, event)
    else this.#send(key, event)
  }

  #send(key: string, event: WorkerEvent): void {
    for (const sink of this.#sinks.get(key) ?? []) sink.send(event, key)
  }

  #keep(key: string, result: WorkerResult): void {
    const bytes = Buffer.byteLength(JSON.stringify(result))
    this.#unackedBytes += bytes
    this.#unacked.set(key, { result, bytes })
  }

  #drop(key: string): void {
    const kept = this.#unacked.get(key)
    if (!kept) return
    this.#unacked.delete(key)
    this.#unackedBytes -= kept.bytes
  }

  #unackedFull(): boolean {
    return this.#unacked.size >= ATTEMPT_LIMITS.unackedMax || this.#unackedBytes >= ATTEMPT_LIMITS.unackedBytesMax
  }

  #supersede(job: string): void {
    for (const { attempt } of [...this.#running.values()]) if (attempt.job === job) attempt.stop('superseded')
  }

  #remember(job: string, token: bigint): void {
    this.#highest.delete(job)
    this.#highest.set(job, token)
    if (this.#highest.size <= ATTEMPT_LIMITS.tokensMax) return
    const oldest = this.#highest.keys().next()
    if (!oldest.done) this.#highest.delete(oldest.value)
  }

  #notify(): void {
    for (const check of [...this.#idle]) check()
  }
}
