import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import * as tls from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { clientPeerOptions, type PeerOptions, SERVER_PEER_OPTIONS, verifyPeer } from '../../certs/peer.ts'
import type { Verdict } from '../../certs/verify.ts'
import { systemClock } from '../../kernel/clock.ts'
import { foreignPki, type TestIdentity, testPki } from '../support/pki.ts'

const pki = await testPki()
const foreign = await foreignPki()
const worker = await pki.issue('worker')
const scheduler = await pki.issue('scheduler')
const asked: PeerOptions = { now: systemClock.wall(), trustDomain: pki.trustDomain }

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

async function listen(options: tls.TlsOptions = SERVER_PEER_OPTIONS, identity: TestIdentity = worker) {
  const sockets: tls.TLSSocket[] = []
  const server = tls.createServer({ key: identity.keyPem, cert: identity.chainPem, ...options }, (socket) => {
    socket.on('error', () => undefined) // the client leaves as it likes
    sockets.push(socket)
    socket.write('hello')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { server, port: (server.address() as AddressInfo).port, sockets }
}

interface Caller {
  readonly key?: string
  readonly cert?: string
  readonly session?: Buffer
  readonly bundlePem?: string
}

async function connect(port: number, { bundlePem = pki.bundlePem, ...options }: Caller): Promise<tls.TLSSocket> {
  const socket = tls.connect({ host: '127.0.0.1', port, ...clientPeerOptions(bundlePem), ...options })
  closing.push(() => socket.destroy())
  await once(socket, 'data')
  return socket
}

const by = (identity: TestIdentity): Caller => ({ key: identity.keyPem, cert: identity.chainPem })

async function serverSees(caller: Caller, options: PeerOptions = asked): Promise<Verdict> {
  const { port, sockets } = await listen()
  await connect(port, caller)
  return verifyPeer(sockets[0]!, pki.bundle, options)
}

test('peer: both sides know each other when both are of the trust domain', async () => {
  const { port, sockets } = await listen()
  const client = await connect(port, by(scheduler))
  expect(verifyPeer(sockets[0]!, pki.bundle, asked)).toMatchObject({ ok: true, spiffeId: scheduler.spiffeId })
  const seen = verifyPeer(client, pki.bundle, { ...asked, expectId: worker.spiffeId })
  expect(seen).toMatchObject({ ok: true, spiffeId: worker.spiffeId, notAfter: worker.notAfter })
  expect(verifyPeer(client, pki.bundle, asked), 'a second look gives the same').toEqual(seen)
})

test('peer: refused when it has no certificate', async () => {
  expect(await serverSees({})).toMatchObject({ ok: false, reasons: ['CHAIN_EMPTY'] })
})

test('peer: refused when its certificate is of another CA with our names', async () => {
  expect(await serverSees(by(await foreign.issue('scheduler')))).toMatchObject({
    ok: false,
    reasons: ['UNTRUSTED_ROOT'],
  })
})

test('peer: refused when it sends a chain that mixes our intermediate with a foreign leaf', async () => {
  const stranger = await foreign.issue('scheduler')
  const [leaf] = stranger.chainPem.split(/(?<=-----END CERTIFICATE-----\n)/)
  const [, intermediate] = scheduler.chainPem.split(/(?<=-----END CERTIFICATE-----\n)/)
  const verdict = await serverSees({ key: stranger.keyPem, cert: `${leaf}${intermediate}` })
  expect(verdict).toMatchObject({ ok: false, reasons: ['UNTRUSTED_ROOT'] })
})

test('peer: refused when it leaves out its intermediate', async () => {
  const [leaf] = scheduler.chainPem.split(/(?<=-----END CERTIFICATE-----\n)/)
  expect(await serverSees({ key: scheduler.keyPem, cert: leaf! })).toMatchObject({ reasons: ['UNTRUSTED_ROOT'] })
})

test('peer: refused when its certificate has expired', async () => {
  const caller = by(await pki.issue('scheduler', { ttlMs: 1000 }))
  const later = { ...asked, now: (asked.now + 10_000) as PeerOptions['now'] }
  expect(await serverSees(caller, later)).toMatchObject({ ok: false, reasons: ['EXPIRED'] })
})

test('peer: refused when it is another service than expected', async () => {
  const { port } = await listen()
  const client = await connect(port, by(scheduler))
  const verdict = verifyPeer(client, pki.bundle, { ...asked, expectId: scheduler.spiffeId })
  expect(verdict).toMatchObject({ ok: false, spiffeId: worker.spiffeId, reasons: ['ID_MISMATCH'] })
})

test('client: does not finish the handshake with a server of another CA', async () => {
  const { port } = await listen(SERVER_PEER_OPTIONS, await foreign.issue('worker'))
  await expect(connect(port, by(scheduler))).rejects.toThrow(/self-signed|unable to/i)
})

test('server: shows the whole chain again to a caller who offers its old session', async () => {
  const { port, sockets } = await listen()
  const first = tls.connect({ host: '127.0.0.1', port, ...clientPeerOptions(pki.bundlePem), ...by(scheduler) })
  closing.push(() => first.destroy())
  first.resume()
  const [session] = (await once(first, 'session')) as [Buffer]
  const again = await connect(port, { ...by(scheduler), session })
  expect([again.isSessionReused(), sockets[1]!.isSessionReused()]).toEqual([false, false])
  expect(verifyPeer(sockets[1]!, pki.bundle, asked).ok).toBe(true)
})

// When Node gives the chain in spite of `ca`, the server is as safe and this test has nothing to show.
test('server: says how it must be made when it lets OpenSSL judge and Node lost the chain', async () => {
  const options = { ...SERVER_PEER_OPTIONS, ca: pki.bundlePem, rejectUnauthorized: true }
  const { port, sockets } = await listen(options)
  await connect(port, by(scheduler))
  const socket = sockets[0]!
  const lost = socket.getPeerCertificate(true).issuerCertificate === undefined
  if (lost) expect(() => verifyPeer(socket, pki.bundle, asked)).toThrow(/SERVER_PEER_OPTIONS/)
  else expect(verifyPeer(socket, pki.bundle, asked).ok).toBe(true)
})
