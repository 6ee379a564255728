// verify.ts — is this chain an X509-SVID that our trust bundle vouches for?
//
// The only judge of peers: sidecars, control plane and command line ask here. Enforces every MUST of X509-SVID
// (reliability §4.3) and RFC 5280 path validation, and names every reason, not the first.
// Never: reads a clock or the network. Synchronous, because TLS handshakes wait for it.
// Order of the chain: leaf, its issuer, that one's issuer, …; a root may be sent or left out. As soon as a root of the
// bundle signed a certificate the path is complete and what follows is ignored (path.ts).

import type { WallMs } from '../kernel/clock.ts'
import { type Certificate, parseCertificate } from './certificate.ts'
import { matchesHostname } from './hostname.ts'
import { leafFaults } from './leaf-rules.ts'
import { buildPath, pathFaults } from './path.ts'
import type { Reason } from './reasons.ts'
import { isRevoked, type Revoked } from './revoked.ts'
import { parseSpiffeId, type SpiffeId } from './spiffe.ts'

export const CHAIN_CERTIFICATES_MAX = 5
export const CHAIN_BYTES_MAX = 16 * 1024

export interface VerifyOptions {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  /** DER root certificates of one trust domain. */
  readonly bundle: readonly Uint8Array[]
  readonly now: WallMs
  /** The trust domain of the bundle. Without it any trust domain that the bundle's roots do not contradict. */
  readonly trustDomain?: string
  readonly expectId?: string
  readonly expectHostname?: string
  readonly revoked?: Revoked | undefined
}

export type Verdict =
  | {
      readonly ok: true
      readonly spiffeId: string
      /** Of the leaf. */
      readonly serial: string
      /** End of the leaf. */
      readonly notAfter: WallMs
      /** First end on the path: until then the same chain stays valid. */
      readonly validUntil: WallMs
      readonly reasons: readonly []
    }
  | {
      readonly ok: false
      /** What the leaf claims, if it is a SPIFFE ID at all. Proves nothing. */
      readonly spiffeId: string | undefined
      readonly notAfter: WallMs | undefined
      readonly validUntil: undefined
      readonly reasons: readonly Reason[]
    }

/** @throws FairleadError SPIFFE_ID_INVALID when `expectId` itself is none. */
export function verifyChain(options: VerifyOptions): Verdict {
  const expected = options.expectId === undefined ? undefined : parseSpiffeId(options.expectId)
  const outside = sizeFault(options.chain)
  if (outside) return refused([outside], undefined, undefined)
  const chain = parseAll(options.chain)
  const [leaf] = chain
  if (!leaf || chain.length < options.chain.length) return refused(['MALFORMED'], undefined, undefined)
  // A root that cannot be read vouches for nobody; trust-bundle.ts has told whoever loaded it.
  const path = buildPath(chain, parseAll(options.bundle), options.now)
  const { id, faults } = leafFaults(leaf)
  const expectations = expectationFaults(leaf, id, expected, options)
  const reasons = [...new Set([...faults, ...path.faults, ...pathFaults(path, id, options.now), ...expectations])]
  if (reasons.length > 0 || !id || !path.root) return refused(reasons, id?.text, leaf.notAfter)
  const validUntil = Math.min(path.root.notAfter, ...path.presented.map(({ notAfter }) => notAfter)) as WallMs
  return { ok: true, spiffeId: id.text, serial: leaf.serial, notAfter: leaf.notAfter, validUntil, reasons: [] }
}

function parseAll(ders: readonly Uint8Array[]): Certificate[] {
  return ders.map(parseCertificate).filter((certificate) => certificate !== undefined)
}

function refused(reasons: readonly Reason[], spiffeId: string | undefined, notAfter: WallMs | undefined): Verdict {
  return { ok: false, spiffeId, notAfter, validUntil: undefined, reasons }
}

function sizeFault(chain: readonly Uint8Array[]): Reason | undefined {
  if (chain.length === 0) return 'CHAIN_EMPTY'
  if (chain.length > CHAIN_CERTIFICATES_MAX) return 'CHAIN_TOO_LONG'
  return chain.reduce((sum, der) => sum + der.length, 0) > CHAIN_BYTES_MAX ? 'CHAIN_TOO_LARGE' : undefined
}

function expectationFaults(
  leaf: Certificate,
  id: SpiffeId | undefined,
  expected: SpiffeId | undefined,
  options: VerifyOptions,
): Reason[] {
  const faults: Reason[] = []
  if (id && options.trustDomain !== undefined && id.trustDomain !== options.trustDomain)
    faults.push('TRUST_DOMAIN_MISMATCH')
  if (expected && id?.text !== expected.text) faults.push('ID_MISMATCH')
  if (isRevoked(options.revoked, leaf.serial, id?.text ?? '')) faults.push('REVOKED')
  const { expectHostname } = options
  if (expectHostname !== undefined && !matchesHostname(leaf.alternativeNames, expectHostname))
    faults.push('HOSTNAME_MISMATCH')
  return faults
}
