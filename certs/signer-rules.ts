// signer-rules.ts — what a certificate must be to sign others on the way to a leaf (X509-SVID.md §4, RFC 5280 §6.1.4).

import type { Certificate } from './certificate.ts'
import { sameBytes } from './der.ts'
import { EKU, KEY_USAGE } from './extensions.ts'
import { isAllowed } from './name-constraints.ts'
import type { Reason } from './reasons.ts'
import { parseSpiffeId, type SpiffeId } from './spiffe.ts'

/** `below`: the path from the leaf up to, not including, the signer. `leafId`: undefined when the leaf has none. */
export function signerFaults(
  signer: Certificate,
  below: readonly Certificate[],
  leafId: SpiffeId | undefined,
): Reason[] {
  const faults: Reason[] = []
  if (!signer.isCa) faults.push('SIGNER_NOT_CA')
  if (!((signer.keyUsage?.flags ?? 0) & KEY_USAGE.keyCertSign)) faults.push('SIGNER_KEY_USAGE')
  if (!maySignBothPurposes(signer.extendedKeyUsage)) faults.push('SIGNER_EKU')
  if (signer.pathLength !== undefined && intermediates(below) > signer.pathLength) faults.push('PATH_LENGTH')
  const { nameConstraints } = signer
  const allowed = ({ alternativeNames, subjectEmpty }: Certificate): boolean =>
    nameConstraints === undefined || isAllowed(nameConstraints, alternativeNames, !subjectEmpty)
  if (!below.every(allowed)) faults.push('NAME_CONSTRAINTS')
  const fault = identityFault(signer, leafId)
  return fault ? [...faults, fault] : faults
}

/** Without the extension a CA is unrestricted; OpenSSL reads it as a limit on what is below, and so do we. */
function maySignBothPurposes(purposes: readonly string[] | undefined): boolean {
  if (!purposes || purposes.includes(EKU.any)) return true
  return purposes.includes(EKU.serverAuth) && purposes.includes(EKU.clientAuth)
}

/** Self-issued certificates (a root's renewal) do not count. */
function intermediates(below: readonly Certificate[]): number {
  return below.slice(1).filter((certificate) => !sameBytes(certificate.issuer, certificate.subject)).length
}

/** A corporate CA may have no SPIFFE ID. One that has must be of the leaf's trust domain. */
function identityFault(signer: Certificate, leafId: SpiffeId | undefined): Reason | undefined {
  const ids = (signer.alternativeNames?.uris ?? []).filter((uri) => /^spiffe:/i.test(uri))
  const [text] = ids
  if (text === undefined) return undefined
  if (ids.length > 1) return 'SIGNER_ID_INVALID'
  try {
    const id = parseSpiffeId(text)
    if (id.path !== '') return 'SIGNER_ID_HAS_PATH'
    return leafId && leafId.trustDomain !== id.trustDomain ? 'SIGNER_OTHER_DOMAIN' : undefined
  } catch {
    return 'SIGNER_ID_INVALID'
  }
}
