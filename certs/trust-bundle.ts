// trust-bundle.ts — the root certificates by which the ids of one trust domain are checked, as PEM.

import { FairleadError } from '../kernel/errors.ts'
import { parseCertificate } from './certificate.ts'
import { sameBytes } from './der.ts'
import { parseCertificates } from './pem.ts'

/** More roots than any rotation needs; each costs the handshake a comparison. */
export const BUNDLE_ROOTS_MAX = 32

/** DER roots, duplicates left out. @throws FairleadError CERT_INVALID */
export function parseTrustBundle(pem: string, what = 'Trust bundle'): Uint8Array[] {
  const roots: Uint8Array[] = []
  for (const [index, der] of parseCertificates(pem, what).entries()) {
    const root = parseCertificate(der)
    if (!root) throw bad(`${what}: certificate ${index + 1} is not X.509 in DER.`)
    if (!root.isCa) throw bad(`${what}: certificate ${index + 1} is not a CA; a trust bundle holds roots.`)
    if (!roots.some((known) => sameBytes(known, der))) roots.push(der)
  }
  if (roots.length > BUNDLE_ROOTS_MAX) throw bad(`${what} has more than ${BUNDLE_ROOTS_MAX} roots.`)
  return roots
}

function bad(message: string): FairleadError {
  return new FairleadError('CERT_INVALID', message)
}
