// join-tokens.ts — a JWT that lets one sidecar of one service get its first certificate, once, within minutes.
//
// ES256 by a key of the state, so tokens survive a restart. Issuing keeps nothing; using one is a row (issued.ts) that
// exists before anything is signed.

import { jwtVerify, SignJWT } from 'jose'
import { parseServiceId, spiffeIdOf } from '../../certs/spiffe.ts'
import { type Clock, isoTime, type WallMs } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { parseWith } from '../../kernel/parse.ts'
import { secretToken } from '../../kernel/random.ts'
import { type JoinTokenClaims, JoinTokenClaimsSchema } from '../contract.ts'
import type { TokenKeys } from './authorities.ts'

const AUDIENCE = 'fairlead-join'
/** A mesh must not be able to join as its own control plane. */
const RESERVED_NAMESPACE = 'fairlead'

export interface JoinTokenOptions {
  readonly trustDomain: string
  readonly keys: TokenKeys
  readonly clock: Clock
}

export interface IssuedJoinToken {
  readonly token: string
  readonly spiffeId: string
  readonly expiresAt: string
}

export class JoinTokens {
  readonly #options: JoinTokenOptions

  constructor(options: JoinTokenOptions) {
    this.#options = options
  }

  /** @throws FairleadError SPIFFE_ID_INVALID, FORBIDDEN */
  async issue(service: string, namespace: string, ttlMs: number): Promise<IssuedJoinToken> {
    const { trustDomain, keys, clock } = this.#options
    if (namespace === RESERVED_NAMESPACE) {
      throw new FairleadError('FORBIDDEN', `The namespace ${RESERVED_NAMESPACE} is the control plane's own.`)
    }
    const spiffeId = spiffeIdOf(trustDomain, namespace, service)
    const now = Math.floor(clock.wall() / 1000)
    const expiresAt = now + Math.ceil(ttlMs / 1000)
    const token = await new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT' })
      .setJti(secretToken())
      .setSubject(spiffeId)
      .setAudience(AUDIENCE)
      .setIssuedAt(now)
      .setExpirationTime(expiresAt)
      .sign(keys.privateKey)
    return { token, spiffeId, expiresAt: isoTime((expiresAt * 1000) as WallMs) }
  }

  /** Signature, audience, life and trust domain; not whether it was used. @throws FairleadError JOIN_TOKEN_INVALID */
  async verify(token: string): Promise<JoinTokenClaims> {
    const { trustDomain, keys, clock } = this.#options
    try {
      const { payload } = await jwtVerify(token, keys.publicKey, {
        algorithms: ['ES256'],
        audience: AUDIENCE,
        requiredClaims: ['jti', 'sub', 'iat', 'exp'],
        currentDate: new Date(clock.wall()),
      })
      const claims = parseWith(JoinTokenClaimsSchema, payload, 'join token', 'JOIN_TOKEN_INVALID')
      const id = parseServiceId(claims.sub)
      if (id.trustDomain === trustDomain && id.namespace !== RESERVED_NAMESPACE) return claims
    } catch (cause) {
      // One answer for every fault: whoever guesses learns nothing. The log has the cause.
      const log = { why: cause instanceof Error ? cause.message : String(cause) }
      throw new FairleadError('JOIN_TOKEN_INVALID', 'The join token is not valid.', { cause, log })
    }
    throw new FairleadError('JOIN_TOKEN_INVALID', 'The join token is not valid.', { log: { why: 'foreign subject' } })
  }
}
