// pump.ts — from ready jobs to leased attempts: take, quote, place, lease; one batch at a time per service.
//
// Woken by ready jobs, free slots, sessions and a slow timer; a wake carries no data. Takes no more jobs than can be
// placed or stand for a kept unit, and gives back what it could not place; nothing is sent before its lease is durable.
// Batches form by themselves: while one is being leased, slots and jobs gather for the next.

import { type Clock, type MonotonicMs, plus } from '../../kernel/clock.ts'
import { QUOTE_UNITS_MAX, type Quote } from '../../kernel/local-surface.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import { DISPATCH_PATH } from '../../workers/contract.ts'
import type { Leader, LeasedAttempt, ReadyJob } from '../leader/port.ts'
import { Allotment, countUnits, QUOTE_MARGIN_MS, type Unit } from './allotment.ts'
import { assignment, type Draft, findPlace, type Lane, orphans, reservation } from './draft.ts'
import type { DispatchMetrics } from './metrics.ts'
import { freeSlots, isLive } from './placement.ts'
import { learn, planBatch } from './plan.ts'
import type { Sessions, WorkerSession } from './sessions.ts'
import { meshAuthority, type Sidecar } from './sidecar.ts'

const BATCH_JOBS_MAX = 1_000
const SAFETY_MS = 1_000
/** After a batch that placed nothing, unless a slot becomes free: jobs put back are ready again at once. */
const STALL_MS = 50
const REQUEUE_MIN_MS = 100
const REQUEUE_MAX_MS = 1_000
const REFUSED_MS_MAX = 1_000
const PINNED_MIN_MS = 20
const PINNED_MAX_MS = 100
const QUOTE_RETRY_MIN_MS = 200
const QUOTE_RETRY_MAX_MS = 5_000

export interface PumpParts {
  readonly leader: Leader
  readonly sidecar: Sidecar
  readonly sessions: Sessions
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: DispatchMetrics
  launch(leased: readonly Launch[]): void
}

export interface Launch {
  readonly attempt: LeasedAttempt
  readonly session: WorkerSession
  readonly quote: string
}

export class Pump {
  readonly #parts: PumpParts
  readonly #lanes = new Map<string, Lane>()
  #running: Promise<void> | undefined
  #again = false
  #stopped = false
  readonly #timer

  constructor(parts: PumpParts) {
    this.#parts = parts
    this.#timer = parts.clock.every(SAFETY_MS, () => this.wake())
  }

  /** `freed`: a slot or session came free, so a stalled service is tried again at once. */
  wake(freed = false): void {
    if (freed) for (const lane of this.#lanes.values()) if (lane.stalled) this.#unstall(lane)
    this.#again = true
    if (this.#running || this.#stopped) return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (this.#again) this.wake()
    })
  }

  /** Stops taking; resolves when the batch under way is leased. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer.cancel()
    await this.#running
    for (const lane of this.#lanes.values()) await this.#return(lane.allotment.clear())
  }

  async #run(): Promise<void> {
    await new Promise<void>((resolve) => void setImmediate(resolve)) // what else this turn brings is one batch
    while (this.#again && !this.#stopped) {
      this.#again = false
      for (const [service, workers] of this.#services()) {
        const progress = await this.#batch(this.#lane(service, workers), workers).catch((error: unknown) => {
          this.#parts.log.error({ error, service }, 'a dispatch batch failed')
          return false
        })
        if (progress) this.#again = true
      }
    }
  }

  /** True when another batch may follow at once. */
  async #batch(lane: Lane, workers: readonly WorkerSession[]): Promise<boolean> {
    const now = this.#parts.clock.now()
    await this.#return([...lane.allotment.expire(now), ...orphans(lane.allotment, workers)])
    if (now < lane.notBefore) return false
    const plan = planBatch(workers, lane.allotment, lane.shares, BATCH_JOBS_MAX)
    const jobs = plan.take === 0 ? [] : this.#parts.leader.take(this.#types(workers), plan.take)
    if (jobs.length === 0) return false
    const draft: Draft = { lane, workers, placed: [], waiting: [], delayed: [], kept: 0, unused: [] }
    try {
      await this.#placeAll(draft, jobs, plan.fresh)
    } finally {
      this.#putBack(draft)
      await this.#return(draft.unused)
      await this.#lease(draft)
    }
    const progress = draft.placed.length + draft.kept > 0
    if (!progress) this.#stall(lane)
    return progress
  }

  async #placeAll(draft: Draft, jobs: readonly ReadyJob[], freshMax: number): Promise<void> {
    draft.waiting = jobs.filter((job) => job.pinned === undefined)
    const pinned = Map.groupBy(
      jobs.filter((job) => job.pinned !== undefined),
      (job) => job.pinned!,
    )
    const later = [...pinned.values()].flat()
    try {
      this.#useKept(draft)
      const fresh = Math.min(freshMax, draft.waiting.length - draft.lane.allotment.total)
      if (fresh > 0) this.#useQuote(draft, await this.#quote(draft.lane, fresh))
    } catch (error) {
      draft.waiting.push(...later)
      throw error
    }
    for (const [version, group] of pinned) await this.#placePinned(draft, version, group)
  }

  /** Units that waited for a slot of their version. */
  #useKept(draft: Draft): void {
    for (const { backend, version, units } of draft.lane.allotment.backends()) {
      for (let i = 0; i < units; i++) {
        const found = findPlace(draft, version)
        if (!found) break
        draft.placed.push({ ...found, unit: draft.lane.allotment.draw(backend, 1)[0]! })
      }
    }
  }

  #useQuote(draft: Draft, quote: Quote): void {
    const { clock, random } = this.#parts
    draft.lane.shares = learn(draft.lane.shares, [...quote.backends, ...quote.refused])
    const until = plus(clock.now(), quote.expiresInMs - QUOTE_MARGIN_MS)
    for (const { backend, version, units } of quote.backends) {
      const unit: Unit = { quote: quote.quote, backend, version }
      for (let i = 0; i < units; i++) this.#useUnit(draft, unit, until)
    }
    for (const { code, units, retryAfterMs } of quote.refused) {
      if (units === 0) continue
      this.#parts.metrics.refused(code, units)
      // The jobs are not tied to the version that refused: a fresh quote most likely gives them another one. Waiting out
      // its breaker (30 s) would make good versions pay for the bad one.
      const delayMs = Math.round(
        Math.min(retryAfterMs, REFUSED_MS_MAX) + random.between(REQUEUE_MIN_MS, REQUEUE_MAX_MS),
      )
      draft.delayed.push({ count: units, delayMs })
    }
  }

  #useUnit(draft: Draft, unit: Unit, until: MonotonicMs): void {
    const found = findPlace(draft, unit.version)
    if (found) {
      draft.placed.push({ ...found, unit })
    } else if (freeSlots(draft.workers, unit.version) === 0 && isLive(draft.workers, unit.version)) {
      if (draft.lane.allotment.keep(unit, until)) draft.kept++
      else draft.unused.push(unit)
    } else {
      // No instance of that version, or none that knows these types: the mesh keeps the debt, the jobs try again.
      draft.unused.push(unit)
      draft.delayed.push({ count: 1, delayMs: this.#requeueMs() })
      this.#parts.metrics.refused('no-fitting-instance', 1)
    }
  }

  async #placePinned(draft: Draft, version: string, jobs: ReadyJob[]): Promise<void> {
    const unpinned = draft.waiting
    const free = Math.min(jobs.length, freeSlots(draft.workers, version))
    draft.waiting = jobs
    try {
      if (free > 0) {
        const quote = await this.#quote(draft.lane, free, version)
        for (const { backend, units } of quote.backends) {
          for (let i = 0; i < units; i++) {
            const unit: Unit = { quote: quote.quote, backend, version }
            const found = findPlace(draft, version)
            if (found) draft.placed.push({ ...found, unit })
            else draft.unused.push(unit)
          }
        }
      }
    } finally {
      // Not at once: pinned jobs at the head of the heap would be all that is ever taken.
      this.#parts.leader.putBack(draft.waiting, Math.round(this.#parts.random.between(PINNED_MIN_MS, PINNED_MAX_MS)))
      draft.waiting = unpinned
    }
  }

  async #quote(lane: Lane, units: number, pinned?: string): Promise<Quote> {
    const { sidecar, clock, random } = this.#parts
    const { authority } = lane
    try {
      const asked = {
        authority,
        method: 'POST',
        path: DISPATCH_PATH,
        headers: {},
        units: Math.min(units, QUOTE_UNITS_MAX),
      }
      const quote = await sidecar.quote(pinned === undefined ? asked : { ...asked, pinned })
      lane.failures = 0
      return quote
    } catch (error) {
      const ceilingMs = Math.min(QUOTE_RETRY_MAX_MS, QUOTE_RETRY_MIN_MS * 2 ** Math.min(lane.failures++, 10))
      lane.stalled = false
      lane.notBefore = plus(clock.now(), random.between(ceilingMs / 2, ceilingMs))
      throw error
    }
  }

  #putBack(draft: Draft): void {
    const { leader } = this.#parts
    for (const { count, delayMs } of draft.delayed) {
      const jobs = draft.waiting.splice(0, count)
      if (jobs.length > 0) leader.putBack(jobs, delayMs)
    }
    if (draft.waiting.length > 0) leader.putBack(draft.waiting)
    draft.waiting = []
  }

  async #lease(draft: Draft): Promise<void> {
    if (draft.placed.length === 0) return
    const { leader, log } = this.#parts
    try {
      const leased = await leader.lease(draft.placed.map(assignment))
      const byJob = new Map(draft.placed.map((placed) => [placed.job.id, placed]))
      const launches = leased.map((attempt) => {
        const placed = byJob.get(attempt.row.job)!
        byJob.delete(attempt.row.job)
        return { attempt, session: placed.session, quote: placed.unit.quote }
      })
      this.#parts.launch(launches)
      await this.#return([...byJob.values()].map(({ unit }) => unit))
    } catch (error) {
      log.error({ error, jobs: draft.placed.length }, 'leases could not be stored; the jobs go back')
      leader.putBack(
        draft.placed.map(({ job }) => job),
        this.#requeueMs(),
      )
      await this.#return(draft.placed.map(({ unit }) => unit))
    } finally {
      for (const { job, session } of draft.placed) session.attempts.delete(reservation(job))
    }
  }

  /** Best effort: what is not heard goes back when its quote ends. */
  async #return(units: readonly Unit[]): Promise<void> {
    if (units.length === 0) return
    try {
      await this.#parts.sidecar.report({ unused: countUnits(units) })
    } catch (error) {
      this.#parts.log.warn({ error }, 'unused units not heard by the sidecar')
    }
  }

  #services(): Map<string, WorkerSession[]> {
    return Map.groupBy(this.#parts.sessions.all(), (session) => session.authority)
  }

  /** A type belongs to every service that registered it; whichever has room takes the job. */
  #types(workers: readonly WorkerSession[]): ReadonlySet<string> {
    const types = new Set<string>()
    for (const worker of workers) if (worker.live) for (const type of worker.types) types.add(type)
    return types
  }

  #lane(service: string, workers: readonly WorkerSession[]): Lane {
    const known = this.#lanes.get(service)
    if (known) return known
    const { service: name, namespace } = workers[0]!.row
    const lane: Lane = {
      authority: meshAuthority(name, namespace),
      allotment: new Allotment(),
      shares: new Map(),
      notBefore: this.#parts.clock.now(),
      stalled: false,
      failures: 0,
    }
    this.#lanes.set(service, lane)
    return lane
  }

  #stall(lane: Lane): void {
    if (this.#parts.clock.now() < lane.notBefore) return
    lane.stalled = true
    lane.notBefore = plus(this.#parts.clock.now(), STALL_MS)
    this.#parts.clock.after(STALL_MS + 1, () => this.wake(), true)
  }

  #unstall(lane: Lane): void {
    lane.stalled = false
    lane.notBefore = this.#parts.clock.now()
  }

  #requeueMs(): number {
    return Math.round(this.#parts.random.between(REQUEUE_MIN_MS, REQUEUE_MAX_MS))
  }
}
