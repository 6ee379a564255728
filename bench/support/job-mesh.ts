// job-mesh.ts — the smallest whole of it for a bench of jobs: control plane with its registry, scheduler and one worker,
// each with its sidecar, mTLS between them. Every part is a process of its own.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { cpuMicros, freePort, type Running, start } from './processes.ts'

const ROOT = join(import.meta.dirname, '../..')
const READY_MS = 30_000

export interface JobMesh {
  /** Port of the job API. */
  readonly port: number
  readonly key: string
  /** CPU µs so far, summed over all processes. */
  cpuMicros(): number
  stop(): Promise<void>
}

/** `database`: a PostgreSQL for the scheduler instead of its embedded store. */
export async function startJobMesh(database?: string): Promise<JobMesh> {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-bench-'))
  const key = 'bench-key-of-one-round-0123456789abcdef'
  const keyFile = join(dir, 'key')
  writeFileSync(keyFile, key, { mode: 0o600 })
  const running: Running[] = []
  const stop = async (): Promise<void> => {
    for (const one of running.reverse()) await one.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  const run = (script: string, flags: Record<string, string>): Running => {
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])
    const onIt = database !== undefined && script.startsWith('scheduler/')
    const env: Record<string, string> = onIt ? { DATABASE_URL: database } : {}
    running.push(start(process.execPath, [join(ROOT, script), ...args], env))
    return running.at(-1)!
  }
  try {
    const port = await startAll(dir, key, keyFile, run, database !== undefined)
    return { port, key, stop, cpuMicros: () => running.reduce((sum, one) => sum + cpuMicros(one.pid), 0) }
  } catch (error) {
    const logs = running.map((one) => one.output().slice(-1_500)).join('\n')
    await stop()
    throw new Error(`the mesh of the bench did not start: ${String(error)}\n${logs}`)
  }
}

type Run = (script: string, flags: Record<string, string>) => Running

async function startAll(dir: string, key: string, keyFile: string, run: Run, onDatabase: boolean): Promise<number> {
  const state = join(dir, 'control-plane')
  const control = run('control-plane/main.ts', {
    state,
    'api-key-file': keyFile,
    api: '127.0.0.1:0',
    stream: '127.0.0.1:0',
    registry: '127.0.0.1:0',
  })
  const ports = await portsOf(control)
  const bundle = join(state, 'trust-bundle.pem')
  await until(() => existsSync(bundle), 'the trust bundle')
  const sidecar = async (service: string, app: number, outbound: number): Promise<Running> => {
    const own = join(dir, `${service}-sidecar`)
    mkdirSync(own, { mode: 0o700 })
    writeFileSync(join(own, 'token'), await joinToken(ports['api']!, key, service), { mode: 0o600 })
    return run('proxy/main.ts', {
      service,
      version: 'v1',
      instance: `${service}-1`,
      app: `127.0.0.1:${app}`,
      outbound: `127.0.0.1:${outbound}`,
      inbound: '127.0.0.1:0',
      admin: '127.0.0.1:0',
      'control-plane': `https://127.0.0.1:${ports['stream']}`,
      'trust-bundle': bundle,
      'join-token-file': join(own, 'token'),
      consul: `http://127.0.0.1:${ports['registry']}`,
      state: own,
      'access-log': 'off',
    })
  }
  const [jobs, jobsOut, app, appOut] = [await freePort(), await freePort(), await freePort(), await freePort()]
  run('scheduler/main.ts', {
    state: join(dir, 'scheduler'),
    listen: `127.0.0.1:${jobs}`,
    sidecar: `http://127.0.0.1:${jobsOut}`,
    'api-key-file': keyFile,
    database: onDatabase ? 'env' : 'embedded',
  })
  run('bench/support/none-worker-main.ts', { port: String(app), sidecar: `http://127.0.0.1:${appOut}` })
  await sidecar('scheduler', jobs, jobsOut)
  await sidecar('worker', app, appOut)
  await until(async () => (await ask(jobs, key, '/api/v1/workers')).includes('worker-1'), 'the worker session')
  return jobs
}

async function joinToken(port: number, key: string, service: string): Promise<string> {
  const text = await ask(port, key, '/api/v1/join-tokens', { service, namespace: 'default' })
  return (JSON.parse(text) as { token: string }).token
}

async function ask(port: number, key: string, path: string, body?: unknown): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'x-api-key': key, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`)
  return text
}

async function portsOf(process: Running): Promise<Record<string, number>> {
  let ports: Record<string, number> | undefined
  await until(() => {
    const line = process
      .output()
      .split('\n')
      .find((text) => text.includes('"message":"ready"'))
    ports = line === undefined ? undefined : (JSON.parse(line) as { ports: Record<string, number> }).ports
    return ports !== undefined
  }, 'the control plane')
  return ports!
}

async function until(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + READY_MS
  while (performance.now() < end) {
    if (await tried(check)) return
    await delay(50)
  }
  throw new Error(`not in time: ${what}`)
}

/** What does not answer yet is not there yet; the deadline says what was missing. */
async function tried(check: () => boolean | Promise<boolean>): Promise<boolean> {
  try {
    return await check()
  } catch {
    return false
  }
}
