// worker.ts — startWorker: handlers behind a port, registered with the scheduler through the worker's own sidecar.
//
// Listens first and registers when sidecar and scheduler are there. Modes: serving → draining → closed.
// close() drains: /readyz 503, new work refused, running handlers finish (≤ 25 s, then they are stopped and count as
// lost, uncharged), acks are awaited (≤ 5 s), the session is left, the port is closed.

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../kernel/clock.ts'
import { FairleadError } from '../kernel/errors.ts'
import type { Closable } from '../kernel/lifetime.ts'
import type { Self } from '../kernel/local-surface.ts'
import type { Log } from '../kernel/log.ts'
import { createRegistry, type Registry } from '../kernel/metrics.ts'
import { type Random, uuidv7 } from '../kernel/random.ts'
import { startTracing, type Tracing } from '../kernel/tracing.ts'
import { AttemptTable } from './attempts.ts'
import { DISPATCH_PROTOCOL, type Heartbeat, LEAVE_BYTES_MAX, type SessionRequest } from './contract.ts'
import type { AnyHandler } from './handler.ts'
import { workerGauges, workerMetrics } from './metrics.ts'
import { createWorkerServer, type SessionView } from './server.ts'
import { type SessionClient, startSession } from './session.ts'

export const DRAIN_RUNNING_MS = 25_000
export const DRAIN_ACKS_MS = 5_000

export interface WorkerOptions {
  readonly handlers: readonly AnyHandler[]
  /** Of the code; told to the scheduler. Defaults to the sidecar's `--version`. */
  readonly version?: string
  /** Must be the service of the sidecar's identity; defaults to it. */
  readonly service?: string
  readonly listen: { readonly host: string; readonly port: number }
  /** The own sidecar's outbound listener. */
  readonly sidecar: string
  /** Attempts at once. */
  readonly slots: number
  readonly labels?: Readonly<Record<string, string>>
  readonly log: Log
  readonly clock: Clock
  readonly random: Random
  /** Own ones are made when not given; `tracing` follows OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly registry?: Registry
  readonly tracing?: Tracing
  readonly drainRunningMs?: number
  readonly drainAcksMs?: number
  /** Handlers that outlived their result and do not keep a slot; default = slots. */
  readonly zombiesMax?: number
}

export interface Worker extends Closable {
  readonly port: number
  session(): SessionView
}

export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const handlers = handlerTable(options.handlers)
  if (options.slots < 1) throw new RangeError('slots must be at least 1')
  const registry = options.registry ?? createRegistry('worker')
  const tracing = options.tracing ?? (await startTracing(tracedAs(options)))
  const worker = new RunningWorker(options, handlers, registry, tracing)
  await worker.listen()
  return worker
}

class RunningWorker implements Worker {
  readonly #options: WorkerOptions
  readonly #table: AttemptTable
  readonly #server: Server
  readonly #tracing: Tracing
  readonly #boot: string
  readonly #types: string[]
  readonly #startedAt: number
  #session: SessionClient | undefined
  #draining = false
  #closing: Promise<void> | undefined

  constructor(options: WorkerOptions, handlers: Map<string, AnyHandler>, registry: Registry, tracing: Tracing) {
    const { clock, log, random, slots } = options
    const metrics = workerMetrics(registry)
    this.#options = options
    this.#tracing = tracing
    this.#boot = uuidv7(clock.wall(), random)
    this.#types = [...handlers.keys()]
    this.#startedAt = clock.now()
    const zombiesMax = options.zombiesMax ?? slots
    this.#table = new AttemptTable({ handlers, slots, clock, tracing, metrics, zombiesMax })
    workerGauges(registry, () => this.#table.counts)
    const draining = (): boolean => this.#draining
    const session = (): SessionView => this.session()
    this.#server = createWorkerServer({ table: this.#table, clock, log, registry, metrics, draining, session })
  }

  get port(): number {
    const address = this.#server.address() as AddressInfo | null
    return address?.port ?? 0
  }

  session(): SessionView {
    return this.#session?.view() ?? { kind: 'none' }
  }

  async listen(): Promise<void> {
    await listen(this.#server, this.#options.listen)
    const { sidecar, clock, random, log } = this.#options
    this.#session = startSession({
      sidecar,
      clock,
      random,
      log,
      offer: (self) => this.#offer(self),
      status: () => this.#status(),
      onStop: (refs) => {
        for (const ref of refs) this.#table.stop(ref, 'superseded')
      },
      onFence: () => this.#table.stopAll('session'),
      onSession: (_session, fresh) => {
        if (fresh) this.#startOver()
      },
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#drain()
    return this.#closing
  }

  async #drain(): Promise<void> {
    const { drainRunningMs = DRAIN_RUNNING_MS, drainAcksMs = DRAIN_ACKS_MS, log } = this.#options
    this.#draining = true
    this.#session?.nudge()
    const finished = await this.#within(drainRunningMs, () => this.#table.counts.running === 0)
    if (!finished) {
      log.warn({ running: this.#table.counts.running }, 'handlers did not finish in time; stopping them')
      this.#table.stopAll('drain')
    }
    const acked = await this.#within(drainAcksMs, () => this.#table.counts.running + this.#table.counts.unacked === 0)
    if (!acked) log.warn({ unacked: this.#table.counts.unacked }, 'results without an ack; they go with the leave')
    await this.#session?.leave(this.#table.resultsUpTo(LEAVE_BYTES_MAX))
    await this.#session?.close()
    await closeServer(this.#server)
    if (this.#options.tracing === undefined) await this.#tracing.close()
  }

  /** True when `done` held within `ms`. */
  async #within(ms: number, done: () => boolean): Promise<boolean> {
    const control = new AbortController()
    const late = this.#options.clock.sleep(ms, control.signal).then(
      () => false,
      () => true,
    )
    const result = await Promise.race([this.#table.until(done).then(() => true), late])
    control.abort()
    return result
  }

  /** The scheduler gave another session: what belonged to the old one is nobody's. */
  #startOver(): void {
    this.#table.stopAll('session')
    this.#table.forgetResults()
  }

  #offer(self: Self): SessionRequest {
    const { service = self.service, version = self.version, slots, labels = {}, log } = this.#options
    if (service !== self.service) {
      throw new FairleadError('FORBIDDEN', `This worker says it is ${service}; its sidecar is ${self.service}.`)
    }
    if (version !== self.version) log.warn({ version, sidecar: self.version }, 'worker and sidecar differ in version')
    const { instance, namespace } = self
    const boot = this.#boot
    return {
      protocol: DISPATCH_PROTOCOL,
      instance,
      service,
      namespace,
      version,
      boot,
      types: this.#types,
      slots,
      labels,
    }
  }

  #status(): Omit<Heartbeat, 'session'> {
    const { unacked, errors } = this.#table.counts
    const freeSlots = this.#table.freeSlots
    const busy = freeSlots === 0 ? 'overloaded' : 'healthy'
    return {
      status: this.#draining ? 'draining' : busy,
      freeSlots,
      running: this.#table.running(),
      unacked,
      errors,
      rssBytes: process.memoryUsage.rss(),
      uptimeMs: Math.round(this.#options.clock.now() - this.#startedAt),
    }
  }
}

function handlerTable(handlers: readonly AnyHandler[]): Map<string, AnyHandler> {
  const table = new Map<string, AnyHandler>()
  for (const handler of handlers) {
    if (table.has(handler.type)) throw new TypeError(`two handlers for the type ${handler.type}`)
    table.set(handler.type, handler)
  }
  if (table.size === 0) throw new TypeError('a worker needs at least one handler')
  return table
}

function tracedAs(options: WorkerOptions): { serviceName: string; serviceVersion: string; instance: string } {
  const serviceName = options.service ?? 'worker'
  return { serviceName, serviceVersion: options.version ?? '', instance: `${serviceName}-${options.version ?? ''}` }
}

function listen(server: Server, at: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: NodeJS.ErrnoException): void => {
      const what = `${at.host}:${at.port}: ${cause.message}`
      reject(cause.code === 'EADDRINUSE' ? new FairleadError('PORT_IN_USE', what, { cause }) : cause)
    }
    server.once('error', failed)
    server.listen(at.port, at.host, () => {
      server.off('error', failed)
      resolve()
    })
  })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
