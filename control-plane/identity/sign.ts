// sign.ts — who asks, which key, one certificate.
//
// Identity comes from the join token or from the caller's current SVID, never from the request for a certificate; of
// that only the proven public key is used. A token is consumed before anything is signed: a crash in between costs a
// token, never a second certificate.
// A key that was signed for one identity is not signed for another.

import type { KeyObject } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { type Leaf, signLeaf } from '../../certs/ca.ts'
import { parseCsr } from '../../certs/csr.ts'
import { publicKeyDer } from '../../certs/keys.ts'
import { isRevoked } from '../../certs/revoked.ts'
import { parseServiceId } from '../../certs/spiffe.ts'
import { type Clock, isoTime, type WallMs } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'
import type { SignAnswer, SignRequest } from '../contract.ts'
import type { Audit } from '../state/audit.ts'
import { transact } from '../state/database.ts'
import { type Issued, sha256 } from '../state/issued.ts'
import type { Revocations } from '../state/revocations.ts'
import type { Authorities } from './authorities.ts'
import type { JoinTokens } from './join-tokens.ts'
import { RateLimit } from './rate-limit.ts'

export const LEAF_TTL_MS_MIN = 5 * 60_000
/** Consul's limit, per control plane. */
const SIGN_RATE = { perSecond: 50, burst: 200 } as const
/** Refused requests per address: past it, callers without a certificate wait, and refusals are no longer audited. */
const REFUSED_RATE = { perSecond: 1, burst: 20 } as const

export interface SignerOptions {
  readonly sql: DatabaseSync
  readonly authorities: Authorities
  readonly tokens: JoinTokens
  readonly issued: Issued
  readonly audit: Audit
  readonly revocations: Revocations
  readonly clock: Clock
  readonly random: Random
  /** Of the config that runs. */
  leafTtlMs(): number
  /** Tests only: leaves that live less than five minutes. */
  readonly dangerShortTtl: boolean
  onIssued(): void
}

export interface Caller {
  /** SPIFFE ID of a verified, current certificate; undefined without one. */
  readonly spiffeId: string | undefined
  readonly address: string
}

export class Signer {
  readonly #options: SignerOptions
  readonly #rate: RateLimit
  readonly #refused: RateLimit

  constructor(options: SignerOptions) {
    this.#options = options
    this.#rate = new RateLimit(options.clock, SIGN_RATE)
    this.#refused = new RateLimit(options.clock, REFUSED_RATE)
  }

  /** @throws FairleadError JOIN_TOKEN_INVALID, PEER_IDENTITY_INVALID, CSR_INVALID, RATE_LIMITED */
  async sign(request: SignRequest, caller: Caller): Promise<SignAnswer> {
    if (caller.spiffeId === undefined && this.#refused.isEmpty(caller.address)) {
      throw new FairleadError('RATE_LIMITED', 'Too many refused requests from this address.', { retryAfterS: 1 })
    }
    this.#rate.take('all')
    try {
      const leaf = await this.#sign(request, caller)
      return {
        certificateChain: leaf.chainPem,
        trustBundle: [...this.#options.authorities.bundlePem],
        spiffeId: leaf.spiffeId,
        notBefore: isoTime(leaf.notBefore),
        notAfter: isoTime(leaf.notAfter),
      }
    } catch (error) {
      this.#refuse(asFairleadError(error), caller)
      throw error
    }
  }

  async #sign(request: SignRequest, caller: Caller): Promise<Leaf> {
    const { issued } = this.#options
    const { publicKey } = await parseCsr(request.csr)
    const keyHash = sha256(publicKeyDer(publicKey))
    if (request.joinToken === undefined) {
      const spiffeId = currentIdentity(caller)
      this.#refuseRevoked(spiffeId)
      this.#refuseForeignKey(keyHash, spiffeId)
      return this.issue(publicKey, spiffeId, 'svid')
    }
    const claims = await this.#options.tokens.verify(request.joinToken)
    this.#refuseRevoked(claims.sub)
    this.#refuseForeignKey(keyHash, claims.sub)
    if (!issued.consumeToken(claims.jti, claims.sub, (claims.exp * 1000) as WallMs)) {
      throw new FairleadError('JOIN_TOKEN_INVALID', 'The join token was used before.', { log: { sub: claims.sub } })
    }
    return this.issue(publicKey, claims.sub, 'join-token')
  }

  /** Signs for an identity that was proven before; also the control plane's own (`self`). */
  async issue(publicKey: KeyObject, spiffeId: string, proof: 'join-token' | 'svid' | 'self'): Promise<Leaf> {
    const { sql, authorities, issued, audit, clock, random } = this.#options
    const now = clock.wall()
    const leaf = await signLeaf(authorities.issuer, {
      csrPublicKey: publicKey,
      spiffeId,
      ttlMs: this.#ttlMs(),
      now,
      random,
    })
    const { serial, notAfter } = leaf
    const detail = { serial, proof, notAfter: isoTime(notAfter) }
    transact(sql, () => {
      issued.record({ serial, spiffeId, keyHash: sha256(publicKeyDer(publicKey)), proof, notAfter })
      audit.record('certificate.issue', proof === 'self' ? 'control-plane' : spiffeId, spiffeId, detail)
    })
    this.#options.onIssued()
    return leaf
  }

  /** The floor stands whatever the config says. */
  #ttlMs(): number {
    const { leafTtlMs, dangerShortTtl } = this.#options
    return dangerShortTtl ? leafTtlMs() : Math.max(LEAF_TTL_MS_MIN, leafTtlMs())
  }

  #refuseRevoked(spiffeId: string): void {
    if (!isRevoked(this.#options.revocations.current, '', spiffeId)) return
    throw new FairleadError('IDENTITY_REVOKED', `The identity ${spiffeId} is revoked.`)
  }

  #refuseForeignKey(keyHash: string, spiffeId: string): void {
    const owner = this.#options.issued.otherOwnerOf(keyHash, spiffeId)
    if (owner === undefined) return
    const log = { owner, spiffeId }
    throw new FairleadError('CSR_INVALID', 'The key belongs to another identity; make a new one.', { log })
  }

  /** Refusals are audited within a rate per address: a flood must not write the disk full or push out older rows. */
  #refuse(error: FairleadError, caller: Caller): void {
    try {
      this.#refused.take(caller.address)
    } catch {
      return
    }
    const detail = { code: error.code, address: caller.address, ...error.log }
    this.#options.audit.record('certificate.refuse', caller.spiffeId ?? 'unknown', caller.spiffeId ?? '', detail)
  }
}

function currentIdentity(caller: Caller): string {
  if (caller.spiffeId === undefined) {
    throw new FairleadError('PEER_IDENTITY_INVALID', 'Neither a join token nor a valid certificate was shown.')
  }
  parseServiceId(caller.spiffeId)
  return caller.spiffeId
}
