// pki.ts — a small public-key infrastructure for tests: a trust domain, its services, and a foreign CA.
//
// Real certificates by certs/ca.ts with the real clock, because TLS reads the real clock.

import { createPublicKey } from 'node:crypto'
import { createIntermediate, createRoot, type Issuer, signLeaf } from '../../certs/ca.ts'
import { generateKey, keyToPem } from '../../certs/keys.ts'
import { certificatesToPem } from '../../certs/pem.ts'
import { spiffeIdOf } from '../../certs/spiffe.ts'
import { systemClock, type WallMs } from '../../kernel/clock.ts'
import { systemRandom } from '../../kernel/random.ts'

export interface TestIdentity {
  readonly spiffeId: string
  readonly keyPem: string
  /** Leaf first, then the intermediate. */
  readonly chainPem: string
  readonly notAfter: WallMs
}

export interface TestPki {
  readonly trustDomain: string
  readonly root: Issuer
  readonly intermediate: Issuer
  /** Root certificates, PEM: what peers trust. */
  readonly bundlePem: string
  /** The same, DER. */
  readonly bundle: readonly Uint8Array[]
  /** Key and chain of `spiffe://<trust-domain>/ns/<namespace>/sa/<service>`. */
  issue(service: string, options?: TestIdentityOptions): Promise<TestIdentity>
}

export interface TestIdentityOptions {
  readonly namespace?: string
  readonly ttlMs?: number
  readonly now?: WallMs
  readonly dnsNames?: readonly string[]
}

export const TEST_TRUST_DOMAIN = 'fairlead.local'

export async function testPki(trustDomain = TEST_TRUST_DOMAIN, now = systemClock.wall()): Promise<TestPki> {
  const root = await createRoot({ trustDomain, now, random: systemRandom })
  const intermediate = await createIntermediate(root, { now, random: systemRandom })
  const issue = async (service: string, options: TestIdentityOptions = {}): Promise<TestIdentity> => {
    const key = await generateKey()
    const leaf = await signLeaf(intermediate, {
      csrPublicKey: createPublicKey(keyToPem(key)),
      spiffeId: spiffeIdOf(trustDomain, options.namespace ?? 'default', service),
      ttlMs: options.ttlMs ?? 3_600_000,
      now: options.now ?? now,
      random: systemRandom,
      ...(options.dnsNames ? { dnsNames: options.dnsNames } : {}),
    })
    return { spiffeId: leaf.spiffeId, keyPem: keyToPem(key), chainPem: leaf.chainPem, notAfter: leaf.notAfter }
  }
  return {
    trustDomain,
    root,
    intermediate,
    bundlePem: certificatesToPem([root.certificate]),
    bundle: [root.certificate],
    issue,
  }
}

/** A CA that claims the same trust domain and that nobody trusts. */
export const foreignPki = (trustDomain = TEST_TRUST_DOMAIN): Promise<TestPki> => testPki(trustDomain)
