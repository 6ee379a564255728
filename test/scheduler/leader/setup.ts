// setup.ts — a leader over a real SQLite store with a clock that the test moves, and a store whose commits can fail.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { FairleadError } from '../../../kernel/errors.ts'
import { silentLog } from '../../../kernel/log.ts'
import { Registry } from '../../../kernel/metrics.ts'
import { seededRandom } from '../../../kernel/random.ts'
import type { JobLeader, NewJob } from '../../../scheduler/leader/job-leader.ts'
import { startLeader } from '../../../scheduler/leader/leader.ts'
import { createLeaderMetrics } from '../../../scheduler/leader/metrics.ts'
import type { Assignment, LeasedAttempt, ReadyJob } from '../../../scheduler/leader/port.ts'
import type { Change, JobBody, JobRow, JobStore } from '../../../scheduler/store/contract.ts'
import { startSqliteStore } from '../../../scheduler/store/sqlite/store.ts'
import type { WorkerResult } from '../../../workers/contract.ts'
import { ManualClock } from '../../support/clock.ts'
import { jobRow, noBody } from '../rows.ts'

export const TYPES = new Set(['demo.echo'])

export interface Bench {
  readonly clock: ManualClock
  readonly store: JobStore
  leader: JobLeader
  readonly fatal: FairleadError[]
  /** While true every commit is refused with STORE_UNAVAILABLE. */
  broken: boolean
  /** Every change committed so far. */
  readonly written: Change[]
  /** Stops the leader and starts another over the same rows. */
  restart(): Promise<JobLeader>
}

export async function setup(options: { queueJobsMax?: number } = {}): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-leader-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const fatal: FairleadError[] = []
  const real = await startSqliteStore({ dir, onFatal: (error) => fatal.push(error) })
  onTestFinished(() => real.close())
  const clock = new ManualClock()
  const bench: Bench = {
    clock,
    store: flaky(real, () => bench),
    leader: undefined as unknown as JobLeader,
    fatal,
    broken: false,
    written: [],
    async restart() {
      await bench.leader.close()
      bench.leader = await start()
      return bench.leader
    },
  }
  const start = (): Promise<JobLeader> =>
    startLeader({
      store: bench.store,
      clock,
      random: seededRandom(7),
      log: silentLog,
      metrics: createLeaderMetrics(new Registry(), () => clock.now()),
      onFatal: (error) => fatal.push(error),
      ...options,
    })
  bench.leader = await start()
  onTestFinished(() => bench.leader.close())
  onTestFinished(() => expect(fatal).toEqual([]))
  return bench
}

function flaky(store: JobStore, bench: () => Bench): JobStore {
  return {
    ...store,
    async commit(changes) {
      if (bench().broken) throw new FairleadError('STORE_UNAVAILABLE', 'broken by the test')
      bench().written.push(...changes)
      return store.commit(changes)
    },
  }
}

let ids = 0

/** A job as the API would hand it over; created now. */
export function newJob(bench: Bench, over: Partial<JobRow> = {}, body: JobBody = noBody, requestHash = ''): NewJob {
  const now = bench.clock.wall()
  const runAt = over.runAt ?? now
  const state = runAt > now ? 'deferred' : 'ready'
  const row = jobRow({ id: `j${++ids}`, createdAt: now, runAt, state, ...over })
  return { row, body, requestHash }
}

export async function submit(bench: Bench, over: Partial<JobRow> = {}, body?: JobBody): Promise<string> {
  const [answer] = await bench.leader.submit([newJob(bench, over, body)], true)
  if (!answer?.ok) throw answer?.error
  return answer.id
}

export const assign = (job: ReadyJob, over: Partial<Assignment> = {}): Assignment => ({
  job,
  instance: 'worker-v1-1',
  session: 's1',
  backend: 'worker-v1',
  version: 'v1',
  ...over,
})

/** Takes the next job and leases it. */
export async function lease(bench: Bench, types: ReadonlySet<string> = TYPES): Promise<LeasedAttempt> {
  const jobs = bench.leader.take(types, 1)
  expect(jobs).toHaveLength(1)
  const leased = await bench.leader.lease(jobs.map((job) => assign(job)))
  expect(leased).toHaveLength(1)
  return leased[0]!
}

export const result = (attempt: LeasedAttempt, outcome: WorkerResult['outcome'], more = {}): WorkerResult => ({
  t: 'result',
  job: attempt.row.job,
  token: attempt.dispatch.token,
  outcome,
  ...more,
})

export const transient = { code: 'BOOM', class: 'transient' as const, message: 'boom' }
export const permanent = { code: 'BAD', class: 'permanent' as const, message: 'bad' }

export async function stateOf(bench: Bench, id: string): Promise<string | undefined> {
  return (await bench.store.get('default', id))?.state
}

/** Waits for a condition that real I/O brings about; never for time. */
export async function eventually(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = Date.now() + 5_000
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`did not happen: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
