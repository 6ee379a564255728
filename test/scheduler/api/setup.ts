// setup.ts — a real API over a real store and leader on a free port; the dispatcher is a hook that a test may fill.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import { Lifetime } from '../../../kernel/lifetime.ts'
import { silentLog } from '../../../kernel/log.ts'
import { Registry } from '../../../kernel/metrics.ts'
import { systemRandom } from '../../../kernel/random.ts'
import { startTracing, type Tracing } from '../../../kernel/tracing.ts'
import { apiKey } from '../../../scheduler/api/guard.ts'
import { startApi } from '../../../scheduler/api/server.ts'
import type { JobLeader } from '../../../scheduler/leader/job-leader.ts'
import { startLeader } from '../../../scheduler/leader/leader.ts'
import { createLeaderMetrics } from '../../../scheduler/leader/metrics.ts'
import type { JobStore } from '../../../scheduler/store/contract.ts'
import { startSqliteStore } from '../../../scheduler/store/sqlite/store.ts'

export const KEY = 'test-key-of-the-job-api'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: answers are read field by field in tests
  readonly body: any
}

export interface TestApi {
  readonly port: number
  readonly leader: JobLeader
  readonly store: JobStore
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
}

export interface SetupOptions {
  readonly queueJobsMax?: number
  readonly tracing?: Tracing
  readonly routes?: (app: FastifyInstance) => void
  /** Registers the clean-up; the running test's by default. */
  readonly later?: (step: () => Promise<void>) => void
}

/** One API for all tests of a file that leave it as they found it. */
export function sharedApi(): () => TestApi {
  let api: TestApi
  let close: () => Promise<void> = async () => undefined
  beforeAll(async () => {
    api = await setup({
      later: (step) => {
        close = step
      },
    })
  })
  afterAll(() => close())
  return () => api
}

export async function setup(options: SetupOptions = {}): Promise<TestApi> {
  const life = new Lifetime()
  const later = options.later ?? onTestFinished
  later(() => life.close())
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-api-'))
  life.onClose(() => rmSync(dir, { recursive: true, force: true }))
  const registry = new Registry()
  const metrics = createLeaderMetrics(registry, () => systemClock.now())
  const onFatal = (error: Error): void => {
    throw error
  }
  const store = life.own(await startSqliteStore({ dir, onFatal, onCommit: (n) => metrics.commit(n) }))
  const shared = { clock: systemClock, random: systemRandom, log: silentLog }
  const leader = life.own(
    await startLeader({
      ...shared,
      store,
      metrics,
      onFatal,
      ...(options.queueJobsMax === undefined ? {} : { queueJobsMax: options.queueJobsMax }),
    }),
  )
  const none = { serviceName: 'scheduler', serviceVersion: '0', instance: 's', endpoint: '' }
  const api = life.own(
    await startApi({
      ...shared,
      host: '127.0.0.1',
      port: 0,
      key: apiKey(KEY),
      store,
      leader,
      registry,
      tracing: options.tracing ?? (await startTracing(none)),
      sampleRatio: 1,
      workers: () => [],
      routes: options.routes ?? (() => undefined),
    }),
  )
  return {
    port: api.port,
    leader,
    store,
    call: (method, path, body, headers = {}) => call(api.port, method, path, body, headers),
  }
}

async function call(
  port: number,
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Answer> {
  const sent =
    body === undefined || typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { 'x-api-key': KEY, ...(sent === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(sent === undefined ? {} : { body: sent as string }),
  })
  const text = await answer.text()
  const json = (answer.headers.get('content-type') ?? '').includes('json')
  return { status: answer.status, headers: answer.headers, body: json ? JSON.parse(text) : text }
}
