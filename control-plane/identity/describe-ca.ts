// describe-ca.ts — what signs here, as certificates: for operators who want to see it or trust it elsewhere. Never keys.

import { createHash, X509Certificate } from 'node:crypto'
import { certificatesToPem } from '../../certs/pem.ts'
import type { Ca } from '../contract.ts'
import type { Issued } from '../state/issued.ts'
import type { Revocations } from '../state/revocations.ts'
import type { Authorities } from './authorities.ts'

export interface CaParts {
  readonly trustDomain: string
  readonly authorities: Authorities
  readonly issued: Issued
  readonly revocations: Revocations
}

export function describeCa({ trustDomain, authorities, issued, revocations }: CaParts): Ca {
  return {
    trustDomain,
    roots: authorities.bundle.map(describe),
    intermediate: describe(authorities.issuer.certificate),
    issued: issued.count(),
    revoked: revocations.list().length,
  }
}

function describe(der: Uint8Array): Ca['intermediate'] {
  const certificate = new X509Certificate(der)
  return {
    pem: certificatesToPem([der]),
    serial: certificate.serialNumber.toLowerCase(),
    notBefore: certificate.validFromDate.toISOString(),
    notAfter: certificate.validToDate.toISOString(),
    sha256: createHash('sha256').update(der).digest('hex'),
  }
}
