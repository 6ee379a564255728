// Hostile requests against the outbound and inbound listeners: 400, closed, and the app sees nothing.

import { connect as connectTls } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { certificatesToPem } from '../../../certs/pem.ts'
import {
  backendOf,
  identityOf,
  inbound,
  outbound,
  rawApp,
  rawExchange,
  sharedPki,
  snapshotOf,
  TestIdentitySource,
  tablesOf,
} from './setup.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

async function scene() {
  const app = await rawApp((socket) => socket.write(OK))
  const client = await outbound(
    tablesOf(snapshotOf({ backends: [backendOf('app', [{ instance: 'app-1', port: app.port }])] })),
  )
  return { app, client }
}

const HOSTILE: [string, string][] = [
  [
    'Content-Length and Transfer-Encoding',
    'POST / HTTP/1.1\r\nHost: app.mesh\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['two Content-Lengths', 'POST / HTTP/1.1\r\nHost: app.mesh\r\nContent-Length: 3\r\nContent-Length: 30\r\n\r\nabc'],
  ['a bare LF', 'GET / HTTP/1.1\nHost: app.mesh\n\n'],
  ['a folded header', 'GET / HTTP/1.1\r\nHost: app.mesh\r\nX: a\r\n b\r\n\r\n'],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: app.mesh\r\nHost: other.mesh\r\n\r\n'],
  ['a space before the colon', 'POST / HTTP/1.1\r\nHost: app.mesh\r\nContent-Length : 3\r\n\r\nabc'],
  ['Transfer-Encoding ,chunked', 'POST / HTTP/1.1\r\nHost: app.mesh\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n'],
  ['a NUL', 'GET / HTTP/1.1\r\nHost: app.mesh\r\nX: a\0b\r\n\r\n'],
  ['a bad chunk size', 'POST / HTTP/1.1\r\nHost: app.mesh\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'],
  ['a bad chunk end', 'POST / HTTP/1.1\r\nHost: app.mesh\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n'],
  ['a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['a path that climbs out', 'GET /%2e%2e/admin HTTP/1.1\r\nHost: app.mesh\r\n\r\n'],
]

test.each(HOSTILE)('outbound: 400, closed, nothing upstream when the request has %s', async (_offence, text) => {
  const { app, client } = await scene()
  // What stands behind the offence must not be taken for a request.
  const answer = await rawExchange(client.port, `${text}GET /smuggled HTTP/1.1\r\nHost: app.mesh\r\n\r\n`)
  expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
  expect(answer.match(/HTTP\/1\.1 \d{3}/g)).toHaveLength(1)
  expect(answer).toContain('connection: close\r\n')
  expect(answer).toContain('fairlead-error: BAD_REQUEST\r\n')
  expect(app.accepted).toBe(0)
  expect(client.recorder.exchanges).toMatchObject([{ status: 400, flag: 'DPE', error: 'BAD_REQUEST' }])
})

test('outbound: 400 also when the offence comes in single bytes', async () => {
  const { app, client } = await scene()
  const [, text] = HOSTILE[3]!
  const { createConnection } = await import('node:net')
  const socket = createConnection({ port: client.port, noDelay: true })
  onTestFinished(() => void socket.destroy())
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk.toString()
  })
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => undefined)
  for (const byte of text) {
    if (socket.destroyed) break
    await new Promise((resolve) => socket.write(byte, 'latin1', resolve))
  }
  await ended
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  expect(app.accepted).toBe(0)
})

test('outbound: an offence in a later chunk breaks the upstream request and answers 400', async () => {
  const app = await rawApp(() => undefined)
  const client = await outbound(
    tablesOf(snapshotOf({ backends: [backendOf('app', [{ instance: 'app-1', port: app.port }])] })),
  )
  const { createConnection } = await import('node:net')
  const socket = createConnection({ port: client.port })
  onTestFinished(() => void socket.destroy())
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk.toString()
  })
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.write('POST / HTTP/1.1\r\nHost: app.mesh\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
  await expect.poll(() => app.received).toContain('3\r\nabc\r\n')
  socket.write('ZZ\r\n')
  await ended
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  await expect.poll(() => app.sockets[0]!.destroyed).toBe(true)
  expect(app.received).not.toContain('0\r\n\r\n')
})

test('outbound: 431 and closed when the head is too large', async () => {
  const { app, client } = await scene()
  const answer = await rawExchange(client.port, `GET / HTTP/1.1\r\nHost: app.mesh\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`)
  expect(answer).toMatch(/^HTTP\/1\.1 431 /)
  expect(app.accepted).toBe(0)
})

test('outbound: 408 and closed when the head does not end in time, and silence when nothing came at all', async () => {
  const app = await rawApp(() => undefined)
  const client = await outbound(
    tablesOf(snapshotOf({ backends: [backendOf('app', [{ instance: 'a', port: app.port }])] })),
    {
      limits: { headTimeoutMs: 200 },
    },
  )
  expect(await rawExchange(client.port, 'GET / HTTP/1.1\r\nHost: app')).toMatch(/^HTTP\/1\.1 408 /)
  expect(await rawExchange(client.port, '')).toBe('')
})

test.each([
  ['CONNECT', 'CONNECT app.mesh:80 HTTP/1.1\r\nHost: app.mesh:80\r\n\r\n'],
  ['a WebSocket upgrade', 'GET / HTTP/1.1\r\nHost: app.mesh\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
])('outbound: 501 when the request is %s', async (_what, text) => {
  const { app, client } = await scene()
  const answer = await rawExchange(client.port, text, (got) => got.includes('}'))
  expect(answer).toMatch(/^HTTP\/1\.1 501 Not Implemented\r\n/)
  expect(answer).toContain('"code":"UNSUPPORTED"')
  expect(app.accepted).toBe(0)
})

test.each([
  'example.com',
  '169.254.169.254',
  '[fe80::1]',
  '[::ffff:169.254.169.254]',
  'metadata.google.internal',
  '127.0.0.1:15000',
  'localhost',
])('outbound: 403 EGRESS_DENIED when the authority is %s', async (host) => {
  const { client } = await scene()
  const answer = await rawExchange(client.port, `GET /latest HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  expect(answer).toMatch(/^HTTP\/1\.1 403 /)
  expect(answer).toContain('EGRESS_DENIED')
})

test('outbound: 403 for a metadata address even when a Service names it', async () => {
  const backend = backendOf('meta', [{ instance: 'm', port: 80 }])
  const services = [{ ...snapshotOf({ backends: [backend] }).services[0]!, aliases: ['169.254.169.254'] }]
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend], services })))
  const answer = await rawExchange(client.port, 'GET / HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n')
  expect(answer).toContain('EGRESS_DENIED')
})

test('outbound: 403 when a static endpoint is a link-local address or a listener of the sidecar itself', async () => {
  const linkLocal = backendOf('ll', [{ instance: 'm', port: 80 }])
  linkLocal.endpoints[0]!.address = '169.254.1.1'
  const own = backendOf('own', [{ instance: 'o', port: 19_999 }])
  const client = await outbound(tablesOf(snapshotOf({ backends: [linkLocal, own] })), { ownPorts: () => [19_999] })
  for (const host of ['ll.mesh', 'own.mesh']) {
    const answer = await rawExchange(client.port, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 403 /)
    expect(answer).toContain('EGRESS_DENIED')
  }
})

test.each(HOSTILE)('inbound: 400, closed, nothing to the app when a verified peer sends %s', async (_offence, text) => {
  const pki = await sharedPki()
  const app = await rawApp((socket) => socket.write(OK))
  const server = await inbound(app, new TestIdentitySource(await identityOf(pki, 'app')))
  const caller = await identityOf(pki, 'caller')
  const socket = connectTls({
    port: server.port,
    key: caller.keyPem,
    cert: caller.chainPem,
    ca: certificatesToPem(pki.bundle),
    checkServerIdentity: () => undefined,
  })
  onTestFinished(() => void socket.destroy())
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1')
  })
  socket.on('error', () => undefined)
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.write(Buffer.from(text, 'latin1'))
  await ended
  expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
  expect(app.accepted).toBe(0)
})
