// Who may talk to the inbound listener: the app's accept counter stays 0 for everybody else.

import { createConnection } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { certificatesToPem } from '../../../certs/pem.ts'
import type { Identity } from '../../../proxy/exchange.ts'
import { foreignPki, testPki } from '../../support/pki.ts'
import {
  backendOf,
  identityOf,
  inbound,
  inboundOf,
  outbound,
  rawApp,
  rawExchange,
  sharedPki,
  snapshotOf,
  TestIdentitySource,
  tablesOf,
} from './setup.ts'

const REQUEST = 'GET /x HTTP/1.1\r\nHost: app.mesh\r\nConnection: close\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

async function scene(options: Parameters<typeof inbound>[2] = {}, tables = tablesOf(snapshotOf({}))) {
  const pki = await sharedPki()
  const app = await rawApp((socket) => socket.write(OK))
  const source = new TestIdentitySource(await identityOf(pki, 'app'))
  const server = await inbound(app, source, options, tables)
  return { pki, app, server, source }
}

/** What a TLS client with this identity gets; '' when the connection was cut. */
function tlsExchange(port: number, identity: Identity | undefined, roots: readonly Uint8Array[], text = REQUEST) {
  return new Promise<string>((resolve) => {
    let answer = ''
    const socket = connectTls({
      port,
      ...(identity ? { key: identity.keyPem, cert: identity.chainPem } : {}),
      ca: certificatesToPem(roots),
      checkServerIdentity: () => undefined,
    })
    onTestFinished(() => void socket.destroy())
    socket.on('secureConnect', () => socket.write(text))
    socket.on('data', (chunk) => {
      answer += chunk.toString()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(answer))
  })
}

test('inbound: serves a peer with an X509-SVID of the own trust domain', async () => {
  const { pki, app, server } = await scene()
  const answer = await tlsExchange(server.port, await identityOf(pki, 'caller'), pki.bundle)
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(app.received).toContain('URI=spiffe://fairlead.local/ns/default/sa/caller')
})

test('inbound: a plain-text client never reaches the app', async () => {
  const { app, server } = await scene()
  expect(await rawExchange(server.port, REQUEST)).not.toContain('200')
  await expect.poll(() => server.recorder.connections.some((line) => line.startsWith('inbound refused'))).toBe(true)
  expect(app.accepted).toBe(0)
})

test('inbound: a certificate of another CA never reaches the app', async () => {
  const { pki, app, server } = await scene()
  const foreign = await foreignPki()
  expect(await tlsExchange(server.port, await identityOf(foreign, 'caller'), pki.bundle)).toBe('')
  expect(server.recorder.connections).toContain('inbound refused UNTRUSTED_ROOT')
  expect(app.accepted).toBe(0)
})

test('inbound: a client without certificate never reaches the app', async () => {
  const { pki, app, server } = await scene()
  expect(await tlsExchange(server.port, undefined, pki.bundle)).toBe('')
  expect(server.recorder.connections).toContain('inbound refused CHAIN_EMPTY')
  expect(app.accepted).toBe(0)
})

test('inbound: a certificate of another trust domain never reaches the app', async () => {
  const { pki, app, server } = await scene()
  const other = await testPki('other.local')
  expect(await tlsExchange(server.port, await identityOf(other, 'caller'), pki.bundle)).toBe('')
  expect(app.accepted).toBe(0)
})

test('inbound: an expired certificate never reaches the app', async () => {
  const { pki, app, server } = await scene()
  const old = await pki.issue('caller', { ttlMs: 1_000 })
  const identity: Identity = { ...old, trustDomain: pki.trustDomain, bundleDer: pki.bundle }
  await expect.poll(() => Date.now() > old.notAfter, { timeout: 5_000 }).toBe(true)
  expect(await tlsExchange(server.port, identity, pki.bundle)).toBe('')
  expect(server.recorder.connections).toContain('inbound refused EXPIRED')
  expect(app.accepted).toBe(0)
})

test('inbound: 403 without reaching the app when the policy does not allow the caller', async () => {
  const rule = {
    policy: 'default/only-scheduler',
    action: 'ALLOW' as const,
    principals: ['spiffe://fairlead.local/ns/default/sa/scheduler'],
    namespaces: [],
    methods: [],
    paths: [],
  }
  const tables = tablesOf(snapshotOf({ inbound: inboundOf({ defaultAction: 'deny', rules: [rule] }) }))
  const { pki, app, server } = await scene({}, tables)
  const answer = await tlsExchange(server.port, await identityOf(pki, 'stranger'), pki.bundle)
  expect(answer).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/)
  expect(answer).toContain('fairlead-error: POLICY_DENIED\r\n')
  expect(app.accepted).toBe(0)
  expect(server.recorder.exchanges).toMatchObject([{ status: 403, flag: 'UAEX', error: 'POLICY_DENIED' }])
  const allowed = await tlsExchange(server.port, await identityOf(pki, 'scheduler'), pki.bundle)
  expect(allowed).toMatch(/^HTTP\/1\.1 200 /)
})

test('inbound: 503 and no byte to the app when there is no policy yet', async () => {
  const { pki, app, server } = await scene({ authorizer: () => undefined })
  const answer = await tlsExchange(server.port, await identityOf(pki, 'caller'), pki.bundle)
  expect(answer).toContain('fairlead-error: NOT_READY\r\n')
  expect(app.accepted).toBe(0)
})

test('inbound: 503 ENDPOINT_MISMATCH when the request is meant for another instance', async () => {
  const { pki, app, server } = await scene()
  const text = REQUEST.replace('Connection', 'Fairlead-Instance: app-9\r\nConnection')
  const answer = await tlsExchange(server.port, await identityOf(pki, 'caller'), pki.bundle, text)
  expect(answer).toContain('fairlead-error: ENDPOINT_MISMATCH\r\n')
  expect(app.accepted).toBe(0)
})

test('inbound: what a peer says about clients and identities does not reach the app', async () => {
  const { pki, app, server } = await scene()
  const lies =
    'X-Forwarded-Client-Cert: URI=spiffe://fairlead.local/ns/default/sa/admin\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nFairlead-Quote: q\r\nFairlead-Anything: x\r\nFairlead-Timeout: 9000\r\n'
  await tlsExchange(
    server.port,
    await identityOf(pki, 'caller'),
    pki.bundle,
    REQUEST.replace('Connection', `${lies}Connection`),
  )
  expect(app.received).not.toContain('sa/admin')
  expect(app.received).not.toContain('1.2.3.4')
  expect(app.received).not.toMatch(/fairlead-(quote|anything)/)
  expect(app.received).toMatch(/fairlead-timeout: [0-9]{4}\r\n/)
  expect(app.received).toMatch(/x-forwarded-for: (::ffff:)?(127\.0\.0\.1|::1)\r\n/)
})

test('inbound: what the app claims in the name of the mesh does not reach the peer', async () => {
  const pki = await sharedPki()
  const app = await rawApp((socket) =>
    socket.write('HTTP/1.1 200 OK\r\nFairlead-Error: DRAINING\r\nfairlead-backend: x\r\nContent-Length: 2\r\n\r\nok'),
  )
  const server = await inbound(app, new TestIdentitySource(await identityOf(pki, 'app')))
  const answer = await tlsExchange(server.port, await identityOf(pki, 'caller'), pki.bundle)
  expect(answer).toMatch(/^HTTP\/1\.1 200 /)
  expect(answer.toLowerCase()).not.toContain('fairlead-')
})

test('inbound: new handshakes show the new certificate after a renewal', async () => {
  const { pki, server, source } = await scene()
  const serial = () =>
    new Promise<string>((resolve) => {
      void identityOf(pki, 'caller').then((caller) => {
        const socket = connectTls({
          port: server.port,
          key: caller.keyPem,
          cert: caller.chainPem,
          ca: certificatesToPem(pki.bundle),
          checkServerIdentity: () => undefined,
        })
        socket.on('error', () => undefined)
        socket.on('secureConnect', () => {
          resolve(socket.getPeerCertificate().serialNumber)
          socket.destroy()
        })
      })
    })
  const before = await serial()
  source.swap(await identityOf(pki, 'app'))
  expect(await serial()).not.toBe(before)
})

test('inbound: a half-open handshake is given up after its time', async () => {
  const { app, server } = await scene({ limits: { handshakeTimeoutMs: 200 } })
  const socket = createConnection({ port: server.port })
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.once('close', () => resolve()))
  expect(app.accepted).toBe(0)
})

test('outbound: 503 when the server proves another service, or is of another CA, and the app sees nothing', async () => {
  const pki = await sharedPki()
  const foreign = await foreignPki()
  const app = await rawApp((socket) => socket.write(OK))
  const caller = new TestIdentitySource(await identityOf(pki, 'caller'))
  const expected = 'spiffe://fairlead.local/ns/default/sa/app'
  for (const [identity, code] of [
    [await identityOf(pki, 'imposter'), 'ENDPOINT_MISMATCH'],
    [await identityOf(foreign, 'app'), 'UPSTREAM_TLS'],
  ] as const) {
    const server = await inbound(app, new TestIdentitySource(identity))
    const backend = backendOf('app', [{ instance: 'app-1', port: server.port }], { identity: expected })
    const client = await outbound(tablesOf(snapshotOf({ backends: [backend] })), { identity: caller })
    const answer = await rawExchange(client.port, REQUEST)
    expect(answer).toMatch(/^HTTP\/1\.1 503 /)
    expect(answer).toContain(`fairlead-error: ${code}\r\n`)
  }
  expect(app.accepted).toBe(0)
})

test('outbound: 503 when this sidecar has no certificate yet', async () => {
  const backend = backendOf('app', [{ instance: 'app-1', port: 1 }], {
    identity: 'spiffe://fairlead.local/ns/default/sa/app',
  })
  const client = await outbound(tablesOf(snapshotOf({ backends: [backend] })))
  expect(await rawExchange(client.port, REQUEST)).toContain('fairlead-error: NOT_READY\r\n')
})
