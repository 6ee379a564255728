// The scheduler as a process: ready line, kill -9, lock, drain, flags.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { parseOptions } from '../../scheduler/options.ts'

const KEY = 'key-of-the-process-test-0123456789abcdef'
const MAIN = join(import.meta.dirname, '../../scheduler/main.ts')

interface Running {
  readonly child: ChildProcess
  readonly port: number
}

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-scheduler-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  writeFileSync(join(dir, 'api-key'), KEY, { mode: 0o600 })
  return dir
}

/** Nothing listens at the sidecar's address: a scheduler must start and serve all the same. */
function argsOf(dir: string): string[] {
  const flags = ['--state', join(dir, 'state'), '--listen', '127.0.0.1:0', '--sidecar', 'http://127.0.0.1:9']
  return [MAIN, ...flags, '--api-key-file', join(dir, 'api-key')]
}

async function start(dir: string): Promise<Running> {
  const child = spawn(process.execPath, argsOf(dir), { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  for await (const line of createInterface({ input: child.stdout! })) {
    const entry = JSON.parse(line) as { message?: string; ports?: { api: number } }
    if (entry.message === 'ready') {
      child.stdout!.resume()
      return { child, port: entry.ports!.api }
    }
  }
  throw new Error('the scheduler ended before it was ready')
}

async function end(running: Running, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(running.child, 'exit')
  running.child.kill(signal)
  return (await exited)[0] as number | null
}

async function call(port: number, path: string, body?: unknown): Promise<{ status: number; body: never }> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'x-api-key': KEY, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.status, body: (await answer.json()) as never }
}

test('kill -9 right after a 202: every job is there after the restart', { timeout: 60_000 }, async () => {
  const dir = tempDir()
  const first = await start(dir)
  const ids: string[] = []
  for (let i = 0; i < 5; i++) {
    const answer = await call(first.port, '/api/v1/jobs', {
      type: 'demo.echo',
      payload: { i },
      idempotencyKey: `k${i}`,
    })
    expect(answer.status).toBe(202)
    ids.push((answer.body as { id: string }).id)
  }
  await end(first, 'SIGKILL')
  const second = await start(dir)
  for (const [i, id] of ids.entries()) {
    const job = (await call(second.port, `/api/v1/jobs/${id}`)).body as { state: string; payload: unknown }
    expect(job).toMatchObject({ state: 'ready', payload: { i } })
    const again = await call(second.port, '/api/v1/jobs', {
      type: 'demo.echo',
      payload: { i },
      idempotencyKey: `k${i}`,
    })
    expect([again.status, (again.body as { id: string }).id]).toEqual([200, id])
  }
})

test('a second scheduler on the same data directory: refused with the pid of the first', {
  timeout: 60_000,
}, async () => {
  const dir = tempDir()
  const first = await start(dir)
  const second = spawn(process.execPath, argsOf(dir), { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  second.stdout.on('data', (chunk) => {
    out += String(chunk)
  })
  const [code] = (await once(second, 'exit')) as [number]
  expect(code).toBe(1)
  expect(out).toContain('STORE_LOCKED')
  expect(out).toContain(`in use by process ${first.child.pid}`)
  expect(await end(first, 'SIGTERM')).toBe(0)
})

test('files: the data directory is readable by its user only', { timeout: 60_000 }, async () => {
  const dir = tempDir()
  const running = await start(dir)
  await call(running.port, '/api/v1/jobs', { type: 'a' })
  expect(statSync(join(dir, 'state')).mode & 0o077).toBe(0)
  for (const name of ['jobs.db', 'jobs.db-wal', 'scheduler.pid']) {
    expect(statSync(join(dir, 'state', name)).mode & 0o077).toBe(0)
  }
  expect(readFileSync(join(dir, 'state', 'scheduler.pid'), 'utf8').trim()).toBe(String(running.child.pid))
})

const GOOD = ['--state', 's', '--listen', '127.0.0.1:0', '--sidecar', 'http://127.0.0.1:15001', '--api-key-file', 'k']

test('flags: read when they are all there', () => {
  expect(parseOptions(GOOD)).toEqual({
    state: 's',
    host: '127.0.0.1',
    port: 0,
    sidecar: 'http://127.0.0.1:15001',
    apiKeyFile: 'k',
  })
  expect(parseOptions(GOOD.with(3, '[::1]:8080'))).toMatchObject({ host: '::1', port: 8080 })
})

test.each([
  ['nothing', []],
  ['no state', GOOD.slice(2)],
  ['an unknown flag', [...GOOD, '--unknown', 'x']],
  ['a listener for everybody', GOOD.with(3, '0.0.0.0:80')],
  ['a listener by name', GOOD.with(3, 'example.com:80')],
  ['a listener without port', GOOD.with(3, '127.0.0.1')],
  ['a port that is none', GOOD.with(3, '127.0.0.1:70000')],
  ['a sidecar without scheme', GOOD.with(5, '127.0.0.1:15001')],
  ['a sidecar by https', GOOD.with(5, 'https://127.0.0.1:15001')],
  ['a sidecar with a path', GOOD.with(5, 'http://127.0.0.1:15001/x')],
  ['a sidecar with a user', GOOD.with(5, 'http://u:p@127.0.0.1:15001')],
])('flags: refused when there is %s', (_name, args) => {
  expect(() => parseOptions(args)).toThrow()
})
