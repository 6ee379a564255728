// The pool under bursts: how many handshakes, who waits, who is told when a dial fails.

import { createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import type { ResponseHead } from '../../../proxy/exchange.ts'
import { Pool } from '../../../proxy/transport/pool.ts'
import type { Limits, ResponseSink, UpstreamFailure, UpstreamRequest } from '../../../proxy/transport/seam.ts'
import { listen, rawApp, TestIdentitySource } from '../paths/setup.ts'

const LIMITS: Limits = {
  maxConnections: 100,
  maxPendingRequests: 1_000,
  connectTimeoutMs: 1_000,
  idleTimeoutMs: 60_000,
}
const REQUEST: UpstreamRequest = { method: 'GET', target: '/', host: 'a.mesh', fields: [], body: 0 }
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

function poolOf(limits: Partial<Limits> = {}): Pool {
  const pool = new Pool({ clock: systemClock, identity: new TestIdentitySource() }, '', { ...LIMITS, ...limits })
  onTestFinished(() => pool.destroy())
  return pool
}

const at = (port: number) => ({ key: `127.0.0.1:${port}`, endpoint: { address: '127.0.0.1', port } })

/** One call; resolves with the status, or the code of its failure. */
function send(pool: Pool, port: number): Promise<number | string> {
  return new Promise((resolve) => {
    let status = 0
    const sink: ResponseSink = {
      onHead: (head: ResponseHead) => {
        status = head.status
      },
      onBody: () => undefined,
      onEnd: () => resolve(status),
      onFailure: ({ error, reached }: UpstreamFailure) => resolve(`${error.code} ${reached}`),
      onResponseFlush: () => true,
      onRequestDrain: () => undefined,
    }
    pool.open(at(port), REQUEST, sink).flush()
  })
}

test('pool: a burst of 200 calls is served by at most 16 dials at once', async () => {
  const app = await rawApp((socket) => socket.write(OK))
  const pool = poolOf()
  const results = Promise.all(Array.from({ length: 200 }, () => send(pool, app.port)))
  expect(pool.connections).toBe(16)
  expect(new Set(await results)).toEqual(new Set([200]))
  expect(app.accepted).toBeLessThanOrEqual(100)
})

test('pool: never more connections than the limit, and everybody is served', async () => {
  const app = await rawApp((socket) => socket.write(OK))
  const pool = poolOf({ maxConnections: 3 })
  const results = await Promise.all(Array.from({ length: 50 }, () => send(pool, app.port)))
  expect(new Set(results)).toEqual(new Set([200]))
  expect(app.accepted).toBe(3)
})

test('pool: everybody in line is told when the endpoint does not accept connections', async () => {
  const server = createServer()
  const port = await listen(server)
  await new Promise((resolve) => server.close(resolve))
  const pool = poolOf()
  const results = await Promise.all(Array.from({ length: 100 }, () => send(pool, port)))
  expect(new Set(results)).toEqual(new Set(['UPSTREAM_CONNECT_FAILED false']))
  await expect.poll(() => [pool.connections, pool.pending]).toEqual([0, 0])
})

test('pool: calls beyond the line are refused at once, and the line is served later', async () => {
  const sockets: Socket[] = []
  const app = await rawApp((socket) => void sockets.push(socket))
  const pool = poolOf({ maxConnections: 1, maxPendingRequests: 2 })
  const first = send(pool, app.port)
  await expect.poll(() => sockets.length).toBe(1)
  const inLine = [send(pool, app.port), send(pool, app.port)]
  expect(await send(pool, app.port)).toBe('UPSTREAM_SATURATED false')
  for (let served = 1; served <= 3; served++) {
    await expect.poll(() => sockets.length).toBe(served)
    sockets.at(-1)!.write(OK)
  }
  expect(await Promise.all([first, ...inLine])).toEqual([200, 200, 200])
})

test('pool: an idle connection of another endpoint gives way at the limit', async () => {
  const [one, two] = [await rawApp((socket) => socket.write(OK)), await rawApp((socket) => socket.write(OK))]
  const pool = poolOf({ maxConnections: 1 })
  for (const { port } of [one, two, one, two]) expect(await send(pool, port)).toBe(200)
  expect([one.accepted, two.accepted]).toEqual([2, 2])
})

test('pool: idle connections close after their time, and the next call opens another', async () => {
  const app = await rawApp((socket) => socket.write(OK))
  const pool = poolOf({ idleTimeoutMs: 0 })
  expect(await send(pool, app.port)).toBe(200)
  expect(await send(pool, app.port)).toBe(200)
  expect(app.accepted).toBe(1)
  pool.sweep()
  await expect.poll(() => pool.connections).toBe(0)
  expect(await send(pool, app.port)).toBe(200)
  expect(app.accepted).toBe(2)
})

test('pool: a call that was aborted in line leaves it, and what was dialled serves the next', async () => {
  const app = await rawApp((socket) => socket.write(OK))
  const pool = poolOf()
  const never: ResponseSink = {
    onHead: () => expect.unreachable(),
    onBody: () => expect.unreachable(),
    onEnd: () => expect.unreachable(),
    onFailure: () => expect.unreachable(),
    onResponseFlush: () => true,
    onRequestDrain: () => undefined,
  }
  const call = pool.open(at(app.port), REQUEST, never)
  call.abort()
  expect(pool.pending).toBe(0)
  expect(await send(pool, app.port)).toBe(200)
  expect(app.accepted).toBeLessThanOrEqual(2)
})
