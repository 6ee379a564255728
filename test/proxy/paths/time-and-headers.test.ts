// Time limits, trace context, header rules, filters, drain: what else a request meets on its way out.

import { createConnection, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { backendOf, outbound, rawApp, rawExchange, ruleOf, snapshotOf, tablesOf, twoHops } from './setup.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: app\r\n\r\nok'
const call = (more = '', line = 'GET /'): string =>
  `${line} HTTP/1.1\r\nHost: app.mesh\r\n${more}Connection: close\r\n\r\n`

async function scene(
  rule: Parameters<typeof ruleOf>[1] = {},
  script: (socket: Socket) => void = (socket) => void socket.write(OK),
) {
  const app = await rawApp(script)
  const backend = backendOf('app', [{ instance: 'one', port: app.port }])
  const services = [{ ...snapshotOf({ backends: [backend] }).services[0]!, rules: [ruleOf('app', rule)] }]
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend], services })))
  return { app, client }
}
const silent = (): void => undefined

test('time: 504 with flag UT when the route timeout passes', async () => {
  const { app, client } = await scene({ timeouts: { requestMs: 100, backendRequestMs: null } }, silent)
  const answer = await rawExchange(client.port, call())
  expect(answer).toMatch(/^HTTP\/1\.1 504 /)
  expect(answer).toContain('fairlead-error: UPSTREAM_TIMEOUT\r\n')
  expect(client.recorder.exchanges).toMatchObject([{ status: 504, flag: 'UT' }])
  await expect.poll(() => app.sockets[0]!.destroyed).toBe(true)
})

test("time: the caller's `fairlead-timeout` wins when it is shorter, and a malformed one is refused", async () => {
  const { client } = await scene({ timeouts: { requestMs: 60_000, backendRequestMs: null } }, silent)
  const started = performance.now()
  expect(await rawExchange(client.port, call('Fairlead-Timeout: 150\r\n'))).toMatch(/^HTTP\/1\.1 504 /)
  expect(performance.now() - started).toBeGreaterThan(140)
  expect(performance.now() - started).toBeLessThan(3_000)
  expect(await rawExchange(client.port, call('Fairlead-Timeout: 0\r\n'))).toMatch(/^HTTP\/1\.1 504 /)
  for (const bad of ['-1', '1.5', '1s', '', '99999999999']) {
    expect(await rawExchange(client.port, call(`Fairlead-Timeout: ${bad}\r\n`))).toMatch(/^HTTP\/1\.1 400 /)
  }
})

test('time: what is left reaches the app, less what the hops took', async () => {
  const app = await rawApp((socket) => socket.write(OK))
  const { outbound: client } = await twoHops(app)
  await rawExchange(client.port, call('Fairlead-Timeout: 5000\r\n'))
  const left = Number(/fairlead-timeout: (\d+)\r\n/.exec(app.received)![1])
  expect(left).toBeLessThanOrEqual(5_000)
  expect(left).toBeGreaterThan(3_000)
})

test('time: an answer that takes longer than the limit breaks off', async () => {
  const { client } = await scene(
    { timeouts: { requestMs: 150, backendRequestMs: null } },
    (socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome'),
  )
  expect(await rawExchange(client.port, call())).toMatch(/some$/)
  expect(client.recorder.exchanges).toMatchObject([{ status: 200, flag: 'UT', error: 'UPSTREAM_TIMEOUT' }])
})

test('time: one try has its own limit, and another try follows when that is safe', async () => {
  let asked = 0
  const { client } = await scene({ timeouts: { requestMs: 10_000, backendRequestMs: 100 } }, (socket) => {
    if (asked++ > 0) socket.write(OK)
  })
  expect(await rawExchange(client.port, call())).toMatch(/ok$/)
  expect(asked).toBe(2)
})

test('time: an exact instance has no route timeout, because dispatches are streams', async () => {
  const { client } = await scene({ timeouts: { requestMs: 50, backendRequestMs: 50 } }, (socket) => {
    setTimeout(() => socket.write(OK), 300)
  })
  expect(await rawExchange(client.port, call('Fairlead-Instance: one\r\n'))).toMatch(/ok$/)
})

test('headers: nothing that the caller says to the mesh reaches a plain upstream', async () => {
  const { app, client } = await scene()
  await rawExchange(
    client.port,
    call('Fairlead-Quote: q\r\nFairlead-Other: x\r\nX-Forwarded-Client-Cert: URI=x\r\nTE: trailers\r\nX-Mine: y\r\n'),
  )
  expect(app.received).not.toMatch(/fairlead-|client-cert|\r\nte:/)
  expect(app.received).toContain('x-mine: y\r\n')
})

test('headers: a trace context of the caller is continued, a malformed one replaced', async () => {
  const { app, client } = await scene()
  const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
  await rawExchange(client.port, call(`Traceparent: ${parent}\r\nTracestate: a=b\r\nX-Request-Id: my-id\r\n`))
  expect(app.received).toContain(`traceparent: ${parent}\r\n`)
  expect(app.received).toContain('tracestate: a=b\r\n')
  expect(app.received).toContain('x-request-id: my-id\r\n')
  await rawExchange(client.port, call('Traceparent: 00-zz\r\nX-Request-Id: "<script>"\r\n'))
  expect(app.received).toMatch(/traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00\r\n[\s\S]*x-request-id: [0-9a-f]{32}\r\n/)
  expect(app.received).not.toContain('script')
})

test('filters: edit request and response headers, of rule and backend', async () => {
  const edits = { set: [{ name: 'X-Set', value: 's' }], add: [{ name: 'X-Mine', value: 'z' }], remove: ['X-Gone'] }
  const { app, client } = await scene({
    filters: {
      requestHeaders: edits,
      responseHeaders: { set: [], add: [{ name: 'X-Added', value: '1' }], remove: ['server'] },
    },
  })
  const answer = await rawExchange(client.port, call('X-Mine: y\r\nX-Gone: g\r\nX-Set: old\r\n'))
  expect(app.received).toContain('x-mine: y,z\r\n')
  expect(app.received).toContain('x-set: s\r\n')
  expect(app.received).not.toMatch(/x-gone|old/)
  expect(answer).toContain('x-added: 1\r\n')
  expect(answer).not.toContain('server:')
})

test('filters: rewrite path and host', async () => {
  const { app, client } = await scene({
    match: { path: { type: 'PathPrefix', value: '/foo' }, headers: [], query: [] },
    filters: {
      rewrite: { hostname: 'other.example', path: { type: 'ReplacePrefixMatch', prefix: '/foo', value: '/xyz' } },
    },
  })
  await rawExchange(client.port, call('', 'GET /foo/bar?q=1'))
  expect(app.received).toMatch(/^GET \/xyz\/bar\?q=1 HTTP\/1\.1\r\nhost: other\.example\r\n/)
  expect(await rawExchange(client.port, call('', 'GET /food'))).toContain('fairlead-error: ROUTE_NOT_FOUND\r\n')
})

test('filters: redirect without asking any backend', async () => {
  const { app, client } = await scene({
    filters: { redirect: { scheme: 'https', hostname: 'new.example', statusCode: 301 } },
  })
  const answer = await rawExchange(client.port, call('', 'GET /a?b=c'))
  expect(answer).toMatch(/^HTTP\/1\.1 301 Moved Permanently\r\nlocation: https:\/\/new\.example\/a\?b=c\r\n/)
  expect(app.accepted).toBe(0)
})

test('local surface: answers loopback names only, never a foreign origin', async () => {
  const { client } = await scene()
  const local = (more: string): Promise<string> =>
    rawExchange(client.port, `GET /.fairlead/self HTTP/1.1\r\n${more}Connection: close\r\n\r\n`)
  expect(await local('Host: 127.0.0.1:1\r\n')).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*"path":"\/\.fairlead\/self"/)
  expect(await local('Host: rebound.example\r\n')).toContain('HOST_NOT_ALLOWED')
  expect(await local('Host: app.mesh\r\n')).toContain('HOST_NOT_ALLOWED')
  expect(await local('Host: localhost\r\nOrigin: https://evil.example\r\n')).toContain('FOREIGN_ORIGIN')
})

test('drain: what is in flight is finished and told to close; idle connections close; new ones are refused', async () => {
  let answer: () => void = silent
  const { client } = await scene({}, (socket) => {
    answer = () => void socket.write(OK)
  })
  const idle = createConnection({ port: client.port })
  onTestFinished(() => void idle.destroy())
  await new Promise<void>((resolve) => idle.once('connect', resolve))
  const idleClosed = new Promise<void>((resolve) => idle.once('close', () => resolve()))
  idle.resume()
  const busy = rawExchange(client.port, 'GET / HTTP/1.1\r\nHost: app.mesh\r\n\r\n')
  await expect.poll(() => client.active).toBe(1)
  const drained = client.drain()
  await idleClosed
  await expect(rawExchange(client.port, call())).rejects.toThrow(/ECONNREFUSED/)
  answer()
  const text = await busy
  expect(text).toMatch(/^HTTP\/1\.1 200 /)
  expect(text).toContain('connection: close\r\n')
  await drained
})

test('table: 503 NOT_READY before the first snapshot', async () => {
  const client = await outbound(tablesOf(undefined))
  expect(await rawExchange(client.port, call())).toContain('fairlead-error: NOT_READY\r\n')
})
