// Commands against a running Fairlead: what they print, its schemas, and their exit codes.

import { execFile, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AuditResultSchema, parseStatus } from '../../cli/contract.ts'
import { JobListSchema, JobSchema, SubmitAnswerSchema } from '../../scheduler/contract.ts'
import { startUp, tempDir, type Up, until } from '../support/fairlead.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const MAIN = join(ROOT, 'cli/main.ts')
const steps: (() => Promise<void> | void)[] = []
const later = (step: () => Promise<void> | void): void => void steps.unshift(step)
let up: Up
let tree: string

beforeAll(async () => {
  tree = join(tempDir('tree', later), 'node_modules')
  mkdirSync(join(tree, 'zed'), { recursive: true })
  writeFileSync(join(tree, 'zed/package.json'), JSON.stringify({ name: 'zed', version: '1.0.0', license: 'MIT' }))
  up = startUp(['--port-base', '0', '--dir', tree], { later })
  await until('it serves', () => up.output().includes('Try next') || up.child.exitCode !== null, 60_000)
}, 90_000)
afterAll(async () => {
  for (const step of steps) await step()
})

interface Ran {
  code: number
  out: string
  err: string
}
function fairlead(...args: string[]): Promise<Ran> {
  return new Promise((done) => {
    execFile(process.execPath, [MAIN, '--data-dir', up.dataDir, ...args], { cwd: ROOT }, (error, out, err) => {
      done({ code: error ? Number(error.code) : 0, out, err })
    })
  })
}
const submit = (...more: string[]): Promise<Ran> =>
  fairlead(
    'job',
    'submit',
    'package.audit',
    '--payload',
    JSON.stringify({ root: tree, path: 'zed', run: 't' }),
    ...more,
  )

describe('up', () => {
  test('banner: is five aligned lines and three commands', () => {
    const text = up.output().slice(up.output().indexOf('  API'))
    const lines = text.split('\n')
    expect(lines.slice(0, 5).map((line) => line.slice(2, 9).trim())).toEqual([
      'API',
      'Proxy',
      'Metrics',
      'Data',
      'Stop',
    ])
    expect(new Set(lines.slice(0, 5).map((line) => line.indexOf(line.slice(11).trimStart()[0]!, 11))).size).toBe(1)
    expect(lines.slice(7, 10).every((line) => line.startsWith('  npm run -s fairlead -- '))).toBe(true)
  })

  test('data directory: is private, as are its secrets', () => {
    const mode = (path: string): number => statSync(join(up.dataDir, path)).mode & 0o777
    expect([mode('.'), mode('api-key'), mode('up.json')]).toEqual([0o700, 0o600, 0o600])
  })

  test('second one: is refused in the same directory while the first runs', async () => {
    const { code, err } = await fairlead('up')
    expect(code).toBe(1)
    expect(err).toContain('DATA_DIR_IN_USE')
  })

  test('port: another one is found when the wanted one is in use', { timeout: 60_000 }, async () => {
    const server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    later(() => void server.close())
    const port = (server.address() as AddressInfo).port
    const other = tempDir('other', later)
    const args = [MAIN, 'up', '--data-dir', join(other, 'd'), '--port-base', String(port), '--ephemeral']
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const exited = new Promise((done) => child.once('exit', done))
    await until('it serves', () => text.includes('Try next') || child.exitCode !== null, 50_000)
    expect(text).toContain('Ready')
    expect(text).not.toContain(`:${port}\n`)
    child.kill('SIGTERM')
    expect(await exited, text).toBe(0)
  })
})

describe('status', () => {
  test('status: names every process with version, ports and restarts', async () => {
    const { code, out } = await fairlead('status', '--json')
    expect(code).toBe(0)
    const { processes } = parseStatus(JSON.parse(out))
    expect(processes.map(({ role, version }) => `${role} ${version}`).sort()).toEqual(
      [
        ...['control-plane 0.1.0', 'scheduler 0.1.0', 'worker v1', 'worker v1', 'worker v2'],
        ...Array.from({ length: 4 }, () => 'proxy 0.1.0'),
      ].sort(),
    )
    expect(processes.every(({ pid, restarts }) => pid !== null && restarts === 0)).toBe(true)
    const sidecar = processes.find(({ name }) => name === 'worker-v2-1-sidecar')!
    expect(Object.keys(sidecar.ports).sort()).toEqual(['admin', 'inbound', 'outbound'])
  })
  test('status: is exit 3 with a hint when nothing runs there', async () => {
    const { code, err } = await fairlead('status', '--data-dir', join(tree, 'nothing'))
    expect(code).toBe(3)
    expect(err).toContain('npm start')
  })
})

describe('job', () => {
  test('submit: prints the id alone, so that scripts can use it', async () => {
    const { code, out } = await submit()
    expect(code).toBe(0)
    expect(out).toMatch(/^[0-9a-f-]{36}\n$/)
  })
  test('submit, get, list: print what their schemas say', async () => {
    const answer = SubmitAnswerSchema.parse(JSON.parse((await submit('--json', '--label', 'case=schemas')).out))
    expect((await fairlead('job', 'watch', answer.id)).code).toBe(0)
    const job = JobSchema.parse(JSON.parse((await fairlead('job', 'get', answer.id, '--json')).out))
    expect(job.state).toBe('succeeded')
    expect(AuditResultSchema.parse(job.result)).toMatchObject({ name: 'zed', licence: 'MIT' })
    const list = JobListSchema.parse(
      JSON.parse((await fairlead('job', 'list', '--label', 'case=schemas', '--json')).out),
    )
    expect(list.jobs.map(({ id }) => id)).toEqual([answer.id])
  })
  test('submit --watch: ends 1 when the job does not succeed', async () => {
    const { code, err } = await fairlead('job', 'submit', 'package.audit', '--payload', '{}', '--watch')
    expect(code).toBe(1)
    expect(err).toContain('INVALID_INPUT')
  })
  test('cancel, retry: move a job that waits, and refuse one that is done', async () => {
    const id = (await submit('--run-at', '2099-01-01T00:00:00Z')).out.trim()
    expect((await fairlead('job', 'cancel', id)).out).toBe(`${id}  cancelled\n`)
    expect((await fairlead('job', 'retry', id)).code).toBe(0)
    expect((await fairlead('job', 'watch', id)).code).toBe(0)
    const late = await fairlead('job', 'cancel', id)
    expect(late.code).toBe(1)
    expect(late.err).toContain('JOB_STATE_CONFLICT')
  })
  test('logs: are none for a handler that wrote none', async () => {
    const id = (await submit('--watch', '--json')).out
    const logs = await fairlead('job', 'logs', (JSON.parse(id) as { id: string }).id, '--json')
    expect(JSON.parse(logs.out)).toEqual({ logs: [] })
  })
  test.each([
    ['an unknown job', ['job', 'get', 'nope'], 1, 'JOB_NOT_FOUND'],
    ['a payload that is not JSON', ['job', 'submit', 'a', '--payload', '{'], 1, 'INVALID_JSON'],
    ['a payload file that is not there', ['job', 'submit', 'a', '--payload', '@/nope'], 1, 'INVALID_INPUT'],
    ['a label without value', ['job', 'submit', 'a', '--label', 'x'], 1, 'INVALID_INPUT'],
    ['a priority out of range', ['job', 'submit', 'a', '--priority', '11'], 1, 'INVALID_INPUT'],
    ['a state that is none', ['job', 'list', '--state', 'bogus'], 1, 'INVALID_INPUT'],
    ['an API that does not answer', ['job', 'get', 'x', '--url', 'http://127.0.0.1:1'], 3, 'UNREACHABLE'],
    ['a command that is none', ['job', 'bogus'], 2, 'unknown command'],
    ['no argument', ['job', 'get'], 2, 'missing required argument'],
  ] as const)('job: is refused with its code for %s', async (_what, args, code, word) => {
    const ran = await fairlead(...args)
    expect(ran.code).toBe(code)
    expect(ran.err).toContain(word)
    expect(ran.err).not.toContain('    at ')
  })
})

describe('apply', () => {
  test('apply: takes good files, and refuses bad ones with every place', async () => {
    expect((await fairlead('apply', 'mesh-config/demo')).code).toBe(0)
    const bad = join(tempDir('bad', later), 'bad.yaml')
    writeFileSync(bad, 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {protocl: http}\n')
    const { code, err } = await fairlead('apply', bad)
    expect(code).toBe(4)
    expect(err).toContain('bad.yaml:4:')
  })
})

describe('run', () => {
  test('run: gives the command an identity of its own, and its exit code back', { timeout: 60_000 }, async () => {
    expect((await fairlead('run', '--service', 'batch', '--', process.execPath, '-e', 'process.exit(7)')).code).toBe(7)
    const self = `fetch(process.env.FAIRLEAD_PROXY + '/.fairlead/self').then((r) => r.json()).then((s) => console.log(s.spiffeId))`
    const { out } = await fairlead('run', '--service', 'batch', '--', process.execPath, '-e', self)
    expect(out.trim()).toBe('spiffe://fairlead.local/ns/default/sa/batch')
  })
  test('run: is 127 when there is no such command', { timeout: 60_000 }, async () => {
    expect((await fairlead('run', '--service', 'batch', '--', '/no/such/command')).code).toBe(127)
  })
  test('log: of a sidecar that run started is where the others are', () => {
    expect(readFileSync(join(up.dataDir, 'logs', 'scheduler-sidecar.log'), 'utf8')).toContain('"ready"')
  })
})
