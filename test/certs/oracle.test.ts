// Other implementations as judges of ours: openssl (skipped by name where it is missing) and node-forge.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import forge from 'node-forge'
import { afterAll, expect, test } from 'vitest'
import { createCsr, parseCsr } from '../../certs/csr.ts'
import { generateKey } from '../../certs/keys.ts'
import { certificatesToPem, parseCertificates } from '../../certs/pem.ts'
import { verifyChain } from '../../certs/verify.ts'
import { systemClock, type WallMs } from '../../kernel/clock.ts'
import { foreignPki, testPki } from '../support/pki.ts'
import { caExtensions, ID, isCa, leafExtensions, type Made, make, NOW, serverOnly, usage } from './forgery.ts'

const dir = mkdtempSync(join(tmpdir(), 'fairlead-oracle-'))
afterAll(() => rmSync(dir, { recursive: true }))

let count = 0
function file(text: string): string {
  const path = join(dir, `${count++}.pem`)
  writeFileSync(path, text)
  return path
}

function openssl(...args: string[]): { ok: boolean; out: string } {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8', timeout: 15_000 })
  return { ok: status === 0, out: stdout + stderr }
}

const missing = spawnSync('openssl', ['version']).status !== 0
const withOpenssl = missing ? test.skip : test
const why = missing ? ' [skipped: no openssl here]' : ''

function opensslAccepts(chain: readonly Uint8Array[], root: Uint8Array, at: WallMs, ...more: string[]): boolean {
  const time = ['-attime', String(Math.floor(at / 1000))]
  const untrusted = chain.length > 1 ? ['-untrusted', file(certificatesToPem(chain.slice(1)))] : []
  const files = ['-CAfile', file(certificatesToPem([root])), ...untrusted, file(certificatesToPem(chain.slice(0, 1)))]
  const accepts = (purpose: string) => openssl('verify', ...more, '-purpose', purpose, ...time, ...files).ok
  return accepts('sslserver') && accepts('sslclient')
}

withOpenssl(`openssl: accepts our chain and nobody else's${why}`, async () => {
  const [pki, foreign] = [await testPki(), await foreignPki()]
  const chain = parseCertificates((await pki.issue('worker', { dnsNames: ['worker.mesh'] })).chainPem, 'chain')
  const now = systemClock.wall()
  expect(opensslAccepts(chain, pki.root.certificate, now, '-x509_strict')).toBe(true)
  expect(opensslAccepts(chain, foreign.root.certificate, now)).toBe(false)
})

withOpenssl(`openssl: shows the extensions of our leaf as X509-SVID wants them${why}`, async () => {
  const pki = await testPki()
  const { out } = openssl('x509', '-noout', '-text', '-in', file((await pki.issue('worker')).chainPem))
  const spaced = out.replace(/\s+/g, ' ')
  expect(spaced).toContain('Subject Alternative Name: critical URI:spiffe://fairlead.local/ns/default/sa/worker X509v3')
  expect(spaced).toContain('Key Usage: critical Digital Signature X509v3')
  expect(spaced).toContain('Basic Constraints: critical CA:FALSE')
  expect(spaced).toContain('Subject: Subject Public Key Info')
})

withOpenssl(`openssl: verifies our request, and we verify its request${why}`, async () => {
  const pem = await createCsr(await generateKey())
  expect(openssl('req', '-verify', '-noout', '-in', file(pem))).toMatchObject({ ok: true })
  const key = join(dir, 'req.key')
  const args = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-subj', '/CN=admin']
  const out = join(dir, 'req.pem')
  expect(openssl('req', '-new', ...args, '-addext', 'basicConstraints=critical,CA:TRUE', '-out', out).ok).toBe(true)
  expect((await parseCsr(readFileSync(out, 'utf8'))).publicKey.asymmetricKeyDetails).toEqual({
    namedCurve: 'prime256v1',
  })
})

// What RFC 5280 alone decides, so that both must say the same.
const SHARED: [string, boolean, (root: Made) => Promise<Made[]>][] = [
  ['is in order', true, async (by) => [await make({ by, extensions: leafExtensions() })]],
  ['has expired', false, async (by) => [await make({ by, toMs: -1000, extensions: leafExtensions() })]],
  ['is not valid yet', false, async (by) => [await make({ by, fromMs: 5000, extensions: leafExtensions() })]],
  [
    'is for servers only',
    false,
    async (by) => [await make({ by, extensions: leafExtensions({ purposes: serverOnly }) })],
  ],
  ['signed itself', false, async () => [await make({ name: 'CN=x', extensions: leafExtensions() })]],
  [
    'is signed by a leaf',
    false,
    async (root) => {
      const by = await make({ name: 'CN=x', by: root, extensions: leafExtensions() })
      return [await make({ by, extensions: leafExtensions() }), by]
    },
  ],
  [
    'is signed by a CA without keyCertSign',
    false,
    async (root) => {
      const by = await make({ name: 'CN=x', by: root, extensions: [isCa(true), usage(1)] })
      return [await make({ by, extensions: leafExtensions() }), by]
    },
  ],
  [
    'stands below a CA that allows no CA below',
    false,
    async (root) => {
      const upper = await make({ name: 'CN=u', by: root, extensions: caExtensions(0) })
      const lower = await make({ name: 'CN=l', by: upper, extensions: caExtensions() })
      return [await make({ by: lower, extensions: leafExtensions() }), lower, upper]
    },
  ],
]
test.each(SHARED)(`openssl: judges as we do when the leaf %s${why}`, async (_, accepted, build) => {
  const root = await make({ name: 'CN=root', extensions: caExtensions() })
  const chain = (await build(root)).map(({ der }) => der)
  expect(verifyChain({ chain, bundle: [root.der], now: NOW }).ok).toBe(accepted)
  if (!missing) expect(opensslAccepts(chain, root.der, NOW)).toBe(accepted)
})

// node-forge knows only RSA here: it issues, we judge; both judge the same certificates.
test('node-forge: its RSA chain is an X509-SVID to us, and both refuse it when it was changed', () => {
  const [rootKeys, leafKeys] = [forge.pki.rsa.generateKeyPair(2048), forge.pki.rsa.generateKeyPair(2048)]
  const rootName = [{ name: 'commonName', value: 'forge root' }]
  const root = forgeCertificate(rootKeys.publicKey, rootName, rootName, rootKeys.privateKey, [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, critical: true },
  ])
  const leaf = forgeCertificate(
    leafKeys.publicKey,
    [{ name: 'commonName', value: 'worker' }],
    rootName,
    rootKeys.privateKey,
    [
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 6, value: ID },
          { type: 2, value: 'worker.mesh' },
        ],
      },
    ],
  )
  const [rootDer, leafDer] = [derOf(root), derOf(leaf)]
  const ours = (der: Uint8Array) =>
    verifyChain({ chain: [der], bundle: [rootDer], now: NOW, expectId: ID, expectHostname: 'worker.mesh' })
  expect(ours(leafDer)).toMatchObject({ ok: true, spiffeId: ID })
  expect(root.verify(leaf)).toBe(true)
  leaf.signature = `${leaf.signature.slice(0, -1)}${leaf.signature.endsWith('\0') ? '\x01' : '\0'}`
  expect(ours(derOf(leaf)).reasons).toEqual(['BAD_SIGNATURE'])
  expect(() => root.verify(leaf)).toThrow()
})

type Names = forge.pki.CertificateField[]
function forgeCertificate(
  publicKey: forge.pki.rsa.PublicKey,
  subject: Names,
  issuer: Names,
  signer: forge.pki.rsa.PrivateKey,
  extensions: object[],
): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = publicKey
  certificate.serialNumber = '01'
  certificate.validity.notBefore = new Date(NOW - 86_400_000)
  certificate.validity.notAfter = new Date(NOW + 86_400_000)
  certificate.setSubject(subject)
  certificate.setIssuer(issuer)
  certificate.setExtensions(extensions)
  certificate.sign(signer, forge.md.sha256.create())
  return certificate
}

function derOf(certificate: forge.pki.Certificate): Uint8Array {
  return new Uint8Array(Buffer.from(forge.asn1.toDer(forge.pki.certificateToAsn1(certificate)).getBytes(), 'latin1'))
}
