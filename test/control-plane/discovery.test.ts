import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { registrationOf } from '../../control-plane/contract.ts'
import { createConsulClient } from '../../control-plane/discovery/consul-client.ts'
import { startDiscovery } from '../../control-plane/discovery/discovery.ts'
import { watch } from '../../control-plane/discovery/watch.ts'
import { startRegistry } from '../../control-plane/registry/server.ts'
import { systemClock } from '../../kernel/clock.ts'
import { silentLog } from '../../kernel/log.ts'
import { systemRandom } from '../../kernel/random.ts'
import { findConsul, startConsul } from '../support/consul.ts'
import { until } from '../support/until.ts'

const ambient = { clock: systemClock, random: systemRandom, log: silentLog }
const LOOPBACK = { host: '127.0.0.1', port: 0 }

/** A registry that answers by script: index and body of each request in turn; the last one repeats. */
async function scripted(
  answers: { index: number | string; status?: number }[],
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = []
  const server: Server = createServer((request, response) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)]!
    asked.push(new URL(request.url!, 'http://x').searchParams.get('index') ?? '')
    response.writeHead(answer.status ?? 200, { 'X-Consul-Index': answer.index, 'content-type': 'application/json' })
    response.end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

async function asking(url: string, enough: () => boolean): Promise<number> {
  const client = createConsulClient(url)
  const stop = new AbortController()
  let told = 0
  const onData = (): void => void told++
  const running = watch({
    ...ambient,
    what: 'test',
    read: client.services,
    onData,
    onError: () => undefined,
    signal: stop.signal,
  })
  await until(enough)
  stop.abort()
  await running
  client.close()
  return told
}

test('watch: starts anew at no index when the index runs backwards', async () => {
  const { url, asked } = await scripted([{ index: 100 }, { index: 120 }, { index: 7 }, { index: 8 }, { index: 8 }])
  const told = await asking(url, () => asked.length >= 6)
  expect(asked.slice(0, 5)).toEqual(['', '100', '120', '', '8'])
  expect(told).toBeGreaterThanOrEqual(4)
})

test('watch: tells nothing when the index did not move', async () => {
  const { url, asked } = await scripted([{ index: 5 }])
  expect(await asking(url, () => asked.length >= 4)).toBe(1)
})

test.each([
  ['an index of 0', { index: 0 }],
  ['an index that is none', { index: 'many' }],
  ['an error', { index: 5, status: 500 }],
])('watch: backs off and starts anew when it is answered %s', async (_what, bad) => {
  const { url, asked } = await scripted([{ index: 3 }, bad, { index: 4 }])
  await asking(url, () => asked.length >= 3)
  expect(asked.slice(0, 3)).toEqual(['', '3', ''])
})

test('watch: ends at once when it is stopped in the middle of a wait', async () => {
  const registry = await startRegistry({ listen: LOOPBACK, ...ambient })
  onTestFinished(() => registry.close())
  const discovery = startDiscovery({ consulUrl: registry.url, known: [], onChange: () => undefined, ...ambient })
  await until(() => discovery.reachable)
  const started = performance.now()
  await discovery.close()
  expect(performance.now() - started).toBeLessThan(500)
})

test('discovery: keeps what it knows when the registry goes away', async () => {
  const registry = await startRegistry({ listen: LOOPBACK, ...ambient })
  const discovery = startDiscovery({ consulUrl: registry.url, known: [], onChange: () => undefined, ...ambient })
  onTestFinished(() => discovery.close())
  await registered(registry.url)
  await until(() => discovery.instances.length === 1)
  await registry.close()
  await until(() => !discovery.reachable)
  expect(discovery.instances).toMatchObject([{ instance: 'worker-1', passing: true }])
})

test.each(['ftp://127.0.0.1', '127.0.0.1:8500', ''])('Consul address: is refused when it is %j', (url) => {
  expect(() => createConsulClient(url)).toThrow(/http/)
})

async function registered(url: string): Promise<void> {
  const instance = { instance: 'worker-1', service: 'worker', namespace: 'default', version: 'v1', region: 'eu' }
  const put = (path: string, body?: unknown) =>
    fetch(`${url}/v1/${path}`, { method: 'PUT', ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  for (const body of registrationOf({ ...instance, address: '127.0.0.1', port: 1 }, 80)) {
    await put('agent/service/register', body)
  }
  await put('agent/check/pass/fairlead:worker-1?note=x')
}

const found = findConsul()
test.skipIf('reason' in found)(
  `discovery: sees instances of a real Consul${'reason' in found ? ` (skipped: ${found.reason})` : ''}`,
  async () => {
    const consul = await startConsul('path' in found ? found.path : '')
    onTestFinished(() => consul.close())
    const discovery = startDiscovery({ consulUrl: consul.url, known: [], onChange: () => undefined, ...ambient })
    onTestFinished(() => discovery.close())
    await registered(consul.url)
    await until(() => discovery.instances.length === 1 && discovery.instances[0]!.passing)
    expect(discovery.instances).toMatchObject([{ instance: 'worker-1', service: 'worker', region: 'eu', port: 1 }])
  },
  40_000,
)
