// Revoked certificates: one spelling of serials, and the verdict of verifyChain.

import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseCertificates } from '../../certs/pem.ts'
import { isRevoked, serialText } from '../../certs/revoked.ts'
import { verifyChain } from '../../certs/verify.ts'
import { systemClock } from '../../kernel/clock.ts'
import { testPki } from '../support/pki.ts'

test.each([
  ['0A:0b', 'a0b'],
  ['00ff', 'ff'],
  ['0', '0'],
  ['000', '0'],
  ['Ff', 'ff'],
])('serial: %s is %s', (text, expected) => {
  expect(serialText(text)).toBe(expected)
})

test('revoked: by serial in any spelling, by id exactly', () => {
  const list = { serials: ['ab'], ids: ['spiffe://d/ns/n/sa/s'] }
  expect(isRevoked(list, '00AB', '')).toBe(true)
  expect(isRevoked(list, 'ba', 'spiffe://d/ns/n/sa/s')).toBe(true)
  expect(isRevoked(list, 'aba', 'spiffe://d/ns/n/sa/s2')).toBe(false)
  expect(isRevoked(undefined, 'ab', 'spiffe://d/ns/n/sa/s')).toBe(false)
})

test('verifyChain: refuses a revoked leaf by name, and takes others of the same CA', async () => {
  const pki = await testPki()
  const [one, other] = [await pki.issue('one'), await pki.issue('other')]
  const serial = serialText(new X509Certificate(one.chainPem).serialNumber)
  const judge = (pem: string, revoked: { serials: string[]; ids: string[] }) =>
    verifyChain({ chain: parseCertificates(pem, 'chain'), bundle: pki.bundle, now: systemClock.wall(), revoked })
  expect(judge(one.chainPem, { serials: [serial], ids: [] })).toMatchObject({ ok: false, reasons: ['REVOKED'] })
  expect(judge(one.chainPem, { serials: [], ids: [one.spiffeId] })).toMatchObject({ ok: false, reasons: ['REVOKED'] })
  expect(judge(other.chainPem, { serials: [serial], ids: [one.spiffeId] })).toMatchObject({ ok: true })
})
