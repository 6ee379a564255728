// own-identity.ts — the control plane's own certificate: spiffe://<trust domain>/ns/fairlead/sa/control-plane.
//
// Key in memory only, a fresh one with each certificate. Renewed at half of its life; also looks after the intermediate,
// since a leaf cannot outlive it.

import { createPublicKey } from 'node:crypto'
import { generateKey, keyToPem } from '../../certs/keys.ts'
import { spiffeIdOf } from '../../certs/spiffe.ts'
import type { Clock, Timer, WallMs } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { Authorities } from './authorities.ts'
import type { Signer } from './sign.ts'

export interface Credentials {
  readonly key: string
  readonly cert: string
}

export interface OwnIdentity extends Closable {
  readonly current: Credentials
  onChange(listener: (credentials: Credentials) => void): void
}

export interface OwnIdentityOptions {
  readonly signer: Signer
  readonly authorities: Authorities
  readonly trustDomain: string
  readonly clock: Clock
  readonly log: Log
  /** Ends of the own leaf and of the intermediate, after each renewal. */
  onEnds(leaf: WallMs, intermediate: WallMs): void
}

const RETRY_MS = 30_000

export async function startOwnIdentity(options: OwnIdentityOptions): Promise<OwnIdentity> {
  const { clock, log } = options
  const listeners: Array<(credentials: Credentials) => void> = []
  let current: Credentials
  let timer: Timer | undefined
  let closed = false
  const renew = async (): Promise<void> => {
    const { credentials, lifeMs } = await issue(options)
    current = credentials
    for (const listener of listeners) listener(credentials)
    if (!closed) timer = clock.after(lifeMs / 2, again, true)
  }
  const again = (): void => {
    renew().catch((error: unknown) => {
      log.error({ error }, 'own certificate was not renewed; trying again')
      if (!closed) timer = clock.after(RETRY_MS, again, true)
    })
  }
  await renew()
  return {
    get current() {
      return current
    },
    onChange: (listener) => void listeners.push(listener),
    close: async () => {
      closed = true
      timer?.cancel()
    },
  }
}

async function issue(options: OwnIdentityOptions): Promise<{ credentials: Credentials; lifeMs: number }> {
  const { signer, authorities, trustDomain, clock, log } = options
  if (await authorities.renewIfDue()) log.info('new intermediate')
  const key = keyToPem(await generateKey())
  const leaf = await signer.issue(createPublicKey(key), spiffeIdOf(trustDomain, 'fairlead', 'control-plane'), 'self')
  options.onEnds(leaf.notAfter, authorities.issuer.notAfter)
  return { credentials: { key, cert: leaf.chainPem }, lifeMs: leaf.notAfter - clock.wall() }
}
