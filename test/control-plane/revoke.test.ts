// Revocation: over the operator API, in the snapshot, at the stream port and at the signer; it survives a restart.

import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { createCsr } from '../../certs/csr.ts'
import { generateKey } from '../../certs/keys.ts'
import { serialText } from '../../certs/revoked.ts'
import { CertificatesSchema, RevocationsSchema, RevokeAnswerSchema } from '../../control-plane/contract.ts'
import { until } from '../support/until.ts'
import { type Identity, type Plane, sharedPlane, startPlane, temporaryDirectory } from './plane.ts'

const shared = sharedPlane()
const WORKER = 'spiffe://fairlead.local/ns/default/sa/worker'
const serialOf = (identity: Identity): string => serialText(new X509Certificate(identity.cert).serialNumber)
type WithRevoked = { revoked?: { serials: string[]; ids: string[] } }
const renewal = async (plane: Plane, identity: Identity) =>
  plane.post('/v1/identity/sign', { csr: await createCsr(await generateKey()) }, identity)

test('revoke: a serial is in every snapshot, ends its own stream and is refused from then on', async () => {
  const plane = await startPlane()
  const thief = await plane.join('worker')
  const honest = await plane.join('scheduler')
  const stolen = plane.stream(thief, { instance: 'worker-1' })
  const other = plane.stream(honest, { instance: 's-1', service: 'scheduler' })
  const [, before] = await Promise.all([stolen.snapshot(), other.snapshot()])
  expect(before).not.toHaveProperty('revoked')
  const serial = serialOf(thief)
  const answer = await plane.api(
    'POST',
    '/api/v1/revocations',
    { serial: serial.toUpperCase(), reason: 'stolen' },
    { 'x-fairlead-author': 'ada' },
  )
  expect(answer.status).toBe(201)
  expect(RevokeAnswerSchema.parse(answer.body)).toMatchObject({
    changed: true,
    revocation: { kind: 'serial', value: serial, spiffeId: WORKER, reason: 'stolen', author: 'ada' },
  })
  await other.snapshotWith((snapshot) => (snapshot as WithRevoked).revoked?.serials.join() === serial, 5_000)
  await until(() => stolen.ended)
  expect((await plane.stream(thief, {}).refusal())['detail']).toContain('REVOKED')
  expect((await renewal(plane, thief)).body).toMatchObject({ code: 'PEER_IDENTITY_INVALID' })
  expect(await plane.audit('certificate.revoke')).toMatchObject([
    { actor: 'ada', subject: serial, detail: { kind: 'serial', before: 'valid', after: 'revoked', reason: 'stolen' } },
  ])
  // The honest owner of the identity comes back with a token.
  await plane.stream(await plane.join('worker'), { instance: 'worker-1' }).snapshot()
})

test('revoke: an identity gets no certificate, by token or by its own, until it is restored', async () => {
  const plane = await startPlane()
  const worker = await plane.join('worker')
  const token = await plane.joinToken('worker')
  await plane.api('POST', '/api/v1/revocations', { id: WORKER })
  const csr = await createCsr(await generateKey())
  expect((await plane.post('/v1/identity/sign', { csr, joinToken: token })).body).toMatchObject({
    code: 'IDENTITY_REVOKED',
  })
  expect((await renewal(plane, worker)).status).toBe(403)
  expect((await plane.stream(worker, {}).refusal())['code']).toBe('PEER_IDENTITY_INVALID')
  const restored = await plane.api('POST', '/api/v1/revocations/restore', { id: WORKER })
  expect(restored.body).toEqual({ changed: true })
  // The refusal did not use the token up.
  expect((await plane.post('/v1/identity/sign', { csr, joinToken: token })).status).toBe(200)
  expect((await renewal(plane, worker)).status).toBe(200)
  expect((await plane.api('POST', '/api/v1/revocations/restore', { id: WORKER })).body).toEqual({ changed: false })
  expect(await plane.audit('certificate.restore')).toMatchObject([{ subject: WORKER }])
})

test('revoke: the same again changes nothing and keeps the first reason', async () => {
  const plane = await startPlane()
  const first = await plane.api('POST', '/api/v1/revocations', { id: WORKER, reason: 'one' })
  const again = await plane.api('POST', '/api/v1/revocations', { id: WORKER, reason: 'two' })
  expect([first.status, again.status]).toEqual([201, 200])
  expect(RevokeAnswerSchema.parse(again.body)).toMatchObject({ changed: false, revocation: { reason: 'one' } })
  expect(await plane.audit('certificate.revoke')).toHaveLength(1)
})

test('revoke: survives a restart', async () => {
  const state = temporaryDirectory()
  const plane = await startPlane([], state)
  const worker = await plane.join('worker')
  await plane.api('POST', '/api/v1/revocations', { serial: serialOf(worker) })
  await plane.life!.close()
  const next = await startPlane([], state)
  expect((await renewal(next, worker)).status).toBe(403)
  const { revocations } = RevocationsSchema.parse((await next.api('GET', '/api/v1/revocations')).body)
  expect(revocations).toMatchObject([{ kind: 'serial', spiffeId: WORKER }])
})

test('state: of schema 1 gets the list of revocations, and keeps what it had', async () => {
  const state = temporaryDirectory()
  const plane = await startPlane([], state)
  const worker = await plane.join('worker')
  await plane.life!.close()
  const sql = new DatabaseSync(join(state, 'control-plane.db'))
  sql.exec('DROP TABLE revocation; PRAGMA user_version = 1;')
  sql.close()
  const next = await startPlane([], state)
  expect((await renewal(next, worker)).status).toBe(200)
  expect((await next.api('POST', '/api/v1/revocations', { id: WORKER })).status).toBe(201)
})

test('certificates: lists what was signed, and whether it is revoked', async () => {
  const plane = await startPlane()
  const worker = await plane.join('worker')
  await plane.join('scheduler')
  await plane.api('POST', '/api/v1/revocations', { serial: serialOf(worker) })
  const { body } = await plane.api('GET', `/api/v1/certificates?id=${encodeURIComponent(WORKER)}`)
  const { certificates } = CertificatesSchema.parse(body)
  expect(certificates).toMatchObject([{ spiffeId: WORKER, proof: 'join-token', revoked: true }])
  expect(serialText(certificates[0]!.serial)).toBe(serialOf(worker))
  const all = CertificatesSchema.parse((await plane.api('GET', '/api/v1/certificates')).body).certificates
  expect(all.map((one) => one.proof).sort()).toEqual(['join-token', 'join-token', 'self'])
})

test.each([
  ['neither serial nor id', {}, 400, 'INVALID_INPUT'],
  ['both', { serial: 'ab', id: WORKER }, 400, 'INVALID_INPUT'],
  ['a serial that is none', { serial: 'xyz' }, 400, 'INVALID_INPUT'],
  ['a serial that was never signed', { serial: 'abcdef' }, 404, 'CERTIFICATE_UNKNOWN'],
  ['an id that is none', { id: 'worker' }, 400, 'SPIFFE_ID_INVALID'],
  ['an id of another trust domain', { id: 'spiffe://other.example/ns/default/sa/worker' }, 400, 'SPIFFE_ID_INVALID'],
  ['the control plane', { id: 'spiffe://fairlead.local/ns/fairlead/sa/control-plane' }, 400, 'INVALID_INPUT'],
  ['a field more', { id: WORKER, until: 'tomorrow' }, 400, 'INVALID_INPUT'],
])('revoke: refuses %s', async (_, body, status, code) => {
  const answer = await shared().api('POST', '/api/v1/revocations', body)
  expect([answer.status, answer.body['code']]).toEqual([status, code])
})

test('revoke: refuses the serial of the control plane itself', async () => {
  const { body } = await shared().api('GET', '/api/v1/certificates')
  const own = CertificatesSchema.parse(body).certificates.find((one) => one.proof === 'self')!
  expect((await shared().api('POST', '/api/v1/revocations', { serial: own.serial })).status).toBe(400)
})
