// The whole way: app → outbound ═mTLS═ inbound → app, over real sockets and TLS.

import { createServer, request } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { listen, rawExchange, twoHops } from './setup.ts'

async function echoApp(): Promise<{ port: number; seen: { headers: Record<string, unknown>; url: string }[] }> {
  const seen: { headers: Record<string, unknown>; url: string }[] = []
  const server = createServer((req, res) => {
    seen.push({ headers: req.headers, url: req.url ?? '' })
    const pieces: Buffer[] = []
    req.on('data', (piece: Buffer) => pieces.push(piece))
    req.on('end', () => {
      const body = Buffer.concat(pieces)
      res.writeHead(200, { 'content-length': String(body.length), 'x-app': 'echo' })
      res.end(body)
    })
  })
  const port = await listen(server)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port, seen }
}

test('two hops: carries a request and its answer when called by Host', async () => {
  const app = await echoApp()
  const { outbound } = await twoHops(app)
  const answer = await rawExchange(
    outbound.port,
    'POST /hello?x=1 HTTP/1.1\r\nHost: app.mesh\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello',
  )
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(answer).toContain('fairlead-backend: app\r\n')
  expect(answer).toContain('fairlead-instance: app-1\r\n')
  expect(answer.endsWith('\r\n\r\nhello')).toBe(true)
  expect(app.seen[0]!.url).toBe('/hello?x=1')
  expect(app.seen[0]!.headers['host']).toBe('app.mesh')
  expect(app.seen[0]!.headers['x-forwarded-client-cert']).toMatch(
    /^By=spiffe:\/\/fairlead\.local\/ns\/default\/sa\/app;Hash=[0-9a-f]{64};URI=spiffe:\/\/fairlead\.local\/ns\/default\/sa\/caller$/,
  )
  expect(outbound.recorder.exchanges[0]).toMatchObject({
    status: 200,
    flag: '-',
    backend: 'app',
    bytesIn: 5,
    bytesOut: 5,
  })
})

test('two hops: 10,000 requests end without one error when sent over 32 connections', async () => {
  const app = await echoApp()
  const { outbound, inbound } = await twoHops(app)
  const total = 10_000
  let sent = 0
  const failures: string[] = []
  const lane = async (): Promise<void> => {
    const { Agent } = await import('node:http')
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (sent < total) {
      const n = sent++
      await new Promise<void>((resolve) => {
        const req = request(
          { agent, port: outbound.port, path: `/n/${n}`, headers: { host: 'app.mesh' }, method: 'POST' },
          (res) => {
            let text = ''
            res.on('data', (piece) => {
              text += piece
            })
            res.on('end', () => {
              if (res.statusCode !== 200 || text !== `body ${n}`) failures.push(`${n}: ${res.statusCode} ${text}`)
              resolve()
            })
          },
        )
        req.on('error', (error) => {
          failures.push(`${n}: ${error.message}`)
          resolve()
        })
        req.end(`body ${n}`)
      })
    }
    agent.destroy()
  }
  await Promise.all(Array.from({ length: 32 }, lane))
  expect(failures).toEqual([])
  expect(outbound.recorder.exchanges).toHaveLength(total)
  expect(inbound.recorder.exchanges.filter(({ status }) => status !== 200)).toEqual([])
}, 60_000)
