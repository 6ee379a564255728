// GET /api/v1/ca: what signs here, without keys.

import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { CaSchema } from '../../control-plane/contract.ts'
import { sharedPlane } from './plane.ts'

const shared = sharedPlane()

test('ca: shows the root that sidecars pin, and the intermediate that it signed', async () => {
  const plane = shared()
  const ca = CaSchema.parse((await plane.api('GET', '/api/v1/ca')).body)
  expect(ca.roots.map((one) => one.pem).join('')).toBe(plane.bundle)
  const [root, intermediate] = [new X509Certificate(ca.roots[0]!.pem), new X509Certificate(ca.intermediate.pem)]
  expect(intermediate.verify(root.publicKey)).toBe(true)
  expect(ca.roots[0]!.sha256).toBe(root.fingerprint256.replaceAll(':', '').toLowerCase())
  expect(new Date(ca.roots[0]!.notAfter) > new Date(ca.intermediate.notAfter)).toBe(true)
  expect(ca.trustDomain).toBe('fairlead.local')
})

test('ca: counts what was signed, and holds no key', async () => {
  const plane = shared()
  const before = CaSchema.parse((await plane.api('GET', '/api/v1/ca')).body).issued
  await plane.join('worker')
  const answer = await plane.api('GET', '/api/v1/ca')
  expect(CaSchema.parse(answer.body).issued).toBe(before + 1)
  expect(answer.text).not.toMatch(/PRIVATE KEY/)
})

test('ca: needs the key of the API', async () => {
  expect((await shared().api('GET', '/api/v1/ca', undefined, { 'x-api-key': '' })).status).toBe(401)
})
