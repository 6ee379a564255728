// dispatcher.ts — startDispatcher: worker sessions in, jobs out, last words back to the leader (docs/dispatch.md).
//
// Owns the wiring and the start and end of it: at start every leased attempt is attached to; at close nothing more is
// taken, streams are dropped and their attempts stay leased, for workers keep results and the next scheduler attaches.

import type { FastifyInstance } from 'fastify'
import type { z } from 'zod'
import type { Clock } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import { HEADERS, type Self } from '../../kernel/local-surface.ts'
import type { Log } from '../../kernel/log.ts'
import type { Registry } from '../../kernel/metrics.ts'
import type { Random } from '../../kernel/random.ts'
import type { Tracing } from '../../kernel/tracing.ts'
import type { WorkerSchema } from '../contract.ts'
import type { Leader, StopWhy } from '../leader/port.ts'
import type { AttemptRow } from '../store/contract.ts'
import { Acks } from './acks.ts'
import { Attacher } from './attach.ts'
import { Cancels } from './cancels.ts'
import { Flights, keyOf } from './flights.ts'
import { Launcher } from './launch.ts'
import { dispatchMetrics } from './metrics.ts'
import { Outcomes } from './outcomes.ts'
import { Pump } from './pump.ts'
import { addSessionRoutes } from './routes.ts'
import { Sessions, WorkerSession } from './sessions.ts'
import { createSidecar, type Sidecar } from './sidecar.ts'

export type WorkerStatus = z.infer<typeof WorkerSchema>

export interface DispatcherOptions {
  readonly leader: Leader
  /** Origin of the own sidecar's outbound listener. */
  readonly sidecar: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly registry: Registry
  readonly tracing: Tracing
}

export interface Dispatcher extends Closable {
  /** Adds the worker session endpoints. */
  routes(app: FastifyInstance): void
  workers(): WorkerStatus[]
}

const SELF_RETRY_MS = 1_000
const EARLY_STOPS_MAX = 10_000
const CLOSE_WRITES_MS = 3_000

export async function startDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const dispatcher = new RunningDispatcher(options)
  dispatcher.start()
  return dispatcher
}

class RunningDispatcher implements Dispatcher {
  readonly #options: DispatcherOptions
  readonly #closing = new AbortController()
  readonly #sidecar: Sidecar
  readonly #sessions: Sessions
  readonly #flights: Flights
  readonly #outcomes: Outcomes
  readonly #acks: Acks
  readonly #attacher: Attacher
  readonly #cancels: Cancels
  readonly #launcher: Launcher
  readonly #pump: Pump
  /** Stops that came between a lease and its flight. */
  readonly #earlyStops = new Map<string, StopWhy>()
  #self: Self | undefined
  #closed: Promise<void> | undefined

  constructor(options: DispatcherOptions) {
    const { leader, clock, random, log, registry, tracing } = options
    const closing = this.#closing.signal
    const headers = (session: WorkerSession): Record<string, string> => this.#headers(session)
    this.#options = options
    this.#sidecar = createSidecar(options.sidecar)
    this.#sessions = new Sessions({
      leader,
      clock,
      random,
      log,
      onEnd: (session) => this.#onSessionEnd(session),
      onChange: () => this.#pump.wake(true),
    })
    const metrics = dispatchMetrics(registry, () => this.#gauges())
    const sidecar = this.#sidecar
    this.#outcomes = new Outcomes(sidecar, clock, log)
    this.#acks = new Acks({ sidecar, clock, random, log, closing, headers })
    this.#flights = new Flights({
      leader,
      clock,
      random,
      log,
      outcomes: this.#outcomes,
      metrics,
      closing,
      ack: (session, ref) => this.#acks.add(session, ref),
      onFree: () => this.#pump.wake(true),
    })
    const flights = this.#flights
    this.#attacher = new Attacher({ sidecar, flights, clock, random, log, metrics, closing, headers })
    this.#cancels = new Cancels({ sidecar, flights, clock, random, log, closing, headers })
    const attacher = this.#attacher
    const onFlight = (flight: Parameters<Cancels['cancel']>[0]): void => {
      const why = this.#earlyStops.get(flight.key)
      if (why === undefined) return
      this.#earlyStops.delete(flight.key)
      this.#cancels.cancel(flight, why)
    }
    this.#launcher = new Launcher({
      sidecar,
      flights,
      attacher,
      clock,
      log,
      metrics,
      closing,
      headers,
      onFlight,
      tracing,
    })
    const launch = this.#launcher.launch.bind(this.#launcher)
    this.#pump = new Pump({ leader, sidecar, sessions: this.#sessions, clock, random, log, metrics, launch })
  }

  start(): void {
    const { leader } = this.#options
    this.#recover(leader.running())
    leader.onReady(() => this.#pump.wake())
    leader.onStop((attempt, why) => this.#stop(attempt, why))
    void this.#learnSelf()
    this.#pump.wake()
  }

  routes(app: FastifyInstance): void {
    const sessions = this.#sessions
    addSessionRoutes(app, {
      sessions,
      log: this.#options.log,
      lastWords: async (session, results) => {
        for (const result of results) this.#flights.onEvent(session, result)
        await this.#flights.settle()
      },
      strangers: (session, running) => running.filter((ref) => this.#flights.get(ref)?.session !== session),
    })
  }

  workers(): WorkerStatus[] {
    const now = this.#options.clock.now()
    return this.#sessions.all().map((one) => ({
      instance: one.row.instance,
      service: one.row.service,
      version: one.row.version,
      session: one.row.session,
      status: one.status,
      types: [...one.types],
      slots: one.row.slots,
      running: one.held,
      lastHeartbeatMsAgo: Math.round(now - one.lastSeen),
    }))
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { clock } = this.#options
    await this.#pump.stop()
    const late = new AbortController()
    const enough = clock.sleep(CLOSE_WRITES_MS, late.signal).catch(() => undefined)
    await Promise.race([this.#flights.settle().then(() => this.#acks.settle()), enough])
    await Promise.race([this.#outcomes.flush(), enough])
    late.abort()
    this.#closing.abort()
    await this.#sessions.close()
    await Promise.all([
      this.#launcher.settle(),
      this.#attacher.settle(),
      this.#cancels.settle(),
      this.#flights.settle(),
    ])
    await this.#sidecar.close()
  }

  /** Attempts that were leased before we started: their workers know how they stand. */
  #recover(running: readonly AttemptRow[]): void {
    const open = new Set<WorkerSession>()
    for (const row of running) {
      const session = this.#sessions.get(row.session) ?? vanished(row, this.#options.clock)
      this.#flights.add(row, session, 'none')
      // Plain workers keep nothing that could be asked for; a session that is not stored ended already.
      if (session.ended || session.plain) void this.#flights.lose(session)
      else open.add(session)
    }
    for (const session of open) this.#attacher.attach(session)
  }

  async #onSessionEnd(session: WorkerSession): Promise<void> {
    this.#attacher.drop(session)
    await this.#flights.lose(session)
  }

  #stop(attempt: AttemptRow, why: StopWhy): void {
    const ref = { job: attempt.job, token: attempt.token.toString() }
    const flight = this.#flights.get(ref)
    if (flight) this.#cancels.cancel(flight, why)
    else if (this.#earlyStops.size < EARLY_STOPS_MAX) this.#earlyStops.set(keyOf(ref), why)
  }

  #headers(session: WorkerSession): Record<string, string> {
    const scheduler: Record<string, string> = this.#self ? { 'fairlead-scheduler': this.#self.instance } : {}
    return { [HEADERS.instance]: session.row.instance, ...scheduler }
  }

  async #learnSelf(): Promise<void> {
    const { clock, log } = this.#options
    const closing = this.#closing.signal
    for (let tries = 0; !closing.aborted && this.#self === undefined; tries++) {
      try {
        this.#self = await this.#sidecar.self(closing)
        log.info({ instance: this.#self.instance }, 'the sidecar knows us')
      } catch (error) {
        if (tries === 0) log.warn({ error }, 'no sidecar yet; trying on')
        await clock.sleep(SELF_RETRY_MS, closing).catch(() => undefined)
      }
    }
  }

  #gauges(): { instance: string; version: string; window: number; held: number }[] {
    return this.#sessions.all().map(({ row, window, held }) => {
      return { instance: row.instance, version: row.version, window, held }
    })
  }
}

/** Stands for a session that the store does not know any more. */
function vanished(row: AttemptRow, clock: Clock): WorkerSession {
  const { session, instance, version } = row
  const gone = { session, instance, version, service: 'unknown', namespace: 'default', boot: '', types: [], slots: 1 }
  const ended = new WorkerSession({ ...gone, labels: {} }, clock)
  ended.ended = true
  return ended
}
