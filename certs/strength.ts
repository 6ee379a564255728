// strength.ts — which keys and signature algorithms are strong enough to believe.

import type { KeyObject } from 'node:crypto'
import { children, context, type Der, expectTag, readOid, TAG } from './der.ts'

const RSA_BITS_MIN = 2048
/** A larger modulus costs the verifier more than it is worth. */
const RSA_BITS_MAX = 8192
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1'])
const SHA2: ReadonlySet<string> = new Set([
  '2.16.840.1.101.3.4.2.1',
  '2.16.840.1.101.3.4.2.2',
  '2.16.840.1.101.3.4.2.3',
])
const RSA_PSS = '1.2.840.113549.1.1.10'
const STRONG: ReadonlySet<string> = new Set([
  '1.2.840.10045.4.3.2', // ECDSA with SHA-256, -384, -512
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.2.840.113549.1.1.11', // RSA with SHA-256, -384, -512
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.3.101.112', // Ed25519
])

export function isStrongKey(key: KeyObject): boolean {
  const { namedCurve, modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'ed25519') return true
  if (key.asymmetricKeyType === 'ec') return namedCurve !== undefined && CURVES.has(namedCurve)
  if (key.asymmetricKeyType !== 'rsa' || modulusLength === undefined || publicExponent === undefined) return false
  return modulusLength >= RSA_BITS_MIN && modulusLength <= RSA_BITS_MAX && publicExponent >= 3n
}

/** `algorithm` is an AlgorithmIdentifier. */
export function isStrongSignature(algorithm: Der): boolean {
  const [oid, parameters] = children(expectTag(algorithm, TAG.sequence))
  const name = readOid(oid)
  return STRONG.has(name) || (name === RSA_PSS && pssHashIsStrong(parameters))
}

/** RSASSA-PSS-params: hashAlgorithm is `[0]`, and SHA-1 when it is absent (RFC 4055 §3.1). */
function pssHashIsStrong(parameters: Der | undefined): boolean {
  if (parameters?.tag !== TAG.sequence) return false
  const field = children(parameters).find((candidate) => candidate.tag === context(0, true))
  const hash = field && children(field)[0]
  return hash !== undefined && SHA2.has(readOid(children(expectTag(hash, TAG.sequence))[0]))
}
