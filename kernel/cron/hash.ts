// hash.ts — a number that is always the same for the same name: for `H` in expressions and for jitter.

import { createHash } from 'node:crypto'

/** Uniform integer in [0, limit). The same on every machine, in every version: changing it moves every user's jobs. */
export function hashInt(limit: number, ...words: readonly string[]): number {
  const digest = createHash('sha256').update(words.join('\0')).digest()
  return digest.readUIntBE(0, 6) % limit
}

/** Delay of one fire in [0, jitterMs): by schedule and nominal instant, so a replay after a crash finds the same. */
export function jitterOf(schedule: string, nominalMs: number, jitterMs: number): number {
  return jitterMs <= 0 ? 0 : hashInt(jitterMs, 'jitter', schedule, String(nominalMs))
}
