// jobs.ts — durable jobs: how many a second, and CPU per job over all of our processes (the load generator apart).
//
// Cases: `submit-batch-1000` (4 connections, 1,000 jobs a request), `submit-single-64` (64 connections, one job a
// request), `end-to-end` (batches in, through both sidecars, a handler that does nothing, results durable). Each has
// a second line, `…-cpu`. Every round has processes and a data directory of its own.

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { noPostgres, startPostgres } from '../test/support/postgres.ts'
import { type JobMesh, startJobMesh } from './support/job-mesh.ts'
import { cpuMicros, start } from './support/processes.ts'
import { type BenchCase, type BenchOptions, type BenchResult, benchCase } from './support/result.ts'

const ROUNDS = 5
const SECONDS = 3
const WARM_UP_SECONDS = 1
/** A round of `end-to-end` is a number of jobs, so that every one of them is seen to end. */
const END_TO_END_JOBS_PER_SECOND = 10_000
const WARM_UP_JOBS = 5_000
const BATCH = 1_000
const KEY = 'bench-key-of-one-round-0123456789abcdef'
const MAIN = join(import.meta.dirname, '../scheduler/main.ts')
const LOAD = join(import.meta.dirname, 'support/job-load-main.ts')

interface Figure {
  readonly jobsPerSecond: number
  readonly cpuMicrosPerJob: number
}

interface Case {
  readonly name: string
  round(seconds: number): Promise<Figure>
}

const CASES: readonly Case[] = [
  { name: 'submit-batch-1000', round: (seconds) => submitting({ connections: 4, jobs: 1000, seconds }) },
  { name: 'submit-single-64', round: (seconds) => submitting({ connections: 64, jobs: 1, seconds }) },
  { name: 'end-to-end', round: (seconds) => endToEnd(seconds * END_TO_END_JOBS_PER_SECOND) },
  ...(noPostgres === undefined ? onPostgres() : []),
]

function onPostgres(): Case[] {
  return [
    {
      name: 'submit-batch-1000-postgres',
      round: (seconds) => withDatabase((database) => submitting({ connections: 4, jobs: 1000, seconds, database })),
    },
    {
      name: 'submit-single-64-postgres',
      round: (seconds) => withDatabase((database) => submitting({ connections: 64, jobs: 1, seconds, database })),
    },
    {
      name: 'end-to-end-postgres',
      round: (seconds) => withDatabase((database) => endToEnd(seconds * END_TO_END_JOBS_PER_SECOND, database)),
    },
  ]
}

interface Database {
  readonly url: string
  /** CPU so far, of the server with its backends. */
  cpuMicros(): number
}

async function withDatabase<T>(run: (database: Database) => Promise<T>): Promise<T> {
  const server = await startPostgres()
  try {
    return await run({ url: await server.database(), cpuMicros: () => cpuMicros(server.pid) })
  } finally {
    await server.close()
  }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const wanted = CASES.filter(({ name }) => options.only === undefined || name === options.only)
  if (wanted.length === 0)
    throw new Error(`no case ${options.only}; there are ${CASES.map(({ name }) => name).join(', ')}`)
  const cases: BenchCase[] = []
  for (const { name, round } of wanted) {
    const figures: Figure[] = []
    for (let i = 1; i <= (options.rounds ?? ROUNDS); i++) {
      figures.push(await round(options.seconds ?? SECONDS))
      const { jobsPerSecond, cpuMicrosPerJob } = figures.at(-1)!
      options.note(`${name} round ${i}: ${Math.round(jobsPerSecond)} jobs/s, ${cpuMicrosPerJob.toFixed(1)} µs/job`)
    }
    cases.push(benchCase(name, 'jobs/s', { ours: figures.map((figure) => figure.jobsPerSecond) }))
    cases.push(benchCase(`${name}-cpu`, 'CPU µs/job', { ours: figures.map((figure) => figure.cpuMicrosPerJob) }))
  }
  return { bench: 'jobs', cases }
}

interface Submitting {
  readonly connections: number
  /** Per request. */
  readonly jobs: number
  readonly seconds: number
  readonly database?: Database
}

async function submitting({ connections, jobs, seconds, database }: Submitting): Promise<Figure> {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-bench-'))
  writeFileSync(join(dir, 'key'), KEY, { mode: 0o600 })
  const flags = ['--state', join(dir, 'state'), '--listen', '127.0.0.1:0', '--sidecar', 'http://127.0.0.1:9']
  const store: Record<string, string> = database ? { DATABASE_URL: database.url } : {}
  const where = ['--database', database ? 'env' : 'embedded']
  const scheduler = start(process.execPath, [MAIN, ...flags, '--api-key-file', join(dir, 'key'), ...where], store)
  const used = (): number => cpuMicros(scheduler.pid) + (database?.cpuMicros() ?? 0)
  try {
    const port = await readyPort(scheduler)
    const job = { type: 'bench.none', payload: { id: 123_456, p: 'x' } }
    const body = jobs === 1 ? JSON.stringify(job) : JSON.stringify({ jobs: Array(jobs).fill(job) })
    const path = jobs === 1 ? '/api/v1/jobs' : '/api/v1/jobs/batch'
    const post = (length: number) => load(port, path, { connections, jobs, seconds: length }, body)
    await post(WARM_UP_SECONDS)
    const before = used()
    const done = await post(seconds)
    const cpu = used() - before
    return { jobsPerSecond: (done.jobs * 1000) / done.ms, cpuMicrosPerJob: cpu / done.jobs }
  } finally {
    await scheduler.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Batches in one after the other; the clock stops when the last result is durable. */
async function endToEnd(jobs: number, database?: Database): Promise<Figure> {
  const mesh = await startJobMesh(database?.url)
  const used = (): number => mesh.cpuMicros() + (database?.cpuMicros() ?? 0)
  try {
    await runJobs(mesh, WARM_UP_JOBS, 'warm-up')
    const before = used()
    const start = performance.now()
    await runJobs(mesh, jobs, 'round')
    const seconds = (performance.now() - start) / 1000
    return { jobsPerSecond: jobs / seconds, cpuMicrosPerJob: (used() - before) / jobs }
  } finally {
    await mesh.stop()
  }
}

async function runJobs(mesh: JobMesh, jobs: number, run: string): Promise<void> {
  const job = { type: 'bench.none', payload: { id: 123_456, p: 'x' }, labels: { run } }
  const body = JSON.stringify({ jobs: Array(BATCH).fill(job) })
  for (let sent = 0; sent < jobs; sent += BATCH) await call(mesh, '/api/v1/jobs/batch', body)
  const end = performance.now() + 120_000
  while (performance.now() < end) {
    const summary = (await call(mesh, `/api/v1/summary?label=run:${run}`)) as { byState: Record<string, number> }
    const { succeeded = 0, failed = 0, deadLettered = 0 } = summary.byState
    if (failed + deadLettered > 0) throw new Error(`${failed + deadLettered} jobs failed`)
    if (succeeded === jobs) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error('the jobs did not end in time')
}

async function call(mesh: JobMesh, path: string, body?: string): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${mesh.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'x-api-key': mesh.key, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body }),
  })
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`)
  return answer.json()
}

async function readyPort(process: ReturnType<typeof start>): Promise<number> {
  const end = performance.now() + 20_000
  while (performance.now() < end && process.child.exitCode === null) {
    const found = /"ports":\{"api":(\d+)\}/.exec(process.output())
    if (found) return Number(found[1])
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`the scheduler was not ready: ${process.output().slice(-2_000)}`)
}

function load(port: number, path: string, load: Submitting, body: string): Promise<{ jobs: number; ms: number }> {
  const args = [LOAD, port, path, load.connections, load.seconds, load.jobs].map(String)
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, args, (error, stdout, stderr) => {
      if (error) reject(new Error(`load failed: ${stderr.slice(-1_000)}`))
      else resolve(JSON.parse(stdout) as { jobs: number; ms: number })
    })
    child.stdin!.end(JSON.stringify({ key: KEY, body }))
  })
}
