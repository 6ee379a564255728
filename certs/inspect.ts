// inspect.ts — a certificate as plain data for people and JSON; what it breaks of X509-SVID, without asking who signed it.

import { isoTime } from '../kernel/clock.ts'
import type { Certificate } from './certificate.ts'
import { EKU, KEY_USAGE } from './extensions.ts'
import { addressText } from './hostname.ts'
import { describe } from './keys.ts'
import { leafFaults } from './leaf-rules.ts'
import type { Reason } from './reasons.ts'
import { signerFaults } from './signer-rules.ts'
import { isStrongKey } from './strength.ts'

export interface Inspection {
  readonly subject: string
  readonly issuer: string
  readonly serial: string
  readonly notBefore: string
  readonly notAfter: string
  readonly key: string
  readonly isCa: boolean
  readonly spiffeId: string | null
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
  readonly addresses: readonly string[]
  readonly keyUsage: readonly string[]
  readonly extendedKeyUsage: readonly string[]
  readonly sha256: string
  /** As a leaf or, if it is a CA, as a signing certificate. */
  readonly problems: readonly Reason[]
}

const USAGES = Object.entries(KEY_USAGE)
const PURPOSES: ReadonlyMap<string, string> = new Map(Object.entries(EKU).map(([name, oid]) => [oid, name]))

export function inspect(certificate: Certificate): Inspection {
  const { openssl, alternativeNames, keyUsage, isCa } = certificate
  const flags = keyUsage?.flags ?? 0
  return {
    subject: oneLine(openssl.subject),
    issuer: oneLine(openssl.issuer),
    serial: certificate.serial,
    notBefore: isoTime(certificate.notBefore),
    notAfter: isoTime(certificate.notAfter),
    key: describe(certificate.publicKey),
    isCa,
    spiffeId: spiffeIdOfAny(certificate),
    uris: alternativeNames?.uris ?? [],
    dnsNames: alternativeNames?.dnsNames ?? [],
    addresses: (alternativeNames?.addresses ?? []).map(addressText),
    keyUsage: USAGES.filter(([, bit]) => flags & bit).map(([name]) => name),
    extendedKeyUsage: (certificate.extendedKeyUsage ?? []).map((oid) => PURPOSES.get(oid) ?? oid),
    sha256: openssl.fingerprint256.replaceAll(':', '').toLowerCase(),
    problems: problemsOf(certificate),
  }
}

function problemsOf(certificate: Certificate): Reason[] {
  const faults = certificate.isCa ? signerFaults(certificate, [], undefined) : leafFaults(certificate).faults
  const weak: Reason[] = [
    ...(isStrongKey(certificate.publicKey) ? [] : (['KEY_WEAK'] as const)),
    ...(certificate.strongSignature ? [] : (['SIGNATURE_WEAK'] as const)),
  ]
  return [...new Set([...certificate.faults, ...faults, ...weak])]
}

/** Also the id of a trust domain, which a signing certificate carries. */
function spiffeIdOfAny(certificate: Certificate): string | null {
  return leafFaults(certificate).id?.text ?? null
}

/** OpenSSL writes one attribute a line. An empty name is nothing. */
function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ')
}
