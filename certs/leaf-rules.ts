// leaf-rules.ts — what a leaf must be to be an X509-SVID (X509-SVID.md §2–§4, §5.2).

import type { Certificate } from './certificate.ts'
import { EKU, KEY_USAGE } from './extensions.ts'
import type { Reason } from './reasons.ts'
import { parseSpiffeId, type SpiffeId } from './spiffe.ts'

/** Visible ASCII. A NUL or a letter of another alphabet in a name reads differently to different programs. */
const VISIBLE = /^[\x21-\x7e]+$/

export function leafFaults(leaf: Certificate): { id: SpiffeId | undefined; faults: Reason[] } {
  const { id, fault } = identity(leaf)
  const faults = [fault, ...nameFaults(leaf), ...usageFaults(leaf)].filter((reason) => reason !== undefined)
  return { id, faults }
}

function identity(leaf: Certificate): { id: SpiffeId | undefined; fault: Reason | undefined } {
  const [uri, second] = leaf.alternativeNames?.uris ?? []
  if (uri === undefined) return { id: undefined, fault: 'URI_SAN_MISSING' }
  if (second !== undefined) return { id: undefined, fault: 'URI_SAN_SEVERAL' }
  try {
    const id = parseSpiffeId(uri)
    return { id, fault: id.path === '' ? 'SPIFFE_ID_NO_PATH' : undefined }
  } catch {
    return { id: undefined, fault: 'SPIFFE_ID_INVALID' }
  }
}

function nameFaults(leaf: Certificate): Reason[] {
  const faults: Reason[] = []
  const names = leaf.alternativeNames
  if (leaf.subjectEmpty && names && !names.critical) faults.push('SAN_NOT_CRITICAL')
  if (![...(names?.dnsNames ?? []), ...(names?.emails ?? [])].every((name) => VISIBLE.test(name)))
    faults.push('SAN_MALFORMED')
  return faults
}

function usageFaults(leaf: Certificate): Reason[] {
  const faults: Reason[] = leaf.isCa ? ['LEAF_IS_CA'] : []
  const usage = leaf.keyUsage
  if (!usage) faults.push('KEY_USAGE_MISSING')
  else {
    if (!usage.critical) faults.push('KEY_USAGE_NOT_CRITICAL')
    if (!(usage.flags & KEY_USAGE.digitalSignature)) faults.push('KEY_USAGE_NO_DIGITAL_SIGNATURE')
    if (usage.flags & KEY_USAGE.keyCertSign) faults.push('KEY_USAGE_CERT_SIGN')
    if (usage.flags & KEY_USAGE.crlSign) faults.push('KEY_USAGE_CRL_SIGN')
  }
  const purposes = leaf.extendedKeyUsage
  if (purposes && !purposes.includes(EKU.serverAuth)) faults.push('EKU_SERVER_AUTH_MISSING')
  if (purposes && !purposes.includes(EKU.clientAuth)) faults.push('EKU_CLIENT_AUTH_MISSING')
  return faults
}
