// random.ts — randomness as an argument, and ids.
//
// systemRandom is cryptographic where it makes ids and secrets; seededRandom gives the same run for the same seed.

import { randomBytes, randomFillSync } from 'node:crypto'
import type { WallMs } from './clock.ts'

export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** Uniform in [low, high). */
  between(low: number, high: number): number
  /** Uniform integer in [0, limit). */
  int(limit: number): number
  /** `length` random bytes. */
  bytes(length: number): Uint8Array
}

export const systemRandom: Random = {
  next: Math.random,
  between: (low, high) => low + Math.random() * (high - low),
  int: (limit) => Math.floor(Math.random() * limit),
  bytes: (length) => randomBytes(length),
}

/** mulberry32; good enough for tests and jitter, never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  return {
    next,
    between: (low, high) => low + next() * (high - low),
    int: (limit) => Math.floor(next() * limit),
    bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)),
  }
}

/** UUIDv7 (RFC 9562 §5.7): time-ordered, 74 random bits. */
export function uuidv7(at: WallMs, random: Random): string {
  const bytes = Buffer.alloc(16)
  bytes.writeUIntBE(at, 0, 6)
  bytes.set(random.bytes(10), 6)
  bytes[6] = (bytes[6]! & 0x0f) | 0x70
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** 256-bit secret, URL-safe. */
export function secretToken(): string {
  return Buffer.from(randomFillSync(new Uint8Array(32))).toString('base64url')
}
