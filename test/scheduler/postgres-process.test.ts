// Schedulers as processes on one PostgreSQL: kill -9, a second one, a paused one, and the server's own crash.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { noPostgres, type Postgres, startPostgres } from '../support/postgres.ts'
import { until } from '../support/until.ts'

const KEY = 'key-of-the-process-test-0123456789abcdef'
const MAIN = join(import.meta.dirname, '../../scheduler/main.ts')
/** Session TTL and a slow machine's start. */
const TAKEOVER_MS = 25_000

interface Running {
  readonly child: ChildProcess
  output(): string
  /** Undefined until it is ready. */
  port(): number | undefined
}

function start(url: string): Running {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-scheduler-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  writeFileSync(join(dir, 'api-key'), KEY, { mode: 0o600 })
  const flags = ['--state', join(dir, 'state'), '--listen', '127.0.0.1:0', '--sidecar', 'http://127.0.0.1:9']
  const child = spawn(process.execPath, [MAIN, ...flags, '--api-key-file', join(dir, 'api-key'), '--database', 'env'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, DATABASE_URL: url },
  })
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += String(chunk)
  })
  const running: Running = {
    child,
    output: () => text,
    port() {
      const found = /"ports":\{"api":(\d+)\}/.exec(text)
      return found ? Number(found[1]) : undefined
    },
  }
  onTestFinished(async () => {
    if (gone(running)) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return running
}

const gone = ({ child }: Running): boolean => child.exitCode !== null || child.signalCode !== null

async function ready(running: Running): Promise<Running> {
  await until(() => running.port() !== undefined || gone(running), TAKEOVER_MS)
  if (running.port() === undefined) throw new Error(`it ended: ${running.output().slice(-2_000)}`)
  return running
}

async function end(running: Running, signal: NodeJS.Signals): Promise<void> {
  const exited = once(running.child, 'exit')
  running.child.kill(signal)
  await exited
}

async function call(running: Running, path: string, body?: unknown): Promise<{ status: number; body: never }> {
  const answer = await fetch(`http://127.0.0.1:${running.port()}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'x-api-key': KEY, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.status, body: (await answer.json()) as never }
}

const job = (key: string) => ({ type: 'demo.echo', payload: { key }, idempotencyKey: key })

async function submit(running: Running, key: string): Promise<string> {
  const answer = await call(running, '/api/v1/jobs', job(key))
  expect(answer.status).toBe(202)
  return (answer.body as { id: string }).id
}

describe.skipIf(noPostgres)(`postgres${noPostgres ? ` (skipped: ${noPostgres})` : ''}`, { timeout: 90_000 }, () => {
  let server: Postgres
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server?.close())

  test('scheduler: every job is there, once, when it was killed -9 right after a 202', async () => {
    const url = await server.database()
    const first = await ready(start(url))
    const ids = [await submit(first, 'a'), await submit(first, 'b'), await submit(first, 'c')]
    await end(first, 'SIGKILL')
    const second = await ready(start(url))
    for (const [i, id] of ids.entries()) {
      expect((await call(second, `/api/v1/jobs/${id}`)).body).toMatchObject({ state: 'ready' })
      const again = await call(second, '/api/v1/jobs', job('abc'[i]!))
      expect([again.status, (again.body as { id: string }).id]).toEqual([200, id])
    }
  })

  test('a second scheduler: waits while the first lives, leads within 2 s when it leaves', async () => {
    const url = await server.database()
    const first = await ready(start(url))
    const id = await submit(first, 'a')
    const second = start(url)
    await until(() => second.output().includes('another scheduler leads; waiting'), TAKEOVER_MS)
    expect(second.port()).toBeUndefined()
    await end(first, 'SIGTERM')
    expect(first.child.exitCode).toBe(0)
    const left = performance.now()
    await ready(second)
    expect(performance.now() - left).toBeLessThan(2_000)
    expect((await call(second, `/api/v1/jobs/${id}`)).body).toMatchObject({ id, state: 'ready' })
    await end(second, 'SIGTERM')
    expect(second.child.exitCode).toBe(0)
  })

  test('a waiting scheduler: leaves when it is told to', async () => {
    const url = await server.database()
    await ready(start(url))
    const second = start(url)
    await until(() => second.output().includes('another scheduler leads; waiting'), TAKEOVER_MS)
    await end(second, 'SIGTERM')
    expect(second.child.exitCode).toBe(0)
    expect(second.output()).not.toContain('start failed')
  })

  test('a paused leader: writes nothing when it wakes after the takeover, and ends', async () => {
    const url = await server.database()
    const first = await ready(start(url))
    await submit(first, 'before')
    const second = start(url)
    await until(() => second.output().includes('another scheduler leads; waiting'), TAKEOVER_MS)
    first.child.kill('SIGSTOP')
    // Asked while it sleeps: it reads this when it wakes.
    const late = call(first, '/api/v1/jobs', job('late')).then(({ status }) => status)
    await ready(second)
    // Renewals wait, so that it cannot learn of its end in any other way than by its write.
    const holder = new pg.Client(url)
    await holder.connect()
    await holder.query('BEGIN; LOCK TABLE fairlead.scheduler_session IN EXCLUSIVE MODE')
    const exited = once(first.child, 'exit')
    first.child.kill('SIGCONT')
    expect(await late).toBe(503)
    await holder.query('ROLLBACK')
    await holder.end()
    expect((await exited)[0]).toBe(1)
    await submit(second, 'by the new leader')
    const { body } = await call(second, '/api/v1/jobs')
    const keys = (body as { jobs: { idempotencyKey: string }[] }).jobs.map((one) => one.idempotencyKey)
    expect(keys).toEqual(['by the new leader', 'before'])
  })

  test('the server stopped at once and started again mid-load: nothing accepted is lost or doubled', async () => {
    const url = await server.database()
    const first = await ready(start(url))
    const accepted = new Map<string, string>()
    let over = false
    const lane = async (n: number): Promise<void> => {
      for (let i = 0; !over; i++) {
        const key = `${n}-${i}`
        const answer = await call(first, '/api/v1/jobs', job(key)).catch(() => undefined)
        if (answer?.status === 202) accepted.set(key, (answer.body as { id: string }).id)
        else over = true
      }
    }
    const lanes = Array.from({ length: 8 }, (_, n) => lane(n))
    await until(() => accepted.size > 100, 20_000)
    await server.crash()
    await Promise.all(lanes)
    await server.start()
    // It goes on, or ended because it could not know how its last commit ended: a supervisor starts it again.
    await until(async () => gone(first) || (await call(first, '/api/v1/jobs', job('probe'))).status < 300, TAKEOVER_MS)
    const now = gone(first) ? await ready(start(url)) : first
    for (const [key, id] of accepted) {
      const again = await call(now, '/api/v1/jobs', job(key))
      expect([key, again.status, (again.body as { id: string }).id]).toEqual([key, 200, id])
    }
  })
})
