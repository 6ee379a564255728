// fairlead.ts — a whole Fairlead on this machine, run by `up` as a user would, for tests that break it.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { parseReport, parseStatus, type Report, type Status } from '../../cli/contract.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const MAIN = join(ROOT, 'cli/main.ts')

export interface Up {
  readonly dataDir: string
  readonly reportFile: string
  readonly child: ChildProcess
  /** stdout and stderr so far. */
  output(): string
  status(): Promise<Status>
  portOf(name: string, port: string): Promise<number>
  /** fetch against the job API with the key of the data directory. */
  api(path: string, init?: RequestInit): Promise<Response>
  pidOf(name: string): Promise<number>
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>
  report(): Report
  /** Lines of the handlers' own sink: one per execution. */
  executions(): { job: string; attempt: number; token: string; version: string; pid: number }[]
}

/** Where clean-up is registered: `onTestFinished` of vitest, or a list that is run at the end. */
export type Later = (step: () => Promise<void> | void) => void

export function tempDir(prefix: string, later: Later): string {
  const dir = mkdtempSync(join(tmpdir(), `fairlead-${prefix}-`))
  later(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export interface UpOptions {
  readonly dataDir?: string
  readonly env?: Readonly<Record<string, string>>
  readonly later: Later
}

export function startUp(args: readonly string[], options: UpOptions): Up {
  const { later } = options
  const dataDir = options.dataDir ?? join(tempDir('up', later), 'data')
  const reportFile = join(dataDir, 'report.json')
  let text = ''
  const child = spawn(
    process.execPath,
    [MAIN, 'up', '--demo', '--data-dir', dataDir, '--report', reportFile, ...args],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1', ...options.env } },
  )
  child.stdout!.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr!.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const exited = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
  later(async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    await Promise.race([exited, new Promise((done) => setTimeout(done, 15_000))])
    if (child.exitCode === null) child.kill('SIGKILL')
  })
  const status = async (): Promise<Status> => {
    const run = promisify(execFile)
    const { stdout } = await run(process.execPath, [MAIN, 'status', '--json', '--data-dir', dataDir], { cwd: ROOT })
    return parseStatus(JSON.parse(stdout))
  }
  const portOf = async (name: string, port: string): Promise<number> => {
    const found = (await status()).processes.find((process) => process.name === name)?.ports[port]
    if (!found) throw new Error(`no port ${port} of ${name}`)
    return found
  }
  return {
    portOf,
    api: async (path, init = {}) => {
      const key = readFileSync(join(dataDir, 'api-key'), 'utf8').trim()
      const headers = { 'content-type': 'application/json', 'x-api-key': key, ...init.headers }
      return fetch(`http://127.0.0.1:${await portOf('scheduler', 'api')}${path}`, { ...init, headers })
    },
    dataDir,
    reportFile,
    child,
    output: () => text,
    status,
    exited,
    pidOf: (name) =>
      until(`${name} runs`, async () => {
        const found = (await status()).processes.find((process) => process.name === name)
        if (!found) throw new Error(`no process ${name}`)
        return found.pid // null while it is being started again
      }),
    report: () => parseReport(JSON.parse(readFileSync(reportFile, 'utf8'))),
    executions: () => readSink(join(dataDir, 'executions.ndjson')),
  }
}

function readSink(file: string): ReturnType<Up['executions']> {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as ReturnType<Up['executions']>[number])
}

/** Polls until `ready` is truthy; fails with `what` and the last value when the deadline passes. */
export async function until<T>(
  what: string,
  ready: () => T | Promise<T>,
  deadlineMs = 30_000,
): Promise<NonNullable<T>> {
  const end = performance.now() + deadlineMs
  let last: unknown
  for (;;) {
    try {
      const value = await ready()
      if (value) return value as NonNullable<T>
      last = value
    } catch (error) {
      last = error
    }
    if (performance.now() > end) throw new Error(`timed out waiting until ${what}; last: ${String(last)}`)
    await new Promise((done) => setTimeout(done, 50))
  }
}
