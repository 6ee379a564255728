// ca.ts — the certificate authority: root → intermediate → leaf, by @peculiar/x509.
//
// Owns: what our certificates look like (X509-SVID, reference/mesh.md §6) and that none outlives its issuer.
// Never: decides who may have which identity; the caller has authenticated it before signLeaf.
// Nothing of a request but its public key is believed.

import 'reflect-metadata'
import { createPublicKey, type KeyObject, type webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { isoTime, type WallMs, wallPlus } from '../kernel/clock.ts'
import { assert, FairleadError } from '../kernel/errors.ts'
import type { Random } from '../kernel/random.ts'
import { describe, ECDSA_P256, generateKey, isP256, publicKeyDer } from './keys.ts'
import { certificatesToPem } from './pem.ts'
import { parseSpiffeId, trustDomainIdOf } from './spiffe.ts'

/** A signing certificate with its key. */
export interface Issuer {
  readonly trustDomain: string
  readonly certificate: Uint8Array
  readonly key: KeyObject
  /** What holders of a leaf send after it: this certificate and those above it, without the root. */
  readonly chain: readonly Uint8Array[]
  readonly notAfter: WallMs
}

export interface Leaf {
  readonly spiffeId: string
  readonly certificate: Uint8Array
  /** Leaf first, then the issuer's chain. */
  readonly chain: readonly Uint8Array[]
  readonly chainPem: string
  readonly serial: string
  readonly notBefore: WallMs
  readonly notAfter: WallMs
}

export interface IssueOptions {
  readonly now: WallMs
  readonly random: Random
}

export const ROOT_LIFE_MS = 10 * 365 * 86_400_000
export const INTERMEDIATE_LIFE_MS = 30 * 86_400_000
/** Certificates start this early, so that a peer whose clock is a little behind accepts them. */
export const BACKDATE_MS = 30_000
const SERIAL_BYTES = 20
/** ub-organization-name of RFC 5280; the whole trust domain stands in the SAN. */
const NAME_LENGTH_MAX = 64
const SIGNING = { ...ECDSA_P256, hash: 'SHA-256' } as const
const { serverAuth, clientAuth } = x509.ExtendedKeyUsage

/** A self-signed root of a trust domain with a fresh key. */
export async function createRoot(
  options: IssueOptions & { readonly trustDomain: string; readonly lifeMs?: number },
): Promise<Issuer> {
  const key = await generateKey()
  const notAfter = wholeSecond(wallPlus(options.now, options.lifeMs ?? ROOT_LIFE_MS))
  const serial = newSerial(options.random)
  const name = authorityName(options.trustDomain, 'root', serial)
  const extensions = await authorityExtensions(options.trustDomain, key, key, undefined)
  const certificate = await sign(
    { serial, subject: name, issuer: name, publicKey: key, key, notAfter, extensions },
    options,
  )
  return { trustDomain: options.trustDomain, certificate, key, chain: [], notAfter }
}

/** An intermediate of one control plane: signs leaves only (pathLen 0). @throws FairleadError ISSUER_EXPIRED */
export async function createIntermediate(
  root: Issuer,
  options: IssueOptions & { readonly lifeMs?: number },
): Promise<Issuer> {
  const key = await generateKey()
  const notAfter = endOfLife(root, options.now, options.lifeMs ?? INTERMEDIATE_LIFE_MS)
  const serial = newSerial(options.random)
  const subject = authorityName(root.trustDomain, 'intermediate', serial)
  const extensions = await authorityExtensions(root.trustDomain, key, root.key, 0)
  const request = { serial, subject, issuer: subjectOf(root), publicKey: key, key: root.key, notAfter, extensions }
  const certificate = await sign(request, options)
  return { trustDomain: root.trustDomain, certificate, key, chain: [certificate, ...root.chain], notAfter }
}

export interface LeafOptions extends IssueOptions {
  /** The proven key of a request (csr.ts). */
  readonly csrPublicKey: KeyObject
  readonly spiffeId: string
  readonly ttlMs: number
  readonly dnsNames?: readonly string[]
}

/**
 * An X509-SVID. The trust domain must be the issuer's; life is cut at the issuer's end.
 * @throws FairleadError SPIFFE_ID_INVALID, KEY_INVALID, ISSUER_EXPIRED
 */
export async function signLeaf(issuer: Issuer, options: LeafOptions): Promise<Leaf> {
  checkLeaf(issuer, options)
  const notAfter = endOfLife(issuer, options.now, options.ttlMs)
  const serial = newSerial(options.random)
  const extensions = await leafExtensions(issuer, options)
  const request = {
    serial,
    subject: undefined,
    issuer: subjectOf(issuer),
    publicKey: options.csrPublicKey,
    key: issuer.key,
    notAfter,
    extensions,
  }
  const certificate = await sign(request, options)
  const chain = [certificate, ...issuer.chain]
  const notBefore = wholeSecond(wallPlus(options.now, -BACKDATE_MS))
  return {
    spiffeId: options.spiffeId,
    certificate,
    chain,
    chainPem: certificatesToPem(chain),
    serial,
    notBefore,
    notAfter,
  }
}

function checkLeaf(issuer: Issuer, options: LeafOptions): void {
  const id = parseSpiffeId(options.spiffeId)
  if (id.path === '') throw new FairleadError('SPIFFE_ID_INVALID', `${id.text} names a trust domain, not a service.`)
  if (id.trustDomain !== issuer.trustDomain) {
    throw new FairleadError('SPIFFE_ID_INVALID', `${id.text} is not of the trust domain ${issuer.trustDomain}.`)
  }
  if (!isP256(options.csrPublicKey)) {
    throw new FairleadError('KEY_INVALID', `The key to sign is ${describe(options.csrPublicKey)}, not EC P-256.`)
  }
  assert(options.ttlMs > 0, 'a leaf lives for some time')
}

/** `ttlMs` from now, never past the issuer's own end. */
function endOfLife(issuer: Issuer, now: WallMs, ttlMs: number): WallMs {
  if (issuer.notAfter - now < 1000) {
    throw new FairleadError(
      'ISSUER_EXPIRED',
      `The signing certificate of ${issuer.trustDomain} ended at ${isoTime(issuer.notAfter)}.`,
    )
  }
  return wholeSecond(Math.min(now + ttlMs, issuer.notAfter) as WallMs)
}

interface Request {
  readonly serial: string
  readonly subject: string | undefined
  readonly issuer: x509.Name | string
  readonly publicKey: KeyObject
  /** The issuer's. */
  readonly key: KeyObject
  readonly notAfter: WallMs
  readonly extensions: x509.Extension[]
}

async function sign(request: Request, options: IssueOptions): Promise<Uint8Array> {
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: request.serial,
    ...(request.subject === undefined ? {} : { subject: request.subject }),
    issuer: request.issuer,
    notBefore: new Date(wholeSecond(wallPlus(options.now, -BACKDATE_MS))),
    notAfter: new Date(request.notAfter),
    publicKey: webPublicKey(request.publicKey),
    signingKey: request.key.toCryptoKey(ECDSA_P256, false, ['sign']),
    signingAlgorithm: SIGNING,
    extensions: request.extensions,
  })
  return new Uint8Array(certificate.rawData)
}

async function authorityExtensions(
  trustDomain: string,
  key: KeyObject,
  issuerKey: KeyObject,
  pathLength: number | undefined,
): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    new x509.SubjectAlternativeNameExtension([{ type: 'url', value: trustDomainIdOf(trustDomain) }], false),
    ...(await keyIdentifiers(key, issuerKey)),
  ]
}

/** The subject is empty, so the SAN is critical. */
async function leafExtensions(issuer: Issuer, options: LeafOptions): Promise<x509.Extension[]> {
  const dns = (options.dnsNames ?? []).map((value) => ({ type: 'dns', value }) as const)
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([serverAuth, clientAuth], false),
    new x509.SubjectAlternativeNameExtension([{ type: 'url', value: options.spiffeId }, ...dns], true),
    ...(await keyIdentifiers(options.csrPublicKey, issuer.key)),
  ]
}

async function keyIdentifiers(key: KeyObject, issuerKey: KeyObject): Promise<x509.Extension[]> {
  return [
    await x509.SubjectKeyIdentifierExtension.create(webPublicKey(key)),
    await x509.AuthorityKeyIdentifierExtension.create(webPublicKey(issuerKey)),
  ]
}

function webPublicKey(key: KeyObject): webcrypto.CryptoKey {
  return createPublicKey({ key: Buffer.from(publicKeyDer(key)), format: 'der', type: 'spki' }).toCryptoKey(
    ECDSA_P256,
    true,
    ['verify'],
  )
}

/** The serial makes each authority's name its own: two roots of one domain are never mistaken for each other. */
function authorityName(trustDomain: string, role: string, serial: string): string {
  return `CN=${role} ${serial.slice(0, 16)},O=${trustDomain.slice(0, NAME_LENGTH_MAX)}`
}

function subjectOf(issuer: Issuer): x509.Name {
  return new x509.X509Certificate(issuer.certificate as Uint8Array<ArrayBuffer>).subjectName
}

/** Positive, 158 random bits, always 20 bytes (RFC 5280 §4.1.2.2). Hex. */
function newSerial(random: Random): string {
  const bytes = Buffer.from(random.bytes(SERIAL_BYTES))
  bytes[0] = (bytes[0]! & 0x3f) | 0x40
  return bytes.toString('hex')
}

/** Certificates count whole seconds; rounding down never lengthens a life. */
function wholeSecond(at: WallMs): WallMs {
  return (Math.floor(at / 1000) * 1000) as WallMs
}
