import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MeshStatusSchema } from '../../control-plane/contract.ts'
import { until } from '../support/until.ts'
import { type Answer, sharedPlane, startPlane, temporaryDirectory } from './plane.ts'

const shared = sharedPlane()

const service = (name: string): string =>
  `apiVersion: fairlead.dev/v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  protocol: http\n`
const INVALID =
  'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata:\n  name: x\nspec:\n  nonsense: 1\n  protocol: smtp\n'

const refused = (answer: Answer, status: number, code: string): void => {
  expect({ status: answer.status, code: answer.body['code'] }, answer.text).toEqual({ status, code })
  expect(answer.headers['content-type']).toContain('application/problem+json')
  expect(answer.body['requestId']).toBe(answer.headers['x-request-id'])
}

// ── who may call ────────────────────────────────────────────────────────────────────────────────────────────────────

test.each([
  ['no key', { 'x-api-key': '' }, 401, 'UNAUTHENTICATED'],
  ['another key', { 'x-api-key': 'x'.repeat(43) }, 401, 'UNAUTHENTICATED'],
  ['a foreign origin', { origin: 'https://evil.example' }, 403, 'FOREIGN_ORIGIN'],
  ['the origin of a sandboxed page', { origin: 'null' }, 403, 'FOREIGN_ORIGIN'],
  ['another port of this machine as origin', { origin: 'http://127.0.0.1:1' }, 403, 'FOREIGN_ORIGIN'],
  ['a rebound host name', { host: 'evil.example' }, 403, 'HOST_NOT_ALLOWED'],
  ['a host that only begins like ours', { host: '127.0.0.1.evil.example' }, 403, 'HOST_NOT_ALLOWED'],
  ['a host that hides ours in userinfo', { host: '127.0.0.1@evil.example' }, 403, 'HOST_NOT_ALLOWED'],
])('API: refuses when the request comes with %s', async (_what, headers, status, code) => {
  refused(await shared().api('GET', '/api/v1/mesh', undefined, headers), status, code)
})

test('API: refuses to change anything when a page of a foreign origin knows the key', async () => {
  const plane = shared()
  const origin = { origin: 'https://evil.example' }
  refused(await plane.api('PUT', '/api/v1/config', { files: [] }, origin), 403, 'FOREIGN_ORIGIN')
  refused(await plane.api('POST', '/api/v1/join-tokens', { service: 'worker' }, origin), 403, 'FOREIGN_ORIGIN')
})

test('API: answers when called by localhost or from its own origin', async () => {
  const plane = shared()
  const own = `127.0.0.1:${plane.ports.api}`
  const ours: Record<string, string>[] = [
    { host: `localhost:${plane.ports.api}` },
    { host: own, origin: `http://${own}` },
  ]
  for (const headers of ours) {
    expect((await plane.api('GET', '/api/v1/mesh', undefined, headers)).status).toBe(200)
  }
})

test('health, readiness and metrics: need no key, but no foreign host either', async () => {
  const plane = shared()
  const bare = { 'x-api-key': '' }
  await until(async () => (await plane.api('GET', '/readyz', undefined, bare)).status === 200)
  expect((await plane.api('GET', '/healthz', undefined, bare)).body).toEqual({ status: 'ok' })
  const metrics = await plane.api('GET', '/metrics', undefined, bare)
  for (const name of [
    'fairlead_config_convergence_seconds',
    'fairlead_sidecars_connected',
    'fairlead_certificate_expiry_seconds',
  ]) {
    expect(metrics.text).toContain(name)
  }
  refused(await plane.api('GET', '/metrics', undefined, { ...bare, host: 'evil.example' }), 403, 'HOST_NOT_ALLOWED')
})

test.each([
  ['GET', '/api/v1/nothing', undefined, 404, 'ROUTE_NOT_FOUND'],
  ['DELETE', '/api/v1/config', undefined, 404, 'ROUTE_NOT_FOUND'],
  ['PUT', '/api/v1/config', {}, 400, 'INVALID_INPUT'],
  [
    'PUT',
    '/api/v1/config',
    {
      files: [
        { name: 'a', text: '' },
        { name: 'a', text: '' },
      ],
    },
    400,
    'INVALID_INPUT',
  ],
  ['PUT', '/api/v1/config', { files: [], more: 1 }, 400, 'INVALID_INPUT'],
  ['GET', '/api/v1/audit?limit=0', undefined, 400, 'INVALID_INPUT'],
  ['GET', '/api/v1/audit?limit=x', undefined, 400, 'INVALID_INPUT'],
])('API: refuses %s %s when it carries %j', async (method, path, body, status, code) => {
  refused(await shared().api(method, path, body), status, code)
})

test('API: refuses a body when it is no JSON or of another type', async () => {
  const plane = shared()
  const text = { 'content-type': 'text/plain' }
  refused(await plane.api('PUT', '/api/v1/config', 'x', text), 400, 'INVALID_JSON')
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  refused(await plane.api('PUT', '/api/v1/config', 'x', form), 400, 'INVALID_JSON')
})

test('key file: is made with mode 0600 when missing, and refused when others may read it', async () => {
  const plane = shared()
  expect(statSync(join(plane.state, 'api-key')).mode & 0o777).toBe(0o600)
  const state = temporaryDirectory()
  writeFileSync(join(state, 'api-key'), `${'k'.repeat(43)}\n`, { mode: 0o644 })
  await expect(startPlane([], state)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
})

// ── config ──────────────────────────────────────────────────────────────────────────────────────────────────────────

test('config: runs and is recorded with its author when valid', async () => {
  const plane = await startPlane()
  const files = [{ name: 'a.yaml', text: service('worker') }]
  const put = await plane.api('PUT', '/api/v1/config', { files }, { 'x-fairlead-author': 'ada' })
  expect(put.body).toMatchObject({ changed: true, warnings: [] })
  const version = put.body['version']
  expect((await plane.api('GET', '/api/v1/config')).body).toMatchObject({ version, author: 'ada', files })
  const again = await plane.api('PUT', '/api/v1/config', { files })
  expect(again.body).toMatchObject({ version, changed: false })
  await plane.api('PUT', '/api/v1/config', { files: [] })
  const { history } = (await plane.api('GET', '/api/v1/config/history')).body as { history: unknown[] }
  expect(history).toMatchObject([
    { author: 'operator', sources: [] },
    { author: 'ada', version, sources: ['a.yaml'] },
  ])
  const status = MeshStatusSchema.parse(await plane.mesh())
  expect(status.config.sources).toEqual([])
})

test('config: keeps the last one and answers every problem with its place when invalid', async () => {
  const plane = await startPlane()
  const good = [{ name: 'a.yaml', text: service('worker') }]
  const { version } = (await plane.api('PUT', '/api/v1/config', { files: good })).body
  const stream = plane.stream(await plane.join('worker'), {})
  const before = await stream.snapshot()
  const bad = [...good, { name: 'b.yaml', text: INVALID }]
  const answer = await plane.api('PUT', '/api/v1/config', { files: bad })
  refused(answer, 422, 'CONFIG_INVALID')
  const problems = answer.body['problems'] as { path: string }[]
  expect(problems.map((problem) => problem.path)).toEqual(['b.yaml:6:3', 'b.yaml:7:13'])
  expect((await plane.api('GET', '/api/v1/config')).body['version']).toBe(version)
  expect(await plane.audit('config.refuse')).toHaveLength(1)
  // What is pushed next is compiled from the good one.
  await plane.register({ instance: 'worker-1', service: 'worker' })
  const next = await stream.snapshot(2)
  expect(next.version).not.toBe(before.version)
  expect(next.backends.map((backend) => backend.name)).toEqual(['worker'])
})

test('config: reaches a connected sidecar when applied', async () => {
  const plane = await startPlane()
  const stream = plane.stream(await plane.join('worker'), {})
  await stream.snapshot()
  await plane.api('PUT', '/api/v1/config', { files: [{ name: 'a.yaml', text: service('billing') }] })
  await stream.snapshotWith((snapshot) => snapshot.backends.some((backend) => backend.name === 'billing'), 1_000)
})

test('config: is refused when it names another trust domain than the CA signs for', async () => {
  const mesh = 'apiVersion: fairlead.dev/v1\nkind: Mesh\nmetadata:\n  name: mesh\nspec:\n  trustDomain: other.example\n'
  const answer = await shared().api('PUT', '/api/v1/config', { files: [{ name: 'm.yaml', text: mesh }] })
  refused(answer, 422, 'CONFIG_INVALID')
  expect(answer.text).toContain('fairlead.local')
})

test('audit: shows the newest rows first and never a token', async () => {
  const plane = shared()
  const token = await plane.joinToken('audited')
  const answer = await plane.api('GET', '/api/v1/audit?limit=1')
  expect(answer.body['rows']).toMatchObject([
    { action: 'join-token.create', actor: 'operator', subject: 'spiffe://fairlead.local/ns/default/sa/audited' },
  ])
  expect(answer.text).not.toContain(token)
})
