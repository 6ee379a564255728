import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { createIntermediate, createRoot, type Issuer, type LeafOptions, signLeaf } from '../../certs/ca.ts'
import { parseCertificate } from '../../certs/certificate.ts'
import { createCsr, parseCsr } from '../../certs/csr.ts'
import { parseIssuer } from '../../certs/issuer.ts'
import { generateKey, keyToPem } from '../../certs/keys.ts'
import { certificatesToPem } from '../../certs/pem.ts'
import { verifyChain } from '../../certs/verify.ts'
import { type WallMs, wallPlus } from '../../kernel/clock.ts'
import { systemRandom } from '../../kernel/random.ts'

const NOW = (Date.UTC(2026, 0, 1) + 999) as WallMs
const START = Date.UTC(2026, 0, 1) as WallMs
const HOUR = 3_600_000
const DAY = 24 * HOUR
const ID = 'spiffe://fairlead.local/ns/default/sa/worker'
const at = { now: NOW, random: systemRandom }
const root = await createRoot({ ...at, trustDomain: 'fairlead.local' })
const intermediate = await createIntermediate(root, at)
const { publicKey } = await parseCsr(await createCsr(await generateKey()))

const sign = (issuer: Issuer, options: Partial<LeafOptions> = {}) =>
  signLeaf(issuer, { csrPublicKey: publicKey, spiffeId: ID, ttlMs: 4 * HOUR, ...at, ...options })
const parse = (der: Uint8Array) => parseCertificate(der)!

test('leaf: carries one URI, critical names, both purposes and an end', async () => {
  const leaf = await sign(intermediate, { dnsNames: ['worker.mesh'] })
  const read = parse(leaf.certificate)
  expect(read.alternativeNames).toMatchObject({ critical: true, uris: [ID], dnsNames: ['worker.mesh'] })
  expect(read.keyUsage).toEqual({ critical: true, flags: 1 })
  expect(read.extendedKeyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  expect([read.isCa, read.subjectEmpty, read.faults]).toEqual([false, true, []])
  expect([read.notBefore, read.notAfter]).toEqual([START - 29_000 - 1000, START + 4 * HOUR])
  expect([leaf.notBefore, leaf.notAfter]).toEqual([read.notBefore, read.notAfter])
  expect(read.authorityKeyId).toBe(parse(intermediate.certificate).subjectKeyId)
  expect(read.publicKey.equals(publicKey)).toBe(true)
})

test('leaf: is an identity of the trust domain when verified with the chain that it comes with', async () => {
  const { chain } = await sign(intermediate)
  expect(
    verifyChain({ chain, bundle: [root.certificate], now: NOW, trustDomain: 'fairlead.local', expectId: ID }).ok,
  ).toBe(true)
  expect(chain).toHaveLength(2)
})

test('authorities: may sign and have the id of the trust domain', () => {
  for (const [issuer, pathLength] of [
    [root, undefined],
    [intermediate, 0],
  ] as const) {
    const read = parse(issuer.certificate)
    expect(read).toMatchObject({ isCa: true, pathLength, alternativeNames: { uris: ['spiffe://fairlead.local'] } })
    expect(read.keyUsage).toEqual({ critical: true, flags: (1 << 5) | (1 << 6) })
  }
  expect(parse(root.certificate).notAfter).toBe(START + 3650 * DAY)
  expect(parse(intermediate.certificate).notAfter).toBe(START + 30 * DAY)
})

test('serial: positive, 20 bytes and never the same when the random bytes are extreme', async () => {
  for (const byte of [0x00, 0xff]) {
    const random = { ...systemRandom, bytes: (length: number) => new Uint8Array(length).fill(byte) }
    const { serial, certificate } = await sign(intermediate, { random })
    expect(serial).toMatch(/^[4-7][0-9a-f]{39}$/)
    expect(parse(certificate).serial).toBe(serial)
  }
  const serials = await Promise.all(Array.from({ length: 50 }, async () => (await sign(intermediate)).serial))
  expect(new Set(serials).size).toBe(50)
})

test('leaf: ends with its issuer when asked to live longer', async () => {
  const soon = await createIntermediate(root, { ...at, lifeMs: HOUR })
  expect((await sign(soon)).notAfter).toBe(soon.notAfter)
  const below = await createIntermediate({ ...root, notAfter: wallPlus(NOW, HOUR) }, at)
  expect(below.notAfter).toBeLessThanOrEqual(wallPlus(NOW, HOUR))
})

test('issuer: refuses to sign when it has expired', async () => {
  const late = { now: wallPlus(NOW, 31 * DAY) }
  await expect(sign(intermediate, late)).rejects.toMatchObject({ code: 'ISSUER_EXPIRED' })
  const dead = { ...root, notAfter: wallPlus(NOW, -1) }
  await expect(createIntermediate(dead, at)).rejects.toMatchObject({ code: 'ISSUER_EXPIRED' })
})

test.each([
  ['of another trust domain', 'spiffe://other.example/ns/default/sa/worker'],
  ['of the trust domain itself', 'spiffe://fairlead.local'],
  ['no id', 'worker'],
])('leaf: refused when its id is %s', async (_, spiffeId) => {
  await expect(sign(intermediate, { spiffeId })).rejects.toMatchObject({ code: 'SPIFFE_ID_INVALID' })
})

test('leaf: refused when its key is not P-256', async () => {
  const keys = [
    generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey,
    generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey,
    generateKeyPairSync('ed25519').publicKey,
  ]
  for (const csrPublicKey of keys) {
    await expect(sign(intermediate, { csrPublicKey })).rejects.toMatchObject({ code: 'KEY_INVALID' })
  }
})

test('trust domain: refused when it is none', async () => {
  for (const trustDomain of ['', 'Fairlead', 'a,O=b', 'a/b']) {
    await expect(createRoot({ ...at, trustDomain })).rejects.toMatchObject({ code: 'SPIFFE_ID_INVALID' })
  }
})

test('trust domain: may be as long as SPIFFE allows', async () => {
  const trustDomain = `${'a'.repeat(250)}.test`
  const long = await createRoot({ ...at, trustDomain })
  const { chain } = await sign(long, { spiffeId: `spiffe://${trustDomain}/x` })
  expect(verifyChain({ chain, bundle: [long.certificate], now: NOW, trustDomain }).ok).toBe(true)
})

test('issuer: signs the same when it is read back', async () => {
  const again = parseIssuer(certificatesToPem(intermediate.chain), intermediate.key)
  expect(again).toMatchObject({ trustDomain: 'fairlead.local', notAfter: intermediate.notAfter })
  const { chain } = await sign(again)
  expect(verifyChain({ chain, bundle: [root.certificate], now: NOW }).ok).toBe(true)
  expect(parseIssuer(certificatesToPem([root.certificate]), root.key).chain).toEqual([])
})

test('issuer: refused when key and certificate differ or it may not sign', async () => {
  const pem = certificatesToPem([root.certificate])
  expect(() => parseIssuer(pem, intermediate.key)).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }))
  const leafPem = (await sign(intermediate)).chainPem
  expect(() => parseIssuer(leafPem, root.key)).toThrow(/SIGNER_NOT_CA/)
  expect(() => parseIssuer(keyToPem(root.key), root.key)).toThrow(expect.objectContaining({ code: 'CERT_INVALID' }))
})

test('OpenSSL in Node: reads our certificates as we do', async () => {
  const leaf = new X509Certificate((await sign(intermediate)).certificate)
  expect(leaf.subjectAltName).toBe(`URI:${ID}`)
  expect(leaf.ca).toBe(false)
  expect(leaf.checkIssued(new X509Certificate(intermediate.certificate))).toBe(true)
  expect(leaf.verify(createPublicKey(keyToPem(intermediate.key)))).toBe(true)
})
