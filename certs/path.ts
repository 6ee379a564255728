// path.ts — from a leaf up to a root of the trust bundle.
//
// The chain is taken in the order in which it came: a certificate, then its issuer, … As soon as a root of the bundle
// signed a certificate the path is complete and what follows is ignored: that is how a cross-signed root travels along
// while a trust domain changes its root.

import type { WallMs } from '../kernel/clock.ts'
import { type Certificate, isSignedBy } from './certificate.ts'
import { sameBytes } from './der.ts'
import type { Reason } from './reasons.ts'
import { signerFaults } from './signer-rules.ts'
import type { SpiffeId } from './spiffe.ts'
import { isStrongKey } from './strength.ts'

export interface Path {
  /** Leaf first, without the root of the bundle. */
  readonly presented: readonly Certificate[]
  /** The root of the bundle that it ends at. */
  readonly root: Certificate | undefined
  /** What is wrong with the links; pathFaults judges the certificates. */
  readonly faults: readonly Reason[]
}

export function buildPath(chain: readonly Certificate[], roots: readonly Certificate[], now: WallMs): Path {
  const faults: Reason[] = []
  const presented: Certificate[] = []
  for (const [index, certificate] of chain.entries()) {
    presented.push(certificate)
    const root = rootOf(presented, roots, now)
    if (root) return { presented, root, faults }
    const next = chain[index + 1]
    if (!next) faults.push(isNamed(certificate, roots) ? 'BAD_SIGNATURE' : 'UNTRUSTED_ROOT')
    else if (!sameBytes(certificate.issuer, next.subject)) {
      return { presented, root, faults: [...faults, 'NAME_CHAINING', 'UNTRUSTED_ROOT'] }
    } else if (!isSignedBy(certificate, next)) faults.push('BAD_SIGNATURE')
  }
  return { presented, root: undefined, faults }
}

/** The root that signed the last one; of several (a renewed root keeps name and key) one that is in order now. */
function rootOf(
  presented: readonly Certificate[],
  roots: readonly Certificate[],
  now: WallMs,
): Certificate | undefined {
  const last = presented.at(-1)!
  const signers = roots.filter((root) => sameBytes(root.subject, last.issuer) && isSignedBy(last, root))
  const sound = (root: Certificate): boolean => certificateFaults(root, now).length === 0
  return signers.find(sound) ?? signers[0]
}

/** A root of ours is the named issuer, but did not sign: a changed certificate rather than one of a foreign CA. */
function isNamed(last: Certificate, roots: readonly Certificate[]): boolean {
  const { issuer, authorityKeyId } = last
  const sameKey = (root: Certificate): boolean => authorityKeyId === undefined || authorityKeyId === root.subjectKeyId
  return roots.some((root) => sameBytes(root.subject, issuer) && sameKey(root))
}

/** `leafId`: undefined when the leaf has none. */
export function pathFaults({ presented, root }: Path, leafId: SpiffeId | undefined, now: WallMs): Reason[] {
  const path = root ? [...presented, root] : presented
  return path.flatMap((certificate, index) => [
    ...certificateFaults(certificate, now),
    // A root is believed because it is in the bundle; how it signed itself proves nothing.
    ...(certificate.strongSignature || certificate === root ? [] : (['SIGNATURE_WEAK'] as const)),
    ...(index > 0 ? signerFaults(certificate, path.slice(0, index), leafId) : []),
  ])
}

function certificateFaults(certificate: Certificate, now: WallMs): Reason[] {
  const faults = [...certificate.faults]
  if (now > certificate.notAfter) faults.push('EXPIRED')
  if (now < certificate.notBefore) faults.push('NOT_YET_VALID')
  if (!isStrongKey(certificate.publicKey)) faults.push('KEY_WEAK')
  return faults
}
