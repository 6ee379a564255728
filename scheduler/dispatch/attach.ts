// attach.ts — asks a worker again for what broken streams left open (docs/dispatch.md §4).
//
// One loop per session while it has flights that nobody carries. Each round: those flights are noted, the worker names
// what runs and what it kept, and after `attached` a noted flight that was not named never arrived: released.
// Rounds are 0.2 → 5 s apart; the end of the session ends the loop and loses what is left.

import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import { ATTACH_PATH, type WorkerEvent } from '../../workers/contract.ts'
import { type Flight, type Flights, keyOf } from './flights.ts'
import type { DispatchMetrics } from './metrics.ts'
import type { WorkerSession } from './sessions.ts'
import type { Sidecar } from './sidecar.ts'
import { runStream } from './stream.ts'

const RETRY_MIN_MS = 200
const RETRY_MAX_MS = 5_000

export interface AttacherParts {
  readonly sidecar: Sidecar
  readonly flights: Flights
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: DispatchMetrics
  readonly closing: AbortSignal
  headers(session: WorkerSession): Record<string, string>
}

interface Loop {
  done: Promise<void>
  /** Ends the open stream, so that the next round sees newly broken flights. */
  restart: AbortController
}

export class Attacher {
  readonly #parts: AttacherParts
  readonly #loops = new Map<WorkerSession, Loop>()

  constructor(parts: AttacherParts) {
    this.#parts = parts
  }

  /** The session has flights that nobody carries. */
  attach(session: WorkerSession): void {
    if (this.#parts.closing.aborted || session.ended) return
    const running = this.#loops.get(session)
    if (running) running.restart.abort()
    else this.#start(session)
  }

  /** The session ended: its open stream has nothing more to say. */
  drop(session: WorkerSession): void {
    this.#loops.get(session)?.restart.abort()
  }

  async settle(): Promise<void> {
    await Promise.all([...this.#loops.values()].map((loop) => loop.done))
  }

  #start(session: WorkerSession): void {
    const loop: Loop = { done: Promise.resolve(), restart: new AbortController() }
    this.#loops.set(session, loop)
    loop.done = this.#run(session, loop).finally(() => {
      this.#loops.delete(session)
      // A stream may have broken while the last round ended.
      if (this.#parts.flights.of(session).some(uncarried)) this.attach(session)
    })
  }

  async #run(session: WorkerSession, loop: Loop): Promise<void> {
    const { flights, clock, random, closing } = this.#parts
    let delayMs = RETRY_MIN_MS
    while (!session.ended && !closing.aborted && flights.of(session).some(uncarried)) {
      loop.restart = new AbortController()
      const answered = await this.#round(session, loop.restart.signal)
      delayMs = answered ? RETRY_MIN_MS : Math.min(RETRY_MAX_MS, delayMs * 2)
      if (!flights.of(session).some(uncarried)) return
      await clock.sleep(random.between(delayMs / 2, delayMs), closing).catch(() => undefined)
    }
  }

  /** True when the worker answered. */
  async #round(session: WorkerSession, restart: AbortSignal): Promise<boolean> {
    const { sidecar, flights, log, metrics, closing } = this.#parts
    const open = flights.of(session).filter(uncarried)
    const named = new Set<string>()
    let answered = false
    const onEvent = (event: WorkerEvent): void => {
      if (event.t === 'running' || event.t === 'result') named.add(keyOf(event))
      if (event.t === 'running') carry(flights.get(event))
      if (event.t === 'attached') {
        answered = true
        for (const flight of open) if (!named.has(flight.key)) flights.release(flight)
      }
      flights.onEvent(session, event)
    }
    metrics.attached()
    const end = await runStream(
      sidecar,
      {
        authority: session.authority,
        path: ATTACH_PATH,
        headers: this.#parts.headers(session),
        body: JSON.stringify({ session: session.row.session }),
        contentType: 'application/json',
        signal: AbortSignal.any([closing, restart]),
      },
      onEvent,
    )
    for (const flight of flights.of(session)) if (flight.carrier === 'attach') flight.carrier = 'none'
    if (!answered) log.warn({ worker_id: session.row.instance, end }, 'attach did not reach the worker yet')
    return answered
  }
}

const uncarried = (flight: Flight): boolean => flight.carrier === 'none' && !flight.landing

function carry(flight: Flight | undefined): void {
  if (flight?.carrier === 'none') flight.carrier = 'attach'
}
