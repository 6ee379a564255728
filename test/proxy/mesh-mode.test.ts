// A sidecar in a real mesh: real control plane, real registry, real processes, real mTLS.

import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ClustersSchema } from '../../proxy/contract.ts'
import { tempDir, until } from '../support/fairlead.ts'
import { type App, type Running, spawnScript, startApp, startScript } from './processes.ts'

const later = onTestFinished
const CONFIG = `apiVersion: fairlead.dev/v1
kind: Service
metadata: { name: web }
spec: { protocol: http, selector: { service: web } }
---
apiVersion: fairlead.dev/v1
kind: Service
metadata: { name: client }
spec: { protocol: http, selector: { service: client } }
---
apiVersion: fairlead.dev/v1
kind: AuthorizationPolicy
metadata: { name: web }
spec:
  targetRef: { kind: Service, name: web }
  action: ALLOW
  rules:
    - from: { principals: [spiffe://fairlead.local/ns/default/sa/client] }
`

interface Mesh {
  readonly dir: string
  readonly plane: Running
  planeArgs: string[]
  sidecar(service: string, app: App, instance?: string): Promise<Running>
}

async function startMesh(): Promise<Mesh> {
  const dir = tempDir('mesh', later)
  writeFileSync(join(dir, 'config.yaml'), CONFIG)
  writeFileSync(join(dir, 'api-key'), 'test-key-of-at-least-32-characters-000', { mode: 0o600 })
  const planeArgs = [
    ...['--state', join(dir, 'plane'), '--api', '127.0.0.1:0', '--stream', '127.0.0.1:0', '--registry', '127.0.0.1:0'],
    ...['--api-key-file', join(dir, 'api-key'), '--config', join(dir, 'config.yaml')],
  ]
  const plane = await startScript('control-plane/main.ts', planeArgs, later)
  const sidecar = async (service: string, app: App, instance = `${service}-1`): Promise<Running> => {
    const state = join(dir, instance)
    mkdirSync(state, { recursive: true, mode: 0o700 })
    const tokenFile = join(state, 'join-token')
    if (plane.child.exitCode === null && plane.child.signalCode === null) {
      writeFileSync(tokenFile, await joinToken(plane, service), { mode: 0o600 })
    }
    return startScript(
      'proxy/main.ts',
      [
        ...['--service', service, '--version', 'v1', '--instance', instance, '--app', `127.0.0.1:${app.port}`],
        ...['--outbound', '127.0.0.1:0', '--inbound', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--state', state],
        ...['--control-plane', `https://127.0.0.1:${plane.ports['stream']}`, '--join-token-file', tokenFile],
        ...['--trust-bundle', join(dir, 'plane', 'trust-bundle.pem')],
        ...['--consul', `http://127.0.0.1:${plane.ports['registry']}`],
      ],
      later,
    )
  }
  return { dir, plane, planeArgs, sidecar }
}

async function joinToken(plane: Running, service: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${plane.ports['api']}/api/v1/join-tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': 'test-key-of-at-least-32-characters-000' },
    body: JSON.stringify({ service }),
  })
  if (!response.ok) throw new Error(await response.text())
  return ((await response.json()) as { token: string }).token
}

/** fetch cannot set Host; the absolute path of the sidecar's own surface is not needed here, so node:http is used. */
async function through(sidecar: Running, url: string, init: { method?: string; body?: string } = {}) {
  const { request } = await import('node:http')
  return new Promise<{ status: number; text: string; headers: Record<string, unknown> }>((resolve, reject) => {
    const call = request(
      {
        host: '127.0.0.1',
        port: sidecar.ports['outbound'],
        path: url,
        method: init.method ?? 'GET',
        headers: { host: new URL(url).host },
        agent: false,
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }))
      },
    )
    call.on('error', reject)
    call.end(init.body)
  })
}

const admin = async (sidecar: Running, path: string, init?: RequestInit): Promise<Response> =>
  fetch(`http://127.0.0.1:${sidecar.ports['admin']}${path}`, init)

test('sidecar: joins, gets its snapshot, registers and carries requests; restarted without control plane it still serves', {
  timeout: 60_000,
}, async () => {
  const mesh = await startMesh()
  const web = await startApp('web', later)
  const clientApp = await startApp('client', later)
  const webSidecar = await mesh.sidecar('web', web)
  const client = await mesh.sidecar('client', clientApp)

  const first = await until('the client reaches web', async () => {
    const answer = await through(client, 'http://web.mesh/hello', { method: 'POST', body: 'abc' })
    return answer.status === 200 ? answer : undefined
  })
  expect(first.text).toBe('web POST /hello 3')
  expect(first.headers['fairlead-instance']).toBe('web-1')

  const self = (await (await fetch(`http://127.0.0.1:${client.ports['outbound']}/.fairlead/self`)).json()) as object
  expect(self).toMatchObject({ instance: 'client-1', spiffeId: 'spiffe://fairlead.local/ns/default/sa/client' })
  const clusters = ClustersSchema.parse(await (await admin(client, '/clusters')).json())
  expect(clusters.backends.flatMap((one) => one.endpoints.map((endpoint) => endpoint.instance))).toContain('web-1')
  const config = await (await admin(client, '/config')).text()
  expect(config).not.toContain('PRIVATE KEY')
  const metrics = await (await admin(webSidecar, '/metrics')).text()
  expect(metrics).toMatch(/istio_requests_total\{reporter="destination",source_workload="client".*mutual_tls.*\} [1-9]/)
  for (const file of ['identity.json', 'snapshot.json']) {
    expect(statSync(join(mesh.dir, 'client-1', file)).mode & 0o777).toBe(0o600)
  }

  // Nobody is there any more who could tell it anything: it serves from its last good state.
  await mesh.plane.stop('SIGKILL')
  await client.stop('SIGKILL')
  const again = await mesh.sidecar('client', clientApp)
  const served = await through(again, 'http://web.mesh/again')
  expect(served).toMatchObject({ status: 200, text: 'web GET /again 0' })
  expect((await admin(again, '/ready')).status).toBe(200)

  expect(await again.stop()).toBe(0)
  expect(await webSidecar.stop()).toBe(0)
})

test('sidecar: a drain deregisters it, refuses readiness and lets callers see it gone', {
  timeout: 60_000,
}, async () => {
  const mesh = await startMesh()
  const web = await startApp('web', later)
  const webSidecar = await mesh.sidecar('web', web)
  const catalogue = async (): Promise<unknown[]> => {
    const url = `http://127.0.0.1:${mesh.plane.ports['registry']}/v1/health/service/web-sidecar-proxy?passing=true`
    return (await (await fetch(url)).json()) as unknown[]
  }
  await until('web is in the catalogue', async () => (await catalogue()).length === 1)
  expect((await admin(webSidecar, '/drain', { method: 'POST' })).status).toBe(202)
  await until('web left the catalogue', async () => (await catalogue()).length === 0)
  const ready = await admin(webSidecar, '/ready')
  expect(ready.status).toBe(503)
  expect(await ready.json()).toMatchObject({ ready: false, reasons: ['draining'] })
  expect(await webSidecar.stop()).toBe(0)
})

test('sidecar: is critical in the catalogue while its app is not ready', { timeout: 60_000 }, async () => {
  const mesh = await startMesh()
  const web = await startApp('web', later)
  await mesh.sidecar('web', web)
  const passing = async (): Promise<number> => {
    const url = `http://127.0.0.1:${mesh.plane.ports['registry']}/v1/health/service/web-sidecar-proxy?passing=true`
    return ((await (await fetch(url)).json()) as unknown[]).length
  }
  await until('web passes', async () => (await passing()) === 1)
  web.ready = 503
  await until('web is critical', async () => (await passing()) === 0)
  web.ready = 200
  await until('web passes again', async () => (await passing()) === 1)
})

test('sidecar: a caller that no policy allows is refused before a byte reaches the app', {
  timeout: 60_000,
}, async () => {
  const mesh = await startMesh()
  const web = await startApp('web', later)
  web.ready = 200
  const webSidecar = await mesh.sidecar('web', web)
  const intruder = await mesh.sidecar('intruder', await startApp('intruder', later))
  const seen: string[] = []
  web.server.on('request', (request: { url?: string }) => {
    if (request.url !== '/readyz') seen.push(request.url ?? '')
  })
  const refused = await until('the intruder is answered by the other side', async () => {
    const answer = await through(intruder, 'http://web.mesh/secret')
    return answer.headers['fairlead-error'] === 'POLICY_DENIED' ? answer : undefined
  })
  expect(refused.status).toBe(403)
  expect(seen).toEqual([])
  await until('the log tells why', () => webSidecar.output().includes('"response_code_details":"POLICY_DENIED"'))
})

test('sidecar: refuses a control plane that is not vouched for by its trust bundle', { timeout: 60_000 }, async () => {
  const mesh = await startMesh()
  const other = await startMesh()
  const state = join(mesh.dir, 'web-1')
  mkdirSync(state)
  writeFileSync(join(state, 'token'), await joinToken(mesh.plane, 'web'))
  const app = await startApp('web', later)
  const args = [
    ...['--service', 'web', '--version', 'v1', '--instance', 'web-1', '--app', `127.0.0.1:${app.port}`],
    ...['--outbound', '127.0.0.1:0', '--inbound', '127.0.0.1:0', '--state', state],
    ...['--control-plane', `https://127.0.0.1:${other.plane.ports['stream']}`],
    ...['--join-token-file', join(state, 'token'), '--trust-bundle', join(mesh.dir, 'plane', 'trust-bundle.pem')],
  ]
  const lost = spawnScript('proxy/main.ts', args, later)
  await until('it says why', () => lost.output().includes('did not prove to be the control plane'))
  await lost.stop()
  // The token was not given away: it still works where it belongs.
  expect(readFileSync(join(state, 'token'), 'utf8')).not.toBe('')
  const own = args.map((arg) => (arg.startsWith('https:') ? `https://127.0.0.1:${mesh.plane.ports['stream']}` : arg))
  expect((await startScript('proxy/main.ts', own, later)).ports['outbound']).toBeGreaterThan(0)
})
