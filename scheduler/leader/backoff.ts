// backoff.ts — when a failed attempt is tried again: base × 2^(n-1) up to a ceiling, plus jitter (requirement H1).

import type { Random } from '../../kernel/random.ts'
import { DEFAULTS } from '../contract.ts'

export interface Backoff {
  readonly retryBaseMs: number
  readonly retryMaxMs: number
}

/** `used`: attempts charged so far, the failed one included; 1 → base. */
export function retryDelayMs(used: number, policy: Backoff, random: Random): number {
  const exponent = Math.min(Math.max(0, used - 1), 40)
  const delay = Math.min(policy.retryBaseMs * 2 ** exponent, policy.retryMaxMs)
  return Math.round(delay + random.between(0, DEFAULTS.retryJitterMs))
}
