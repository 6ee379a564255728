import { request } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../kernel/log.ts'
import { createRegistry } from '../../kernel/metrics.ts'
import { seededRandom } from '../../kernel/random.ts'
import { Admin } from '../../proxy/admin.ts'
import { ClustersSchema, ReadySchema } from '../../proxy/contract.ts'
import { RouteTables } from '../../proxy/policy/route-table.ts'
import { ManualClock } from '../support/clock.ts'
import { snapshot } from './policy/fixtures.ts'

async function setup() {
  const tables = new RouteTables({ clock: new ManualClock(), random: seededRandom(1) })
  let drains = 0
  let ready = true
  const admin = await Admin.start({
    host: '127.0.0.1',
    port: 0,
    log: silentLog,
    registry: createRegistry('proxy'),
    table: () => tables.current,
    ready: () => ({
      ready,
      reasons: ready ? [] : ['why not'],
      snapshotVersion: tables.current?.snapshot.version ?? '',
    }),
    drain: () => void drains++,
  })
  onTestFinished(async () => {
    await admin.close()
    tables.close()
  })
  const call = (path: string, options: { method?: string; headers?: Record<string, string> } = {}) =>
    new Promise<{ status: number; type: string; text: string }>((resolve, reject) => {
      const one = request({ host: '127.0.0.1', port: admin.port, path, agent: false, ...options }, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('end', () =>
          resolve({ status: response.statusCode!, type: response.headers['content-type'] ?? '', text }),
        )
      })
      one.on('error', reject)
      one.end()
    })
  return { admin, tables, call, drains: () => drains, setReady: (value: boolean) => (ready = value) }
}

test('admin: says whether it is ready, and why not', async () => {
  const { call, setReady } = await setup()
  expect((await call('/ready')).status).toBe(200)
  setReady(false)
  const answer = await call('/ready')
  expect(answer.status).toBe(503)
  expect(ReadySchema.parse(JSON.parse(answer.text)).reasons).toEqual(['why not'])
  expect((await call('/healthz')).status).toBe(200)
})

test('admin: shows clusters and config, before and after the first snapshot', async () => {
  const { call, tables } = await setup()
  expect(JSON.parse((await call('/clusters')).text)).toEqual({ snapshotVersion: '', backends: [] })
  expect((await call('/config')).text).toBe('null')
  tables.swap(snapshot())
  const clusters = ClustersSchema.parse(JSON.parse((await call('/clusters')).text))
  expect(clusters.snapshotVersion).toBe('s1')
  expect(clusters.backends.map(({ name, breaker }) => [name, breaker])).toEqual([
    ['worker-v1', 'closed'],
    ['worker-v2', 'closed'],
  ])
  expect(JSON.parse((await call('/config')).text)).toMatchObject({ version: 's1' })
})

test('admin: exposes metrics as Prometheus reads them', async () => {
  const { call } = await setup()
  const { type, text } = await call('/metrics')
  expect(type).toMatch(/^text\/plain/)
  expect(text).toContain('process_cpu_user_seconds_total')
})

test('admin: drains by POST only', async () => {
  const { call, drains } = await setup()
  expect((await call('/drain')).status).toBe(404)
  expect(drains()).toBe(0)
  expect((await call('/drain', { method: 'POST' })).status).toBe(202)
  expect(drains()).toBe(1)
})

test.each([
  ['a name that was rebound to loopback', { host: 'evil.example:1' }, 403, 'HOST_NOT_ALLOWED'],
  ['a name that ends like ours', { host: 'evil.localhost.example' }, 403, 'HOST_NOT_ALLOWED'],
  ['another address', { host: '192.0.2.1' }, 403, 'HOST_NOT_ALLOWED'],
  ['a port that is none', { host: '127.0.0.1:x' }, 403, 'HOST_NOT_ALLOWED'],
  ['a foreign origin', { host: '127.0.0.1', origin: 'https://evil.example' }, 403, 'FOREIGN_ORIGIN'],
  ['another port of this machine', { host: '127.0.0.1:1', origin: 'http://127.0.0.1:2' }, 403, 'FOREIGN_ORIGIN'],
  ['an opaque origin', { host: '127.0.0.1', origin: 'null' }, 403, 'FOREIGN_ORIGIN'],
])('admin: refuses a call by %s', async (_what, headers, status, code) => {
  const { call, drains } = await setup()
  const answer = await call('/drain', { method: 'POST', headers })
  expect(answer.status).toBe(status)
  expect(JSON.parse(answer.text)).toMatchObject({ code })
  expect(answer.type).toBe('application/problem+json')
  expect(drains()).toBe(0)
})

test.each(['/', '/nothing', '/constructor', '/ready/', '//ready'])('admin: has no page %s', async (path) => {
  const { call } = await setup()
  expect((await call(path)).status).toBe(404)
})

test('admin: refuses to listen beyond loopback', async () => {
  const { admin } = await setup()
  const options = {
    port: 0,
    log: silentLog,
    registry: createRegistry('proxy'),
    table: () => undefined,
    ready: () => ({ ready: true, reasons: [], snapshotVersion: '' }),
    drain: () => undefined,
  }
  await expect(Admin.start({ ...options, host: '0.0.0.0' })).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  await expect(Admin.start({ ...options, host: '127.0.0.1', port: admin.port })).rejects.toMatchObject({
    code: 'PORT_IN_USE',
  })
})
