// scheduler.ts — the parts of the scheduler, started in the order in which they need each other: store → leader →
// dispatcher → API. Closing runs backwards: no new requests, running streams dropped (their attempts stay leased), the
// last writes, the store.

import type { Clock } from '../kernel/clock.ts'
import type { FairleadError } from '../kernel/errors.ts'
import type { Lifetime } from '../kernel/lifetime.ts'
import type { Log } from '../kernel/log.ts'
import { createRegistry } from '../kernel/metrics.ts'
import type { Random } from '../kernel/random.ts'
import { startTracing } from '../kernel/tracing.ts'
import { readApiKey } from './api/guard.ts'
import { startApi } from './api/server.ts'
import { startDispatcher } from './dispatch/dispatcher.ts'
import { startLeader } from './leader/leader.ts'
import { createLeaderMetrics } from './leader/metrics.ts'
import type { Options } from './options.ts'
import { openStore } from './store/open.ts'

export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Memory and rows may disagree: the process must end and start again from rows. */
  readonly onFatal: (error: FairleadError) => void
  /** Share of submissions without trace context that start a sampled trace. */
  readonly sampleRatio: number
}

export async function startScheduler(
  options: Options,
  { clock, random, log, onFatal, sampleRatio }: Surroundings,
  life: Lifetime,
): Promise<{ readonly api: number }> {
  const key = readApiKey(options.apiKeyFile)
  const registry = createRegistry('scheduler')
  const metrics = createLeaderMetrics(registry, () => clock.now())
  const tracing = life.own(
    await startTracing({ serviceName: 'scheduler', serviceVersion: VERSION, instance: `scheduler-${process.pid}` }),
  )
  const onCommit = (changes: number): (() => void) => metrics.commit(changes)
  const store = life.own(await openStore({ ...options, clock, random, log, onFatal, onCommit, life }))
  const leader = life.own(await startLeader({ store, clock, random, log, metrics, onFatal }))
  const dispatcher = life.own(
    await startDispatcher({ leader, sidecar: options.sidecar, clock, random, log, registry, tracing }),
  )
  const api = life.own(
    await startApi({
      host: options.host,
      port: options.port,
      key,
      store,
      leader,
      clock,
      random,
      tracing,
      sampleRatio,
      registry,
      log,
      workers: () => dispatcher.workers(),
      routes: (app) => dispatcher.routes(app),
    }),
  )
  return { api: api.port }
}

const VERSION = '0.1.0'
