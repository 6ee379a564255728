import { expect, test } from 'vitest'
import { keyToPem } from '../../certs/keys.ts'
import { certificatesToPem, parseCertificates, parsePem, toPem } from '../../certs/pem.ts'
import { parseTrustBundle } from '../../certs/trust-bundle.ts'
import { foreignPki, testPki } from '../support/pki.ts'

const pki = await testPki()
const worker = await pki.issue('worker')
const invalid = expect.objectContaining({ code: 'CERT_INVALID' })

test('PEM: gives the blocks in order, whatever stands around them', () => {
  const text = `subject=CN = x\r\n${pki.bundlePem.replaceAll('\n', '\r\n')}\n\n# comment\n${worker.chainPem}tail`
  expect(parseCertificates(text, 'Chain').map((der) => der.length)).toHaveLength(3)
  expect(certificatesToPem(parseCertificates(text, 'Chain'))).toBe(pki.bundlePem + worker.chainPem)
})

const body = 'AAAA'
test.each([
  ['has no END', `-----BEGIN X-----\n${body}\n`],
  ['has no BEGIN', `${body}\n-----END X-----\n`],
  ['ends another block than it began', `-----BEGIN X-----\n${body}\n-----END Y-----\n`],
  ['begins inside a block', `-----BEGIN X-----\n-----BEGIN X-----\n${body}\n-----END X-----\n`],
  ['has an empty block', '-----BEGIN X-----\n-----END X-----\n'],
  ['has other letters than base64', '-----BEGIN X-----\nAA*A\n-----END X-----\n'],
  ['has headers inside', `-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\n${body}\n-----END X-----\n`],
  ['has base64 of a wrong length', '-----BEGIN X-----\nAAA\n-----END X-----\n'],
  ['goes on after the padding', '-----BEGIN X-----\nAA==AAAA\n-----END X-----\n'],
  ['is too long', 'x'.repeat(1024 * 1024 + 1)],
  ['has too many blocks', toPem('X', new Uint8Array(3)).repeat(257)],
])('PEM: refused when it %s', (_, text) => {
  expect(() => parsePem(text, 'File')).toThrow(invalid)
})

test('certificates: refused when there is none or a private key is among them', () => {
  expect(() => parseCertificates('', 'Bundle')).toThrow(/holds no certificate/)
  expect(() => parseCertificates(worker.chainPem + worker.keyPem, 'Bundle')).toThrow(/PRIVATE KEY/)
})

test('trust bundle: roots once each', async () => {
  const other = await foreignPki()
  const roots = parseTrustBundle(pki.bundlePem + other.bundlePem + pki.bundlePem)
  expect(roots).toEqual([pki.root.certificate, other.root.certificate])
})

test('trust bundle: refused when it holds a leaf, a key, garbage or too much', () => {
  const garbage = toPem('CERTIFICATE', new Uint8Array([1, 2, 3]))
  for (const text of [worker.chainPem, keyToPem(pki.root.key), pki.bundlePem + garbage, '']) {
    expect(() => parseTrustBundle(text)).toThrow(invalid)
  }
  expect(() => parseTrustBundle(pki.bundlePem.repeat(300))).toThrow(invalid)
})
