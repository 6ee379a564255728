// dispatch-bench.ts — a scheduler's dispatcher and workers around a FakeMesh, over real sockets; closed in the end.

import Fastify, { type FastifyInstance } from 'fastify'
import { type Clock, systemClock } from '../../kernel/clock.ts'
import { type Log, silentLog } from '../../kernel/log.ts'
import { Registry } from '../../kernel/metrics.ts'
import { systemRandom } from '../../kernel/random.ts'
import { TRACING_OFF } from '../../kernel/tracing.ts'
import { type Dispatcher, startDispatcher } from '../../scheduler/dispatch/dispatcher.ts'
import type { AnyHandler } from '../../workers/handler.ts'
import { startWorker, type Worker, type WorkerOptions } from '../../workers/worker.ts'
import { FakeMesh } from './fake-sidecar.ts'
import { MemoryLeader } from './memory-leader.ts'

export interface BenchOptions {
  readonly clock?: Clock
  readonly log?: Log
}

export class DispatchBench {
  readonly mesh = new FakeMesh()
  readonly clock: Clock
  readonly leader: MemoryLeader
  readonly log: Log
  readonly #closers: Array<() => Promise<void>> = []
  readonly #origins = new Map<string, string>()
  registry = new Registry()
  dispatcher!: Dispatcher
  #app: FastifyInstance | undefined

  constructor(options: BenchOptions = {}) {
    this.clock = options.clock ?? systemClock
    this.log = options.log ?? silentLog
    this.leader = new MemoryLeader(systemClock)
    this.mesh.weights = [{ backend: 'worker-v1', version: 'v1', weight: 1 }]
  }

  /** Starts the scheduler's side; again after stopScheduler(). */
  async startScheduler(): Promise<void> {
    this.registry = new Registry()
    const dispatcher = await startDispatcher({
      tracing: TRACING_OFF,
      leader: this.leader,
      sidecar: await this.#join('scheduler-1', 'scheduler', 'v1'),
      clock: this.clock,
      random: systemRandom,
      log: this.log,
      registry: this.registry,
    })
    const app = Fastify()
    dispatcher.routes(app)
    await app.listen({ host: '127.0.0.1', port: 0 })
    this.mesh.app('scheduler-1', (app.server.address() as { port: number }).port)
    this.dispatcher = dispatcher
    this.#app = app
  }

  async stopScheduler(): Promise<void> {
    await this.dispatcher?.close()
    this.#app?.server.closeAllConnections()
    await this.#app?.close()
    this.#app = undefined
  }

  async startWorker(
    instance: string,
    handlers: readonly AnyHandler[],
    extra: Partial<WorkerOptions> & { version?: string } = {},
  ): Promise<Worker> {
    const version = extra.version ?? 'v1'
    const sidecar = await this.#join(instance, 'worker', version)
    const worker = await startWorker({
      handlers,
      version,
      listen: { host: '127.0.0.1', port: 0 },
      sidecar,
      slots: 8,
      log: this.log,
      clock: systemClock,
      random: systemRandom,
      registry: new Registry(),
      drainRunningMs: 5_000,
      drainAcksMs: 1_000,
      ...extra,
    })
    this.mesh.app(instance, worker.port)
    this.#closers.push(() => worker.close())
    return worker
  }

  /** The worker's process is gone without a word. */
  unplug(instance: string): void {
    this.mesh.app(instance, undefined)
    this.mesh.cut(instance)
  }

  async registered(count: number): Promise<void> {
    await poll(() => this.dispatcher.workers().length >= count)
  }

  async metric(name: string): Promise<number> {
    const metric = await this.registry.getSingleMetric(name)!.get()
    return metric.values.reduce((sum, { value }) => sum + Number(value), 0)
  }

  async close(): Promise<void> {
    await Promise.all(this.#closers.map((close) => close()))
    await this.stopScheduler()
    await this.mesh.close()
  }

  async #join(instance: string, service: string, version: string): Promise<string> {
    const known = this.#origins.get(instance)
    if (known !== undefined) return known
    const origin = await this.mesh.join({ instance, service, version })
    this.#origins.set(instance, origin)
    return origin
  }
}

/** Waits for a condition that has no event; fails after `ms`. */
export async function poll(done: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = systemClock.now() + ms
  while (!(await done())) {
    if (systemClock.now() > end) throw new Error(`not in time: ${done.toString()}`)
    await systemClock.sleep(5)
  }
}
