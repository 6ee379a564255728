// Who may call: hosts, origins and keys, before any work.

import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isOwnHost, readApiKey } from '../../../scheduler/api/guard.ts'
import { HEARTBEAT_PATH, SESSION_PATH } from '../../../workers/contract.ts'
import { KEY, setup, sharedApi, type TestApi } from './setup.ts'

const shared = sharedApi()

const JOB = { type: 'demo.echo' }

async function total(api: TestApi): Promise<number> {
  return (await api.call('GET', '/api/v1/summary')).body.total
}

/** Raw, because fetch sets Host itself. */
async function statusOf(port: number, head: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(`${head}\r\nconnection: close\r\n\r\n`)
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text.slice(0, text.indexOf('\r\n'))
}

test.each([
  ['127.0.0.1', true],
  ['127.0.0.1:8080', true],
  ['localhost:1', true],
  ['LOCALHOST', true],
  ['[::1]:80', true],
  ['scheduler.mesh', true],
  ['scheduler.default.mesh:80', true],
  [undefined, false],
  ['', false],
  ['evil.example', false],
  ['127.0.0.1.evil.example', false],
  ['localhost.evil.example', false],
  ['128.0.0.1', false],
  ['[::2]', false],
  ['scheduler.other.mesh', false],
  ['worker.mesh', false],
  ['user@localhost', false],
  ['localhost:0', false],
  ['localhost:99999', false],
  ['0x7f.0.0.1', false],
])('host: %s is ours: %s', (host, ours) => expect(isOwnHost(host)).toBe(ours))

test.each([
  ['a foreign origin', { origin: 'https://evil.example' }, 403, 'FOREIGN_ORIGIN'],
  ['the origin of another port', { origin: 'http://127.0.0.1:1' }, 403, 'FOREIGN_ORIGIN'],
  ['an opaque origin', { origin: 'null' }, 403, 'FOREIGN_ORIGIN'],
  ['no key', { 'x-api-key': '' }, 401, 'UNAUTHENTICATED'],
  ['a wrong key', { 'x-api-key': `${KEY}x` }, 401, 'UNAUTHENTICATED'],
  [
    'a foreign origin and a broken body',
    { origin: 'https://evil.example', 'content-length': '2' },
    403,
    'FOREIGN_ORIGIN',
  ],
])('submission: refused and nothing stored when it comes with %s', async (_name, headers, status, code) => {
  const api = shared()
  const answer = await api.call('POST', '/api/v1/jobs', 'content-length' in headers ? '{{' : JOB, headers)
  expect([answer.status, answer.body.code]).toEqual([status, code])
  expect(answer.body.requestId).toBe(answer.headers.get('x-request-id'))
  expect(await total(api)).toBe(0)
})

test('submission: refused when the host is foreign (DNS rebinding), taken by the mesh name', async () => {
  const api = await setup()
  const head = (host: string): string => `GET /api/v1/summary HTTP/1.1\r\nhost: ${host}\r\nx-api-key: ${KEY}`
  expect(await statusOf(api.port, head(`rebind.example:${api.port}`))).toBe('HTTP/1.1 403 Forbidden')
  expect(await statusOf(api.port, head('scheduler.mesh'))).toBe('HTTP/1.1 200 OK')
})

test('submission: taken from the own origin', async () => {
  const api = await setup()
  const answer = await api.call('POST', '/api/v1/jobs', JOB, { origin: `http://127.0.0.1:${api.port}` })
  expect(answer.status).toBe(202)
})

test('open paths: answer without a key, but not to a foreign origin', async () => {
  const api = await setup()
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    expect((await api.call('GET', path, undefined, { 'x-api-key': '' })).status).toBe(200)
    expect((await api.call('GET', path, undefined, { origin: 'https://evil.example' })).status).toBe(403)
  }
  const metrics = (await api.call('GET', '/metrics')).body as string
  for (const name of ['tasks_submitted_total', 'task_duration_seconds', 'task_queue_depth']) {
    expect(metrics).toContain(`# TYPE ${name} `)
  }
})

test('worker endpoints: need an identity instead of the key, and the key is none', async () => {
  const api = await setup({
    routes: (app) => {
      app.post(SESSION_PATH, async () => ({ reached: true }))
      app.post(HEARTBEAT_PATH, async () => ({ reached: true }))
    },
  })
  for (const path of [SESSION_PATH, HEARTBEAT_PATH]) {
    expect((await api.call('POST', path, {})).status).toBe(401)
    const identity = { 'x-api-key': '', 'x-forwarded-client-cert': 'URI=spiffe://fairlead.local/ns/default/sa/worker' }
    expect((await api.call('POST', path, {}, identity)).body).toEqual({ reached: true })
  }
})

test('key file: refused when it is missing, short, or open to others', () => {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-key-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const file = join(dir, 'key')
  expect(() => readApiKey(file)).toThrow('cannot be read')
  writeFileSync(file, `${'k'.repeat(31)}\n`, { mode: 0o600 })
  expect(() => readApiKey(file)).toThrow('fewer than 32')
  writeFileSync(file, `${'k'.repeat(32)}\n`)
  expect(readApiKey(file).matches('k'.repeat(32))).toBe(true)
  expect(readApiKey(file).matches('k'.repeat(33))).toBe(false)
  expect(readApiKey(file).matches(undefined)).toBe(false)
  chmodSync(file, 0o644)
  expect(() => readApiKey(file)).toThrow('may be read by others')
})

test('unknown paths: 404 as a problem document', async () => {
  const api = await setup()
  const answer = await api.call('GET', '/api/v1/nothing')
  expect([answer.status, answer.body.code]).toEqual([404, 'ROUTE_NOT_FOUND'])
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
})
