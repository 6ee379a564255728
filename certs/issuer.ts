// issuer.ts — a signing certificate and its key, read back from where they were kept.

import type { KeyObject } from 'node:crypto'
import { FairleadError } from '../kernel/errors.ts'
import type { Issuer } from './ca.ts'
import { parseCertificate } from './certificate.ts'
import { samePublicKey } from './keys.ts'
import { parseCertificates } from './pem.ts'
import { explain } from './reasons.ts'
import { signerFaults } from './signer-rules.ts'
import { parseSpiffeId } from './spiffe.ts'

/**
 * `pem`: the signing certificate, then those above it; a self-signed root alone.
 * @throws FairleadError CERT_INVALID, KEY_INVALID, SPIFFE_ID_INVALID
 */
export function parseIssuer(pem: string, key: KeyObject, what = 'Signing certificate'): Issuer {
  const [der, ...above] = parseCertificates(pem, what)
  const certificate = der && parseCertificate(der)
  if (!certificate) throw new FairleadError('CERT_INVALID', `${what} is not X.509 in DER.`)
  const faults = [...certificate.faults, ...signerFaults(certificate, [], undefined)]
  if (faults.length > 0) throw new FairleadError('CERT_INVALID', `${what} may not sign. ${explain(faults)}`)
  if (!samePublicKey(certificate.publicKey, key)) {
    throw new FairleadError('KEY_INVALID', `${what} and its private key do not belong together.`)
  }
  const { trustDomain } = parseSpiffeId(certificate.alternativeNames?.uris[0] ?? '')
  const isRoot = Buffer.compare(certificate.issuer, certificate.subject) === 0
  const chain = isRoot ? [] : [certificate.raw, ...above]
  return { trustDomain, certificate: certificate.raw, key, chain, notAfter: certificate.notAfter }
}
