// Revoked peers on the data path: no new connection, and none that lives on.

import { X509Certificate } from 'node:crypto'
import { createServer } from 'node:http'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { certificatesToPem } from '../../../certs/pem.ts'
import { serialText } from '../../../certs/revoked.ts'
import { parseSnapshot } from '../../../mesh-config/snapshot.ts'
import type { Identity } from '../../../proxy/exchange.ts'
import {
  identityOf,
  inbound,
  listen,
  rawApp,
  rawExchange,
  sharedPki,
  snapshotOf,
  TestIdentitySource,
  tablesOf,
  twoHops,
} from './setup.ts'

const GET = 'GET /x HTTP/1.1\r\nHost: app.mesh\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const serialOf = (identity: Identity): string => serialText(new X509Certificate(identity.chainPem).serialNumber)

async function scene() {
  const pki = await sharedPki()
  const app = await rawApp((socket) => socket.write(OK))
  const tables = tablesOf(snapshotOf({}))
  const server = await inbound(app, new TestIdentitySource(await identityOf(pki, 'app')), {}, tables)
  const revoke = (revoked: { serials: string[]; ids: string[] }): void => {
    tables.swap(parseSnapshot(snapshotOf({ version: '2', revoked })))
  }
  return { pki, app, server, revoke }
}

function connect(port: number, identity: Identity, roots: readonly Uint8Array[]) {
  const ca = certificatesToPem(roots)
  const options = { port, key: identity.keyPem, cert: identity.chainPem, ca, checkServerIdentity: () => undefined }
  const socket: TLSSocket = connectTls(options)
  const seen = { text: '', closed: false }
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  socket.on('data', (chunk) => {
    seen.text += String(chunk)
  })
  socket.on('close', () => {
    seen.closed = true
  })
  socket.on('secureConnect', () => socket.write(GET))
  return { socket, seen }
}

test.each(['serials', 'ids'] as const)(
  'inbound: cuts a live connection, and takes no new one, when its peer is among the revoked %s',
  async (kind) => {
    const { pki, app, server, revoke } = await scene()
    const thief = await identityOf(pki, 'thief')
    const honest = await identityOf(pki, 'honest')
    const [bad, good] = [connect(server.port, thief, pki.bundle), connect(server.port, honest, pki.bundle)]
    await expect.poll(() => [bad.seen.text, good.seen.text].every((text) => text.startsWith('HTTP/1.1 200'))).toBe(true)
    revoke(kind === 'ids' ? { serials: [], ids: [thief.spiffeId] } : { serials: [serialOf(thief)], ids: [] })
    await expect.poll(() => bad.seen.closed, { timeout: 10_000 }).toBe(true)
    const accepted = app.received
    const again = connect(server.port, thief, pki.bundle)
    await expect.poll(() => again.seen.closed).toBe(true)
    expect(again.seen.text).toBe('')
    expect(app.received).toBe(accepted)
    expect(server.recorder.connections).toContain('inbound refused REVOKED')
    good.socket.write(GET)
    await expect.poll(() => good.seen.text.split('HTTP/1.1 200').length).toBe(3)
    expect(good.seen.closed).toBe(false)
  },
)

test('outbound: calls no revoked peer, on live connections neither', async () => {
  let calls = 0
  const server = createServer((_request, response) => {
    calls++
    response.end('ok')
  })
  const port = await listen(server)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { outbound, inbound: own, tables } = await twoHops({ port })
  const ask = (): Promise<string> =>
    rawExchange(outbound.port, 'GET / HTTP/1.1\r\nHost: app.mesh\r\nConnection: close\r\n\r\n')
  expect(await ask()).toMatch(/^HTTP\/1\.1 200/)
  expect(own.connections).toBe(1)
  const snapshot = tables.current!.snapshot
  tables.swap({
    ...snapshot,
    version: '2',
    revoked: { serials: [], ids: ['spiffe://fairlead.local/ns/default/sa/app'] },
  })
  await expect.poll(() => own.connections, { timeout: 5_000 }).toBe(0)
  const refused = await ask()
  expect(refused).toMatch(/^HTTP\/1\.1 503/)
  expect(refused).toContain('fairlead-error: UPSTREAM_TLS')
  expect(calls).toBe(1)
})
