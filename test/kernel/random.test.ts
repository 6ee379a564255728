import { expect, test } from 'vitest'
import { systemClock, type WallMs } from '../../kernel/clock.ts'
import { secretToken, seededRandom, systemRandom, uuidv7 } from '../../kernel/random.ts'

test('seededRandom: gives the same run when the seed is the same', () => {
  const run = (seed: number): number[] => {
    const random = seededRandom(seed)
    return Array.from({ length: 5 }, () => random.next())
  }
  expect(run(7)).toEqual(run(7))
  expect(run(7)).not.toEqual(run(8))
})

test('uuidv7: sorts by time and has version and variant bits', () => {
  const early = uuidv7(1_000 as WallMs, systemRandom)
  const late = uuidv7(systemClock.wall(), systemRandom)
  expect(early < late).toBe(true)
  expect(late).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

test('secretToken: has 256 bits', () => {
  expect(Buffer.from(secretToken(), 'base64url')).toHaveLength(32)
})
