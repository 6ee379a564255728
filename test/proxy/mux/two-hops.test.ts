// The mux in its place: app → outbound ═mux═ inbound → app. Sharing, fallback, drain, rotation, refusals that are repeated.

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { parseSnapshot } from '../../../mesh-config/snapshot.ts'
import { helloFrame } from '../../../proxy/mux/hello.ts'
import { frameHead, goAwayFrame, HELLO, REQUEST, RESPONSE, resetFrame, u8, u16 } from '../../../proxy/mux/wire.ts'
import {
  backendOf,
  identityOf,
  inbound,
  listen,
  outbound,
  policyOf,
  rawExchange,
  sharedPki,
  snapshotOf,
  TestIdentitySource,
  tablesOf,
  twoHops,
} from '../paths/setup.ts'
import { type RawPeer, rawServer } from './raw-peer.ts'

type App = (request: IncomingMessage, response: ServerResponse) => void

async function appOf(app: App): Promise<{ port: number }> {
  const server = createServer(app)
  const port = await listen(server)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port }
}

const echo: App = (req, res) => {
  const pieces: Buffer[] = []
  req.on('data', (piece: Buffer) => pieces.push(piece))
  req.on('end', () => res.end(Buffer.concat(pieces)))
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: IncomingMessage['headers']
}

function call(
  port: number,
  options: { method?: string; path?: string; body?: string; headers?: Record<string, string> } = {},
) {
  return new Promise<Answer>((resolve, reject) => {
    const headers = { host: 'app.mesh', ...options.headers }
    const req = request(
      { port, path: options.path ?? '/', method: options.method ?? 'GET', headers, agent: false },
      (res) => {
        let body = ''
        res.on('data', (piece) => {
          body += piece
        })
        res.on('end', () => resolve({ status: res.statusCode ?? 0, body, headers: res.headers }))
        res.on('error', reject)
      },
    )
    req.on('error', reject)
    req.end(options.body)
  })
}

const opened = (connections: readonly string[]): number =>
  connections.filter((line) => line === 'inbound opened').length

test('mux: requests that run at the same time share one connection', async () => {
  const waiting: ServerResponse[] = []
  const app = await appOf((_, res) => void waiting.push(res))
  const { outbound: out, inbound: server } = await twoHops(app)
  const answers = Array.from({ length: 50 }, () => call(out.port))
  await expect.poll(() => waiting.length).toBe(50)
  expect(opened(server.recorder.connections)).toBe(1)
  for (const res of waiting) res.end('ok')
  for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ status: 200, body: 'ok' })
})

test('mux: a second connection is opened when the first has all the streams it may have', async () => {
  const waiting: ServerResponse[] = []
  const app = await appOf((_, res) => void waiting.push(res))
  const { outbound: out, inbound: server } = await twoHops(app)
  const answers = Array.from({ length: 300 }, () => call(out.port))
  await expect.poll(() => waiting.length, { timeout: 5_000 }).toBe(300)
  expect(opened(server.recorder.connections)).toBe(2)
  for (const res of waiting) res.end('ok')
  expect((await Promise.all(answers)).filter(({ status }) => status !== 200)).toEqual([])
})

test.each([
  ['the inbound does not speak it', { inbound: { mux: false } }],
  ['the outbound does not speak it', { outbound: { mux: false } }],
])('mux: HTTP/1.1 is spoken between sidecars when %s', async (_, options) => {
  const app = await appOf(echo)
  const { outbound: out, inbound: server } = await twoHops(app, options)
  for (let i = 0; i < 5; i++) {
    expect(await call(out.port, { method: 'POST', body: `body ${i}` })).toMatchObject({
      status: 200,
      body: `body ${i}`,
    })
  }
  expect(opened(server.recorder.connections)).toBe(1)
})

test('mux: bodies of every size and framing arrive whole, in both directions', async () => {
  const app = await appOf(echo)
  const { outbound: out } = await twoHops(app)
  const sizes = [0, 1, 4_095, 16_384, 16_385, 65_536, 65_537, 300_000, 5_000_000]
  await Promise.all(
    sizes.flatMap((size) => {
      const body = Buffer.alloc(size, 'abcdefghij').toString()
      const chunked = { 'transfer-encoding': 'chunked' }
      return [
        call(out.port, { method: 'POST', body }).then((answer) => expect(answer.body === body).toBe(true)),
        call(out.port, { method: 'POST', body, headers: chunked }).then((answer) =>
          expect(answer.body === body).toBe(true),
        ),
      ]
    }),
  )
})

test('mux: HEAD says the length of the body and has none; 204 and 304 have none', async () => {
  const app = await appOf((req, res) => {
    if (req.method === 'HEAD') res.writeHead(200, { 'content-length': 17 }).end()
    else res.writeHead(req.url === '/204' ? 204 : 304, { etag: '"x"' }).end()
  })
  const { outbound: out } = await twoHops(app)
  const head = await call(out.port, { method: 'HEAD' })
  expect(head).toMatchObject({ status: 200, body: '' })
  expect(head.headers['content-length']).toBe('17')
  expect(await call(out.port, { path: '/204' })).toMatchObject({ status: 204, body: '' })
  expect(await call(out.port, { path: '/304' })).toMatchObject({ status: 304, body: '' })
})

test('mux: small requests are answered while a large body passes', async () => {
  const total = 200 * 1024 * 1024
  let sent = 0
  const app = await appOf((req, res) => {
    if (req.url === '/small') return void res.end('small')
    const piece = Buffer.alloc(256 * 1024)
    const pump = (): void => {
      while (sent < total) {
        sent += piece.length
        if (!res.write(piece)) return void res.once('drain', pump)
      }
      res.end()
    }
    pump()
  })
  const { outbound: out, inbound: server } = await twoHops(app)
  let done = false
  const large = new Promise<number>((resolve, reject) => {
    request({ port: out.port, path: '/large', headers: { host: 'app.mesh' }, agent: false }, (res) => {
      let got = 0
      res.on('data', (chunk: Buffer) => {
        got += chunk.length
      })
      res.on('end', () => {
        done = true
        resolve(got)
      })
    })
      .on('error', reject)
      .end()
  })
  await expect.poll(() => sent > 1024 * 1024).toBe(true)
  let answered = 0
  for (; !done && answered < 10; answered++) expect((await call(out.port, { path: '/small' })).body).toBe('small')
  expect(answered).toBe(10)
  expect(opened(server.recorder.connections)).toBe(1)
  expect(await large).toBe(total)
}, 60_000)

test('mux: an answer that the app breaks off breaks only that one client', async () => {
  const app = await appOf((req, res) => {
    if (req.url !== '/broken') return void res.end('whole')
    res.writeHead(200, { 'content-length': 100 })
    res.write('half')
    setImmediate(() => res.destroy())
  })
  const { outbound: out, inbound: server } = await twoHops(app)
  await expect(call(out.port, { path: '/broken' })).rejects.toThrow()
  expect((await call(out.port)).body).toBe('whole')
  expect(opened(server.recorder.connections)).toBe(1)
})

test('mux: 10,000 requests at the same time, 500 at once, end without one error', async () => {
  const app = await appOf(echo)
  const { outbound: out, inbound: server } = await twoHops(app, { inbound: { appLimits: { connectTimeoutMs: 5_000 } } })
  const { Agent } = await import('node:http')
  const agent = new Agent({ keepAlive: true })
  onTestFinished(() => agent.destroy())
  let next = 0
  const failures: string[] = []
  const lane = async (): Promise<void> => {
    while (next < 10_000) {
      const n = next++
      const body = `body ${n} ${'x'.repeat(n % 700)}`
      const text = await new Promise<string>((resolve) => {
        const req = request(
          { agent, port: out.port, method: 'POST', path: `/n/${n}`, headers: { host: 'app.mesh' } },
          (res) => {
            let got = ''
            res.on('data', (piece) => {
              got += piece
            })
            res.on('end', () => resolve(res.statusCode === 200 ? got : `status ${res.statusCode} ${got}`))
          },
        )
        req.on('error', (error) => resolve(error.message))
        req.end(body)
      })
      if (text !== body) failures.push(`${n}: ${text.slice(0, 200)}`)
    }
  }
  await Promise.all(Array.from({ length: 500 }, lane))
  expect(failures).toEqual([])
  expect(server.recorder.exchanges).toHaveLength(10_000)
}, 120_000)

test('mux: no request fails when a sidecar drains under load and another instance is there', async () => {
  const app = await appOf((_, res) => void setImmediate(() => res.end('ok')))
  const pki = await sharedPki()
  const source = new TestIdentitySource(await identityOf(pki, 'app'))
  const first = await inbound(app, source, { instance: 'app-1', limits: { drainGraceMs: 50 } })
  const second = await inbound(app, source, { instance: 'app-2' })
  const endpoints = [
    { instance: 'app-1', port: first.port },
    { instance: 'app-2', port: second.port },
  ]
  const backend = backendOf('app', endpoints, { identity: `spiffe://${pki.trustDomain}/ns/default/sa/app` })
  const tables = tablesOf(snapshotOf({ backends: [backend] }))
  const out = await outbound(tables, { identity: new TestIdentitySource(await identityOf(pki, 'caller')) })
  let running = true
  const statuses: string[] = []
  const lane = async (): Promise<void> => {
    while (running) {
      const { status, headers } = await call(out.port, { method: 'POST', body: 'x' })
      statuses.push(`${status} ${headers['fairlead-error'] ?? ''}`)
    }
  }
  const lanes = Array.from({ length: 16 }, lane)
  await expect.poll(() => first.recorder.exchanges.length > 50 && second.recorder.exchanges.length > 50).toBe(true)
  const drained = first.drain()
  // Discovery hears of it a moment later: until then the endpoint is still picked.
  await new Promise((resolve) => setImmediate(resolve))
  const left = { ...backend, endpoints: backend.endpoints.filter(({ instance }) => instance !== 'app-1') }
  tables.swap(parseSnapshot(snapshotOf({ version: '2', backends: [left] })))
  await drained
  const before = statuses.length
  await expect.poll(() => statuses.length > before + 100).toBe(true)
  running = false
  await Promise.all(lanes)
  expect(statuses.filter((status) => status !== '200 ')).toEqual([])
}, 30_000)

test('mux: the old connection ends with its streams and new ones use the new certificate after a rotation', async () => {
  const waiting: ServerResponse[] = []
  const app = await appOf((req, res) => void (req.url === '/held' ? waiting.push(res) : res.end('ok')))
  const pki = await sharedPki()
  const identity = new TestIdentitySource(await identityOf(pki, 'caller'))
  const { outbound: out, inbound: server } = await twoHops(app, { outbound: { identity } })
  const held = call(out.port, { path: '/held' })
  await expect.poll(() => waiting.length).toBe(1)
  identity.swap(await identityOf(pki, 'caller'))
  expect(await call(out.port)).toMatchObject({ status: 200, body: 'ok' })
  expect(opened(server.recorder.connections)).toBe(2)
  waiting[0]!.end('late')
  expect(await held).toMatchObject({ status: 200, body: 'late' })
  await expect.poll(() => server.connections, { timeout: 3_000 }).toBe(1)
})

test('mux: an idle connection gives way to another endpoint, and a busy one when it ends, at maxConnections', async () => {
  const waiting: ServerResponse[] = []
  const app = await appOf((req, res) => void (req.url === '/held' ? waiting.push(res) : res.end('ok')))
  const pki = await sharedPki()
  const source = new TestIdentitySource(await identityOf(pki, 'app'))
  const one = await inbound(app, source, { instance: 'one' })
  const two = await inbound(app, source, { instance: 'two' })
  const endpoints = [
    { instance: 'one', port: one.port },
    { instance: 'two', port: two.port },
  ]
  const limits = { maxConnections: 1, maxPendingRequests: 10, maxRequests: 10 }
  const identity = `spiffe://${pki.trustDomain}/ns/default/sa/app`
  const backend = backendOf('app', endpoints, { identity, policy: policyOf({ limits }) })
  const out = await outbound(tablesOf(snapshotOf({ backends: [backend] })), {
    identity: new TestIdentitySource(await identityOf(pki, 'caller')),
  })
  const to = (instance: string, path = '/') => call(out.port, { path, headers: { 'fairlead-instance': instance } })
  for (const instance of ['one', 'two', 'one', 'two']) expect(await to(instance)).toMatchObject({ status: 200 })
  expect([opened(one.recorder.connections), opened(two.recorder.connections)]).toEqual([2, 2])
  const held = to('one', '/held')
  await expect.poll(() => waiting.length).toBe(1)
  const next = [to('two'), to('two'), to('two')]
  await expect.poll(() => out.active).toBe(4)
  waiting[0]!.end('late')
  expect(await held).toMatchObject({ status: 200, body: 'late' })
  for (const answer of await Promise.all(next)) expect(answer).toMatchObject({ status: 200 })
  expect([opened(one.recorder.connections), opened(two.recorder.connections)]).toEqual([3, 3])
})

// ── servers made of bytes ─────────────────────────────────────────────────────────────────────────────────────────────

const SERVER_HI = helloFrame({ instance: 'app-1', version: 'v1', wanted: '' })
const ok = (stream: number): string => {
  const head = u16(200) + u8(1) + u16(0) + u16(0) + u16(2)
  return `${frameHead(head.length, RESPONSE, 0, stream)}${head}${frameHead(2, 4, 0, stream)}ok`
}

/** An outbound whose only endpoint is `script`. */
async function against(script: (peer: RawPeer, nth: number) => void, alpn?: string[]) {
  const pki = await sharedPki()
  let count = 0
  const server = await rawServer(await identityOf(pki, 'app'), (peer) => script(peer, count++), alpn)
  const backend = backendOf('app', [{ instance: 'app-1', port: server.port }], {
    identity: `spiffe://${pki.trustDomain}/ns/default/sa/app`,
  })
  const out = await outbound(tablesOf(snapshotOf({ backends: [backend] })), {
    identity: new TestIdentitySource(await identityOf(pki, 'caller')),
  })
  return { out, server }
}

test.each([
  ['a stream that was refused', (stream: number) => resetFrame(stream, 'REFUSED')],
  ['a stream above GOAWAY', () => goAwayFrame(0, 'DRAINING')],
])('mux: %s is sent again, POST too, because nothing reached the app', async (_, refusal) => {
  let posts = 0
  const { out } = await against((peer) => {
    peer.say(SERVER_HI)
    peer.onFrame = (frame) => {
      if (frame.type === REQUEST) peer.say(++posts === 1 ? refusal(frame.stream) : ok(frame.stream))
    }
  })
  expect(await call(out.port, { method: 'POST', body: 'x' })).toMatchObject({ status: 200, body: 'ok' })
  expect(posts).toBe(2)
})

test('mux: a POST is not sent again when its stream broke after it was taken', async () => {
  let posts = 0
  const { out } = await against((peer) => {
    peer.say(SERVER_HI)
    peer.onFrame = (frame) => {
      if (frame.type !== REQUEST) return
      posts++
      peer.say(resetFrame(frame.stream, 'BROKEN'))
    }
  })
  const answer = await call(out.port, { method: 'POST', body: 'x' })
  expect(answer).toMatchObject({ status: 503 })
  expect(answer.headers['fairlead-error']).toBe('UPSTREAM_RESET')
  expect(posts).toBe(1)
})

test('mux: the hello says who calls and which instance is meant', async () => {
  const { out, server } = await against((peer) => {
    peer.say(SERVER_HI)
    peer.onFrame = (frame) => {
      if (frame.type === REQUEST) peer.say(ok(frame.stream))
    }
  })
  await call(out.port)
  const hello = server.peers[0]!.frames[0]!
  expect(hello.type).toBe(HELLO)
  expect(hello.payload.toString('latin1')).toBe('\x01\x05app-1\x02v1\x05app-1')
})

test('mux: 503 ENDPOINT_MISMATCH when another instance took the port over, and its app sees nothing', async () => {
  const seen: string[] = []
  const app = await appOf((req, res) => {
    seen.push(req.url ?? '')
    res.end('wrong')
  })
  const { outbound: out } = await twoHops(app, { inbound: { instance: 'somebody-else' } })
  const answer = await rawExchange(
    out.port,
    'POST / HTTP/1.1\r\nHost: app.mesh\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx',
  )
  expect(answer).toContain('fairlead-error: ENDPOINT_MISMATCH\r\n')
  expect(seen).toEqual([])
})

test.each([
  ['a response head that is none', (stream: number) => `${frameHead(1, RESPONSE, 0, stream)}x`],
  ['an unknown frame', () => frameHead(0, 99, 0, 1)],
  ['a request from the server', (stream: number) => `${frameHead(1, REQUEST, 0, stream)}x`],
  ['DATA before the head', (stream: number) => `${frameHead(1, 4, 0, stream)}x`],
])('mux: 502 or 503, and the next request is served, when the peer sends %s', async (_, bytes) => {
  let first = true
  const { out } = await against((peer) => {
    peer.say(SERVER_HI)
    peer.onFrame = (frame) => {
      if (frame.type !== REQUEST) return
      peer.say(first ? bytes(frame.stream) : ok(frame.stream))
      first = false
    }
  })
  expect((await call(out.port, { method: 'POST', body: 'x' })).status).toBeGreaterThanOrEqual(502)
  expect(await call(out.port)).toMatchObject({ status: 200, body: 'ok' })
})
