// What is sent again, what never is, and who pays for it.

import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { LocalSurface } from '../../../proxy/exchange.ts'
import {
  backendOf,
  identityOf,
  inbound,
  listen,
  noSurface,
  outbound,
  policyOf,
  type RawApp,
  rawApp,
  rawExchange,
  ruleOf,
  sharedPki,
  snapshotOf,
  TestIdentitySource,
  tablesOf,
  twoHops,
} from './setup.ts'

const answerOf = (name: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`
const appOf = (name: string): Promise<RawApp> => rawApp((socket) => socket.write(answerOf(name)))
const call = (line = 'GET /', more = '', body = ''): string =>
  `${line} HTTP/1.1\r\nHost: app.mesh\r\n${more}Connection: close\r\n\r\n${body}`

/** A port on which nothing listens. */
async function deadPort(): Promise<number> {
  const server = createServer()
  const port = await listen(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

const two = (first: { port: number }, second: { port: number }, policy = policyOf({ balance: 'roundRobin' })) =>
  backendOf(
    'app',
    [
      { instance: 'one', port: first.port },
      { instance: 'two', port: second.port },
    ],
    { policy },
  )

test.each(['GET', 'POST'])(
  'retry: %s goes to another instance when the first does not accept connections',
  async (method) => {
    const app = await appOf('two')
    const dead = { port: await deadPort() }
    const client = await outbound(tablesOf(snapshotOf({ backends: [two(dead, app)] })))
    for (let i = 0; i < 4; i++) {
      const answer = await rawExchange(client.port, call(`${method} /`, 'Content-Length: 5\r\n', 'hello'))
      expect(answer).toMatch(/two$/)
      expect(answer).toContain('fairlead-instance: two\r\n')
    }
    expect(app.received.match(/hello/g)).toHaveLength(4)
    expect(Math.max(...client.recorder.exchanges.map(({ attempts }) => attempts))).toBe(2)
  },
)

test('retry: 503 with flag UF when no instance accepts connections', async () => {
  const dead = { port: await deadPort() }
  const client = await outbound(tablesOf(snapshotOf({ backends: [two(dead, dead)] })))
  const answer = await rawExchange(client.port, call())
  expect(answer).toContain('fairlead-error: UPSTREAM_CONNECT_FAILED\r\n')
  expect(client.recorder.exchanges).toMatchObject([{ status: 503, flag: 'UF', attempts: 3 }])
})

test('retry: a POST that may have reached the app is never sent again', async () => {
  const app = await rawApp((socket) => void socket.destroy())
  const client = await outbound(tablesOf(snapshotOf({ backends: [two(app, app)] })))
  const answer = await rawExchange(client.port, call('POST /', 'Content-Length: 5\r\n', 'hello'))
  expect(answer).toContain('fairlead-error: UPSTREAM_RESET\r\n')
  expect(app.received.match(/POST/g)).toHaveLength(1)
  expect(client.recorder.exchanges).toMatchObject([{ status: 503, flag: 'UC', attempts: 1 }])
})

test.each([
  ['a GET', 'GET /', ''],
  ['a PUT', 'PUT /', ''],
  ['a POST with an idempotency key', 'POST /', 'Idempotency-Key: k1\r\n'],
])('retry: %s is sent again after a reset', async (_what, line, more) => {
  let resets = 0
  const app = await rawApp((socket) => (resets++ === 0 ? void socket.destroy() : void socket.write(answerOf('ok'))))
  const client = await outbound(tablesOf(snapshotOf({ backends: [two(app, app)] })))
  expect(await rawExchange(client.port, call(line, more))).toMatch(/ok$/)
})

test('retry: a kept-alive connection that the app closes as it is used is made good, once', async () => {
  let served = 0
  const app = await rawApp((socket) => {
    // Every connection answers one request and dies with the second.
    if (served++ % 2 === 0) socket.write(answerOf('ok'))
    else socket.destroy()
  })
  const rules = [ruleOf('app', { retry: { ...ruleOf('app').retry, attempts: 0 } })]
  const backend = backendOf('app', [{ instance: 'one', port: app.port }])
  const services = [{ ...snapshotOf({ backends: [backend] }).services[0]!, rules }]
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend], services })))
  for (let i = 0; i < 6; i++) expect(await rawExchange(client.port, call())).toMatch(/ok$/)
})

test('retry: the same over the inbound, towards the own app', async () => {
  let served = 0
  const app = await rawApp((socket) => {
    if (served++ % 2 === 0) socket.write(answerOf('ok'))
    else socket.destroy()
  })
  const { outbound: client } = await twoHops(app)
  for (let i = 0; i < 6; i++) expect(await rawExchange(client.port, call())).toMatch(/ok$/)
})

test('retry: a POST on a kept-alive connection that closes as it is used is not sent again', async () => {
  let served = 0
  const app = await rawApp((socket) => {
    if (served++ === 0) socket.write(answerOf('ok'))
    else socket.destroy()
  })
  const backend = backendOf('app', [{ instance: 'one', port: app.port }])
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend] })))
  await rawExchange(client.port, call())
  const answer = await rawExchange(client.port, call('POST /', 'Content-Length: 5\r\n', 'hello'))
  expect(answer).toContain('fairlead-error: UPSTREAM_RESET\r\n')
  expect(app.received.match(/POST/g)).toHaveLength(1)
})

test('retry: by status only when the rule says so, and the last answer stands', async () => {
  let asked = 0
  const app = await rawApp((socket) => {
    asked++
    socket.write('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy')
  })
  const backend = backendOf('app', [{ instance: 'one', port: app.port }])
  const base = snapshotOf({ backends: [backend] })
  const tables = tablesOf(base)
  const client = await outbound(tables)
  expect(await rawExchange(client.port, call())).toMatch(/^HTTP\/1\.1 503 [\s\S]*busy$/)
  expect(asked).toBe(1)
  const rules = [ruleOf('app', { retry: { ...ruleOf('app').retry, codes: [503] } })]
  tables.swap({ ...base, version: '2', services: [{ ...base.services[0]!, rules }] })
  expect(await rawExchange(client.port, call())).toMatch(/busy$/)
  expect(asked).toBe(4)
  expect(await rawExchange(client.port, call('POST /', 'Content-Length: 0\r\n'))).toMatch(/busy$/)
  expect(asked).toBe(5)
})

test('retry: ends when the budget is used up', async () => {
  let asked = 0
  const app = await rawApp((socket) => {
    asked++
    socket.write('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n')
  })
  const policy = policyOf({ retryBudget: { percent: 10, minPerSecond: 0 } })
  const backend = backendOf('app', [{ instance: 'one', port: app.port }], { policy })
  const rules = [ruleOf('app', { retry: { ...ruleOf('app').retry, codes: [503], backoffMs: 0, backoffMaxMs: 0 } })]
  const services = [{ ...snapshotOf({ backends: [backend] }).services[0]!, rules }]
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend], services })))
  for (let i = 0; i < 50; i++) await rawExchange(client.port, call())
  expect(asked).toBeGreaterThan(50)
  expect(asked).toBeLessThanOrEqual(55)
})

test('retry: a repeat by the caller draws on the same budget', async () => {
  const app = await appOf('ok')
  const policy = policyOf({ retryBudget: { percent: 0, minPerSecond: 1 } })
  const backend = backendOf('app', [{ instance: 'one', port: app.port }], { policy })
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend] })))
  const repeat = call('POST /', 'Content-Length: 0\r\nFairlead-Retry: 1\r\n')
  expect(await rawExchange(client.port, repeat)).toMatch(/ok$/)
  const over = await rawExchange(client.port, repeat)
  expect(over).toMatch(/^HTTP\/1\.1 503 /)
  expect(over).toContain('fairlead-error: RETRY_BUDGET_EXHAUSTED\r\n')
  expect(over).toContain('retry-after: 1\r\n')
  expect(await rawExchange(client.port, call())).toMatch(/ok$/)
})

test('repick: a refusal by the sidecar goes to another instance, the same answer by the app does not', async () => {
  const pki = await sharedPki()
  const good = await appOf('good')
  const source = new TestIdentitySource(await identityOf(pki, 'app'))
  const wrong = await inbound(good, source, { instance: 'somebody-else' })
  const right = await inbound(good, source, { instance: 'two' })
  const identity = 'spiffe://fairlead.local/ns/default/sa/app'
  const backend = { ...two(wrong, right), transport: 'mesh' as const, identity }
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend] })), {
    identity: new TestIdentitySource(await identityOf(pki, 'caller')),
  })
  for (let i = 0; i < 4; i++) {
    const answer = await rawExchange(client.port, call('POST /', 'Content-Length: 5\r\n', 'hello'))
    expect(answer).toMatch(/good$/)
    expect(answer).toContain('fairlead-instance: two\r\n')
  }
  expect(good.received.match(/hello/g)).toHaveLength(4)
})

test('repick: an app that names a refusal of a sidecar is passed on as it is', async () => {
  let asked = 0
  const app = await rawApp((socket) => {
    asked++
    socket.write('HTTP/1.1 503 Service Unavailable\r\nFairlead-Error: DRAINING\r\nContent-Length: 3\r\n\r\napp')
  })
  const { outbound: client } = await twoHops(app)
  const answer = await rawExchange(client.port, call())
  expect(answer).toMatch(/app$/)
  expect(answer).not.toContain('fairlead-error')
  expect(asked).toBe(1)
})

test('exact instance: goes there and nowhere else, past an open breaker', async () => {
  const [one, two_] = [await appOf('one'), await appOf('two')]
  const tables = tablesOf(snapshotOf({ backends: [two(one, two_)] }))
  const drawn: string[] = []
  const localSurface: LocalSurface = { ...noSurface, drawn: (quote, backend) => void drawn.push(`${quote} ${backend}`) }
  const client = await outbound(tables, { localSurface })
  for (let i = 0; i < 3; i++) {
    const answer = await rawExchange(
      client.port,
      call('POST /', 'Fairlead-Instance: two\r\nFairlead-Quote: q1\r\nContent-Length: 0\r\n'),
    )
    expect(answer).toMatch(/two$/)
  }
  expect(drawn).toEqual(['q1 app', 'q1 app', 'q1 app'])
  expect(one.accepted).toBe(0)
  expect(two_.received).not.toContain('fairlead-')
  const gone = await rawExchange(client.port, call('GET /', 'Fairlead-Instance: three\r\n'))
  expect(gone).toMatch(/^HTTP\/1\.1 503 /)
  expect(gone).toContain('fairlead-error: INSTANCE_GONE\r\n')
})

test('exact instance: is not sent again when the connection fails', async () => {
  const dead = { port: await deadPort() }
  const alive = await appOf('two')
  const client = await outbound(tablesOf(snapshotOf({ backends: [two(dead, alive)] })))
  const answer = await rawExchange(client.port, call('GET /', 'Fairlead-Instance: one\r\n'))
  expect(answer).toContain('fairlead-error: UPSTREAM_CONNECT_FAILED\r\n')
  expect(alive.accepted).toBe(0)
})

test('breaker: an open one answers 503 with flag UO and when to come again', async () => {
  const app = await rawApp((socket) => socket.write('HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n'))
  const policy = policyOf({ breaker: { failures: 5, failurePercent: 50, windowMs: 10_000, openMs: 30_000 } })
  const backend = backendOf('app', [{ instance: 'one', port: app.port }], { policy })
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend] })))
  for (let i = 0; i < 5; i++) expect(await rawExchange(client.port, call())).toMatch(/^HTTP\/1\.1 500 /)
  const answer = await rawExchange(client.port, call())
  expect(answer).toContain('fairlead-error: UPSTREAM_CIRCUIT_OPEN\r\n')
  expect(answer).toMatch(/retry-after: (29|30)\r\n/)
  expect(client.recorder.exchanges.at(-1)).toMatchObject({ status: 503, flag: 'UO', attempts: 0 })
})

test('limits: one more than maxRequests is refused with UPSTREAM_SATURATED', async () => {
  const app = await rawApp(() => undefined)
  const policy = policyOf({ limits: { maxConnections: 10, maxPendingRequests: 10, maxRequests: 1 } })
  const backend = backendOf('app', [{ instance: 'one', port: app.port }], { policy })
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend] })))
  void rawExchange(client.port, call()).catch(() => undefined)
  await expect.poll(() => app.accepted).toBe(1)
  expect(await rawExchange(client.port, call())).toContain('fairlead-error: UPSTREAM_SATURATED\r\n')
})

test('limits: requests wait in line for a connection, and beyond the line they are refused', async () => {
  const waiting: (() => void)[] = []
  const app = await rawApp((socket) => void waiting.push(() => socket.write(answerOf('ok'))))
  const policy = policyOf({ limits: { maxConnections: 1, maxPendingRequests: 1, maxRequests: 100 } })
  const backend = backendOf('app', [{ instance: 'one', port: app.port }], { policy })
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend] })))
  const first = rawExchange(client.port, call())
  await expect.poll(() => waiting.length).toBe(1)
  const second = rawExchange(client.port, call())
  await expect.poll(() => client.active).toBe(2)
  expect(await rawExchange(client.port, call())).toContain('fairlead-error: UPSTREAM_SATURATED\r\n')
  waiting[0]!()
  expect(await first).toMatch(/ok$/)
  await expect.poll(() => waiting.length).toBe(2)
  waiting[1]!()
  expect(await second).toMatch(/ok$/)
  expect(app.accepted).toBe(1)
})

test('limits: a request in line for another instance gets the room of a connection that is free', async () => {
  const [one, two_] = [await appOf('one'), await appOf('two')]
  const policy = policyOf({
    balance: 'roundRobin',
    limits: { maxConnections: 1, maxPendingRequests: 10, maxRequests: 100 },
  })
  const client = await outbound(tablesOf(snapshotOf({ backends: [two(one, two_, policy)] })))
  const answers = await Promise.all(Array.from({ length: 10 }, () => rawExchange(client.port, call())))
  expect(answers.filter((text) => text.endsWith('one'))).toHaveLength(5)
  expect(answers.filter((text) => text.endsWith('two'))).toHaveLength(5)
  onTestFinished(() => expect(client.active).toBe(0))
})
