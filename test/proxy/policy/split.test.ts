import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OWED_UNITS_MAX, Split } from '../../../proxy/policy/split.ts'

const weighted = (weights: readonly number[]) => weights.map((weight, index) => ({ key: `b${index}`, weight }))
const weightLists = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 6 })
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

test('split: keeps every prefix within one unit and every cycle exact whatever the weights', () => {
  fc.assert(
    fc.property(weightLists, (weights) => {
      const total = sum(weights)
      const split = new Split(weighted(weights))
      if (total === 0) return split.next() === -1
      const had = weights.map(() => 0)
      for (let t = 1; t <= total * 3; t++) {
        had[split.next()]!++
        weights.forEach((weight, i) => {
          expect(Math.abs(had[i]! - (t * weight) / total)).toBeLessThan(1)
        })
        if (t % total === 0) expect(had).toEqual(weights.map((weight) => (weight * t) / total))
      }
      return true
    }),
    { seed: 7, numRuns: 150 },
  )
})

test('split: shares as many single units would, in any batches', () => {
  fc.assert(
    fc.property(weightLists, fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 10 }), (weights, batches) => {
      const inBatches = new Split(weighted(weights))
      const oneByOne = new Split(weighted(weights))
      for (const units of batches) {
        const single = weights.map(() => 0)
        for (let i = 0; i < units; i++) {
          const index = oneByOne.next()
          if (index >= 0) single[index]!++
        }
        expect(inBatches.share(units)).toEqual(single)
      }
    }),
    { seed: 11, numRuns: 150 },
  )
})

test('split: stays near the ideal when weights change on the way', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 99 }), fc.integer({ min: 1, max: 40 })), { maxLength: 30 }),
      (phases) => {
        let split: Split | undefined
        let ideal = 0
        let had = 0
        for (const [weight, units] of phases) {
          split = new Split(weighted([weight, 100 - weight]), split)
          for (let i = 0; i < units; i++) {
            if (split.next() === 0) had++
            ideal += weight / 100
            expect(Math.abs(had - ideal)).toBeLessThan(1.5)
          }
        }
      },
    ),
    { seed: 3, numRuns: 200 },
  )
})

test('split: a rare backend gets its unit although weights change more often than its turn comes', () => {
  let split = new Split(weighted([99, 1]))
  let rare = 0
  for (let round = 0; round < 100; round++) {
    split = new Split(weighted([99 + (round % 2), 1]), split)
    rare += split.share(10)[1]!
  }
  expect(rare).toBeGreaterThanOrEqual(9)
  expect(rare).toBeLessThanOrEqual(11)
})

test('split: gives 90 and 10 of 100 in one batch', () => {
  expect(new Split(weighted([90, 10])).share(100)).toEqual([90, 10])
})

test('split: a backend of weight 0 gets nothing, also when units are given back to it', () => {
  const split = new Split(weighted([1, 0]))
  split.giveBack('b1', 5)
  expect(split.share(50)).toEqual([50, 0])
  expect(split.forgiven).toBe(5)
})

test('split: pays back what came back, and is exact over used units', () => {
  const split = new Split(weighted([90, 10]))
  expect(split.share(100)).toEqual([90, 10])
  split.giveBack('b1', 10)
  const [first, second] = split.share(210)
  expect([first, second]).toEqual([180, 30])
})

test('split: a backend that nobody can use keeps a bounded debt and starves nobody', () => {
  const split = new Split(weighted([90, 10]))
  let used = 0
  for (let round = 0; round < 100; round++) {
    const [first, second] = split.share(10)
    used += first!
    split.giveBack('b1', second!)
    expect(first).toBeGreaterThanOrEqual(7)
  }
  expect(used).toBeGreaterThanOrEqual(780)
  // It comes back: it gets its share and no more than the debt on top.
  const [, second] = split.share(1000)
  expect(second).toBeGreaterThan(100)
  expect(second).toBeLessThanOrEqual(100 + OWED_UNITS_MAX + 1)
})

test('split: passes over units given back to a backend that it does not have', () => {
  const split = new Split(weighted([1]))
  split.giveBack('gone', 3)
  expect(split.share(4)).toEqual([4])
})
