// certificate.ts — one X.509 certificate, read from its DER; what validation needs and nothing else.
//
// Names come from the bytes of the extension, never from Node's subjectAltName text (CVE-2021-44532).
// OpenSSL (through node:crypto) reads the public key and checks signatures; it must be able to read the whole too.

import { type KeyObject, X509Certificate } from 'node:crypto'
import type { WallMs } from '../kernel/clock.ts'
import {
  children,
  context,
  type Der,
  DerError,
  expectTag,
  readBoolean,
  readDer,
  readInteger,
  readOid,
  readTime,
  sameBytes,
  TAG,
} from './der.ts'
import { type Extensions, type RawExtension, readExtensions } from './extensions.ts'
import { isStrongSignature } from './strength.ts'

export interface Certificate extends Extensions {
  readonly raw: Uint8Array
  /** Hex, as it stands in the certificate. */
  readonly serial: string
  /** Distinguished names, DER. */
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly subjectEmpty: boolean
  readonly notBefore: WallMs
  readonly notAfter: WallMs
  readonly strongSignature: boolean
  readonly publicKey: KeyObject
  /** OpenSSL's view. For signatures and for showing to people, never for names. */
  readonly openssl: X509Certificate
}

/** undefined when the bytes are not a certificate. */
export function parseCertificate(raw: Uint8Array): Certificate | undefined {
  try {
    return readCertificate(raw)
  } catch (thrown) {
    if (thrown instanceof DerError || isOpenSslError(thrown)) return undefined
    throw thrown
  }
}

export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  try {
    return certificate.openssl.verify(issuer.publicKey)
  } catch (thrown) {
    // A key that does not fit the algorithm throws instead of saying no.
    if (isOpenSslError(thrown)) return false
    throw thrown
  }
}

function readCertificate(raw: Uint8Array): Certificate {
  const [tbs, outerAlgorithm, signature, ...rest] = children(expectTag(readDer(raw), TAG.sequence))
  expectTag(signature, TAG.bitString)
  const fields = children(expectTag(tbs, TAG.sequence))
  if (fields[0]?.tag === context(0, true)) fields.shift()
  const [serial, algorithm, issuer, validity, subject, key, ...optional] = fields
  if (rest.length > 0 || !key || !algorithm || !outerAlgorithm) throw new DerError('not the fields of a certificate')
  if (!sameBytes(algorithm.raw, outerAlgorithm.raw)) throw new DerError('two different signature algorithms')
  const [notBefore, notAfter] = children(expectTag(validity, TAG.sequence))
  const openssl = new X509Certificate(raw)
  return {
    raw,
    serial: Buffer.from(readInteger(serial)).toString('hex'),
    issuer: expectTag(issuer, TAG.sequence).raw,
    subject: expectTag(subject, TAG.sequence).raw,
    subjectEmpty: subject!.content.length === 0,
    notBefore: readTime(notBefore),
    notAfter: readTime(notAfter),
    strongSignature: isStrongSignature(algorithm),
    publicKey: openssl.publicKey,
    openssl,
    ...readExtensions(rawExtensions(optional)),
  }
}

/** `[3] { SEQUENCE OF Extension }` behind the two unique ids that nobody uses. */
function rawExtensions(optional: readonly Der[]): RawExtension[] {
  const wrapper = optional.find((field) => field.tag === context(3, true))
  if (!wrapper) return []
  const [list, ...rest] = children(wrapper)
  if (rest.length > 0) throw new DerError('bytes behind the extensions')
  return children(expectTag(list, TAG.sequence)).map(rawExtension)
}

function rawExtension(element: Der): RawExtension {
  const parts = children(expectTag(element, TAG.sequence))
  const critical = parts.length === 3 && readBoolean(parts[1]!)
  if (parts.length < 2 || parts.length > 3) throw new DerError('not the fields of an extension')
  return { oid: readOid(parts[0]), critical, value: expectTag(parts.at(-1), TAG.octetString).content }
}

function isOpenSslError(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && /^ERR_(OSSL|CRYPTO)_/.test(String(thrown.code))
}
