// backoff.ts — how long to wait before the next try: full jitter over a doubling ceiling, never less than `leastMs`.

import type { Random } from '../../kernel/random.ts'

export interface Backoff {
  readonly leastMs: number
  readonly baseMs: number
  readonly maxMs: number
}

/** `failures` in a row so far, ≥ 1. */
export function backoffMs(failures: number, policy: Backoff, random: Random): number {
  const ceiling = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(failures - 1, 30))
  return Math.max(policy.leastMs, random.between(0, ceiling))
}
