import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { CHECK_REFRESH_MS } from '../../../control-plane/contract.ts'
import { systemClock } from '../../../kernel/clock.ts'
import { silentLog } from '../../../kernel/log.ts'
import type { AppState } from '../../../proxy/control/app-health.ts'
import { Registration } from '../../../proxy/control/registration.ts'
import { until } from '../../support/until.ts'

interface Call {
  readonly method: string
  readonly path: string
  readonly body: Record<string, unknown> | undefined
}

/** A Consul agent that knows registrations and checks, and forgets when told to. */
async function startAgent(port = 0) {
  const calls: Call[] = []
  const checks = new Map<string, string>()
  let unknownStatus = 404
  const server: Server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      const path = decodeURIComponent(request.url!.split('?')[0]!)
      const body = text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>)
      calls.push({ method: request.method!, path, body })
      const check = body?.['Check'] as { CheckID: string; Status: string } | undefined
      if (path === '/v1/agent/service/register' && check) checks.set(check.CheckID, check.Status)
      const [, verb, id] = /^\/v1\/agent\/check\/(pass|fail)\/(.+)$/.exec(path) ?? []
      if (id !== undefined && !checks.has(id)) {
        response.writeHead(unknownStatus).end(`Unknown check ID "${id}". Ensure that the check ID is passed`)
        return
      }
      if (id !== undefined) checks.set(id, verb === 'pass' ? 'passing' : 'critical')
      if (path.startsWith('/v1/agent/service/deregister/')) checks.clear()
      response.end()
    })
  })
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', () => done()))
  const close = (): Promise<void> => {
    server.closeAllConnections()
    return new Promise((done) => server.close(() => done()))
  }
  onTestFinished(close)
  const { port: bound } = server.address() as AddressInfo
  return {
    url: new URL(`http://127.0.0.1:${bound}`),
    port: bound,
    calls,
    checks,
    close,
    forget: (status: number) => {
      unknownStatus = status
      checks.clear()
    },
    paths: () => calls.map((call) => call.path),
  }
}

async function setup() {
  const agent = await startAgent()
  let state: AppState = 'unknown'
  const registration = new Registration({
    // Refreshes 20 times as often.
    clock: { ...systemClock, every: (ms, run) => systemClock.every(ms / 20, run) },
    log: silentLog,
    consul: agent.url,
    instance: {
      instance: 'web-1',
      service: 'web',
      namespace: 'default',
      version: 'v2',
      region: 'eu',
      address: '127.0.0.1',
      port: 4321,
    },
    appPort: 8080,
    appState: () => state,
  })
  onTestFinished(() => registration.close())
  const become = (next: AppState): void => {
    state = next
    registration.wake()
  }
  return { agent, registration, become }
}

const CHECK = 'fairlead:web-1'

test("registration: names service and sidecar by Consul's conventions, critical until the app is ready", async () => {
  const { agent, registration, become } = await setup()
  registration.start()
  await until(() => agent.checks.get(CHECK) === 'critical' && agent.calls.length >= 3)
  const [service, sidecar] = agent.calls.map((call) => call.body!)
  expect(service).toMatchObject({ ID: 'web-1', Name: 'web', Port: 8080, Meta: { version: 'v2', region: 'eu' } })
  expect(sidecar).toMatchObject({
    ID: 'web-1-sidecar-proxy',
    Name: 'web-sidecar-proxy',
    Kind: 'connect-proxy',
    Address: '127.0.0.1',
    Port: 4321,
    Proxy: { DestinationServiceName: 'web', DestinationServiceID: 'web-1' },
    Check: { CheckID: CHECK, TTL: '10s', Status: 'critical' },
  })
  become('passing')
  await until(() => agent.checks.get(CHECK) === 'passing')
})

test.each(['draining', 'failing', 'unknown'] as const)(
  'registration: is critical while the app is %s',
  async (state) => {
    const { agent, registration, become } = await setup()
    become('passing')
    registration.start()
    await until(() => agent.checks.get(CHECK) === 'passing')
    become(state)
    await until(() => agent.checks.get(CHECK) === 'critical')
  },
)

test('registration: refreshes the check by itself', async () => {
  const { agent, registration, become } = await setup()
  become('passing')
  registration.start()
  const passes = (): number => agent.paths().filter((path) => path.includes('/check/pass/')).length
  await until(() => passes() >= 3, CHECK_REFRESH_MS)
})

test.each([404, 500])('registration: registers again when the check is unknown (%i)', async (status) => {
  const { agent, registration, become } = await setup()
  become('passing')
  registration.start()
  await until(() => agent.checks.get(CHECK) === 'passing')
  agent.forget(status)
  await until(() => agent.checks.get(CHECK) === 'passing')
  expect(agent.paths().filter((path) => path.endsWith('/register'))).toHaveLength(4)
})

test('registration: comes back when the registry was away and started empty', async () => {
  const { agent, registration, become } = await setup()
  become('passing')
  registration.start()
  await until(() => agent.checks.get(CHECK) === 'passing')
  await agent.close()
  const again = await startAgent(agent.port)
  await until(() => again.checks.get(CHECK) === 'passing')
})

test('registration: deregisters both when closed, once, and reports no more', async () => {
  const { agent, registration, become } = await setup()
  become('passing')
  registration.start()
  await until(() => agent.checks.get(CHECK) === 'passing')
  await Promise.all([registration.close(), registration.close()])
  become('passing')
  expect(agent.paths().slice(-2)).toEqual([
    '/v1/agent/service/deregister/web-1-sidecar-proxy',
    '/v1/agent/service/deregister/web-1',
  ])
})

test('registration: closes although the registry is gone', async () => {
  const { agent, registration } = await setup()
  registration.start()
  await until(() => registration.registered)
  await agent.close()
  await registration.close()
})
