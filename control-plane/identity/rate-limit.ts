// rate-limit.ts — token buckets, one per key, in bounded memory.
//
// A full table forgets the fullest-looking buckets first (those that would be full again anyway), never the empty ones:
// flooding with new keys must not reset a key that is being held back.

import type { Clock } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'

export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

const KEYS_MAX = 4_096

export class RateLimit {
  readonly #clock: Clock
  readonly #rate: Rate
  readonly #buckets = new Map<string, { tokens: number; at: number }>()

  constructor(clock: Clock, rate: Rate) {
    this.#clock = clock
    this.#rate = rate
  }

  /** @throws FairleadError RATE_LIMITED */
  take(key: string): void {
    const now = this.#clock.now()
    const tokens = this.#tokensOf(key, now)
    if (tokens < 1 || (!this.#buckets.has(key) && !this.#makeRoom(now))) {
      const retryAfterS = Math.max(1, Math.ceil((1 - tokens) / this.#rate.perSecond))
      throw new FairleadError('RATE_LIMITED', 'Too many requests.', { retryAfterS, log: { key } })
    }
    this.#buckets.set(key, { tokens: tokens - 1, at: now })
  }

  isEmpty(key: string): boolean {
    return this.#tokensOf(key, this.#clock.now()) < 1
  }

  #tokensOf(key: string, now: number): number {
    const bucket = this.#buckets.get(key)
    if (!bucket) return this.#rate.burst
    return Math.min(this.#rate.burst, bucket.tokens + ((now - bucket.at) / 1000) * this.#rate.perSecond)
  }

  #makeRoom(now: number): boolean {
    if (this.#buckets.size < KEYS_MAX) return true
    for (const key of this.#buckets.keys()) {
      if (this.#tokensOf(key, now) >= this.#rate.burst) this.#buckets.delete(key)
    }
    return this.#buckets.size < KEYS_MAX
  }
}
