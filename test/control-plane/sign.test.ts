import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { createCsr } from '../../certs/csr.ts'
import { generateKey, keyToPem } from '../../certs/keys.ts'
import { parseCertificates } from '../../certs/pem.ts'
import { parseTrustBundle } from '../../certs/trust-bundle.ts'
import { verifyChain } from '../../certs/verify.ts'
import type { SignAnswer } from '../../control-plane/contract.ts'
import { systemClock } from '../../kernel/clock.ts'
import { until } from '../support/until.ts'
import { type Answer, sharedPlane, startPlane } from './plane.ts'

const SIGN = '/v1/identity/sign'
const WORKER = 'spiffe://fairlead.local/ns/default/sa/worker'
const HOUR_MS = 3_600_000
const shared = sharedPlane()
const foreign = sharedPlane()

const refused = (answer: Answer, status: number, code: string): void =>
  expect({ status: answer.status, code: answer.body['code'] }, answer.text).toEqual({ status, code })

test('join token: gives an X509-SVID of its service when used once', async () => {
  const plane = shared()
  const { answer } = await plane.join('worker')
  expect(answer.spiffeId).toBe(WORKER)
  const chain = parseCertificates(answer.certificateChain, 'chain')
  const bundle = parseTrustBundle(plane.bundle)
  const verdict = verifyChain({ chain, bundle, now: systemClock.wall(), trustDomain: 'fairlead.local' })
  expect(verdict).toMatchObject({ ok: true, spiffeId: WORKER })
  expect(answer.trustBundle.join('')).toBe(plane.bundle)
  const lifeMs = Date.parse(answer.notAfter) - systemClock.wall()
  expect(lifeMs).toBeGreaterThan(4 * HOUR_MS - 60_000)
  expect(lifeMs).toBeLessThanOrEqual(4 * HOUR_MS)
})

test('join token: is refused when used a second time, also with another key', async () => {
  const plane = await startPlane()
  const joinToken = await plane.joinToken('worker')
  const first = await plane.post(SIGN, { csr: await createCsr(await generateKey()), joinToken })
  expect(first.status).toBe(200)
  refused(await plane.post(SIGN, { csr: await createCsr(await generateKey()), joinToken }), 401, 'JOIN_TOKEN_INVALID')
  expect(await plane.audit('certificate.refuse')).toMatchObject([{ detail: { code: 'JOIN_TOKEN_INVALID' } }])
})

test('join token: wins once when eight requests race with it', async () => {
  const plane = await startPlane()
  const joinToken = await plane.joinToken('worker')
  const csrs = await Promise.all(Array.from({ length: 8 }, async () => createCsr(await generateKey())))
  const answers = await Promise.all(csrs.map((csr) => plane.post(SIGN, { csr, joinToken })))
  expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1)
  expect(await plane.audit('certificate.issue')).toHaveLength(2) // the control plane's own, and one
})

test('join token: is refused when changed, of another mesh, expired, unsigned or no token at all', async () => {
  const [plane, other] = [shared(), foreign()]
  const csr = await createCsr(await generateKey())
  const token = await plane.joinToken('worker')
  const [header, payload, signature] = token.split('.')
  const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString()) as Record<string, unknown>
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const bad = [
    await other.joinToken('worker'),
    `${header}.${encode({ ...claims, sub: 'spiffe://fairlead.local/ns/default/sa/admin' })}.${signature}`,
    `${encode({ alg: 'none' })}.${payload}.`,
    `${encode({ alg: 'HS256' })}.${payload}.${signature}`,
    'nonsense',
    '',
  ]
  for (const joinToken of bad) refused(await plane.post(SIGN, { csr, joinToken }), 401, 'JOIN_TOKEN_INVALID')
  const short = await plane.joinToken('worker', { ttlMs: 1000 })
  const expiry = JSON.parse(Buffer.from(short.split('.')[1]!, 'base64url').toString()) as { exp: number }
  await until(() => systemClock.wall() >= expiry.exp * 1000)
  refused(await plane.post(SIGN, { csr, joinToken: short }), 401, 'JOIN_TOKEN_INVALID')
  expect((await plane.post(SIGN, { csr, joinToken: token })).status).toBe(200)
})

test('join token: is still good when the request that came with it was broken', async () => {
  const plane = shared()
  const joinToken = await plane.joinToken('worker')
  refused(await plane.post(SIGN, { csr: 'nonsense', joinToken }), 400, 'CSR_INVALID')
  expect((await plane.post(SIGN, { csr: await createCsr(await generateKey()), joinToken })).status).toBe(200)
})

test('join token: gives the identity of its service only when the request names another', async () => {
  const plane = shared()
  const key = await generateKey()
  const body = { csr: await createCsr(key), joinToken: await plane.joinToken('worker') }
  expect((await plane.post(SIGN, { ...body, spiffeId: WORKER })).status).toBe(400) // unknown fields are errors
  const answer = (await plane.post(SIGN, body)).body as unknown as SignAnswer
  const leaf = new X509Certificate(answer.certificateChain)
  expect(leaf.subjectAltName).toBe(`URI:${WORKER}`)
  expect(leaf.ca).toBe(false)
})

test.each([
  ['a service name that is no label', { service: 'Work_er' }, 'SPIFFE_ID_INVALID'],
  ['the namespace of the control plane', { service: 'control-plane', namespace: 'fairlead' }, 'FORBIDDEN'],
  ['a path in the service', { service: 'a/../b' }, 'SPIFFE_ID_INVALID'],
  ['a life of more than ten minutes', { service: 'worker', ttlMs: 600_001 }, 'INVALID_INPUT'],
  ['an unknown field', { service: 'worker', admin: true }, 'INVALID_INPUT'],
  ['no service', {}, 'INVALID_INPUT'],
])('join token: is not made when asked for %s', async (_what, body, code) => {
  const plane = shared()
  const answer = await plane.api('POST', '/api/v1/join-tokens', body)
  expect(answer.status).toBeGreaterThanOrEqual(400)
  expect(answer.body['code']).toBe(code)
})

test('request for a certificate: is refused when its bytes were changed', async () => {
  const plane = shared()
  const joinToken = await plane.joinToken('worker')
  const csr = await createCsr(await generateKey())
  const lines = csr.trim().split('\n')
  const der = Buffer.from(lines.slice(1, -1).join(''), 'base64')
  der[der.length - 5]! ^= 1 // inside the signature: the proof of possession
  const changed = `${lines[0]}\n${der.toString('base64')}\n${lines.at(-1)}\n`
  refused(await plane.post(SIGN, { csr: changed, joinToken }), 400, 'CSR_INVALID')
})

test('request for a certificate: is refused when its key was signed for another identity', async () => {
  const plane = shared()
  const csr = await createCsr(await generateKey())
  expect((await plane.post(SIGN, { csr, joinToken: await plane.joinToken('worker') })).status).toBe(200)
  refused(await plane.post(SIGN, { csr, joinToken: await plane.joinToken('billing') }), 400, 'CSR_INVALID')
  expect((await plane.post(SIGN, { csr, joinToken: await plane.joinToken('worker') })).status).toBe(200)
})

test('renewal: keeps the identity when the current certificate speaks for it', async () => {
  const plane = await startPlane()
  const identity = await plane.join('worker')
  const key = await generateKey()
  const answer = await plane.post(SIGN, { csr: await createCsr(key) }, identity)
  expect(answer.status, answer.text).toBe(200)
  expect(answer.body['spiffeId']).toBe(WORKER)
  expect(answer.body['certificateChain']).not.toBe(identity.cert)
  const issued = await plane.audit('certificate.issue')
  expect(issued.map((row) => row.detail['proof'])).toEqual(['svid', 'join-token', 'self'])
  expect(new Set(issued.map((row) => row.detail['serial'])).size).toBe(3)
})

test('renewal: is refused when nothing or a certificate of another CA is shown', async () => {
  const [plane, other] = [shared(), foreign()]
  const csr = await createCsr(await generateKey())
  refused(await plane.post(SIGN, { csr }), 403, 'PEER_IDENTITY_INVALID')
  refused(await plane.post(SIGN, { csr }, await other.join('worker')), 403, 'PEER_IDENTITY_INVALID')
})

test('renewal: is refused when the certificate ended, and joins again with a token', async () => {
  const plane = await startPlane(['--danger-short-ttl-ms', '1500'])
  const identity = await plane.join('worker')
  await until(() => systemClock.wall() > Date.parse(identity.answer.notAfter))
  const csr = await createCsr(await generateKey())
  const answer = await plane.post(SIGN, { csr }, identity)
  refused(answer, 403, 'PEER_IDENTITY_INVALID')
  expect(answer.body['detail']).toContain('EXPIRED')
  const again = await plane.post(SIGN, { csr, joinToken: await plane.joinToken('worker') }, identity)
  expect(again.status, again.text).toBe(200)
})

test('own certificate: is renewed on the open port when half of its life is over', async () => {
  // Ends are whole seconds: of 1 s next to nothing may be left; of 2 s at least one, renewed with half of it to go.
  const plane = await startPlane(['--danger-short-ttl-ms', '2000'])
  await plane.join('worker')
  await until(
    async () => (await plane.audit('certificate.issue')).filter((r) => r.detail['proof'] === 'self').length > 3,
  )
  await plane.join('worker') // the first certificate of the port would have ended by now
})

test('guesses: are slowed down and then no longer audited when one address keeps failing', async () => {
  const plane = await startPlane()
  const csr = await createCsr(await generateKey())
  const answers: Answer[] = []
  for (let i = 0; i < 30; i++) answers.push(await plane.post(SIGN, { csr, joinToken: 'guess' }))
  expect(answers.at(-1)!.status).toBe(429)
  expect(answers.at(-1)!.headers['retry-after']).toBe('1')
  expect((await plane.audit('certificate.refuse')).length).toBeLessThan(25)
})

test('private keys: never leave the sidecar or the state unsealed', async () => {
  const plane = shared()
  const { readdirSync, readFileSync, statSync } = await import('node:fs')
  const { join } = await import('node:path')
  await plane.join('worker')
  for (const name of readdirSync(plane.state)) {
    const path = join(plane.state, name)
    expect(readFileSync(path, 'latin1'), name).not.toContain('PRIVATE KEY')
    expect(statSync(path).mode & 0o077, name).toBe(0)
  }
  expect(statSync(plane.state).mode & 0o077).toBe(0)
  expect(keyToPem(await generateKey())).toContain('PRIVATE KEY') // the words looked for are the right ones
})
