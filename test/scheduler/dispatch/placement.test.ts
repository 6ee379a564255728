// Windows, placement, kept units and the plan of a batch: pure.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { MonotonicMs } from '../../../kernel/clock.ts'
import { Allotment, countUnits, DEBT_UNITS_MAX } from '../../../scheduler/dispatch/allotment.ts'
import { type Candidate, freeSlots, isLive, place } from '../../../scheduler/dispatch/placement.ts'
import { FIRST_QUOTE_UNITS, learn, planBatch } from '../../../scheduler/dispatch/plan.ts'
import { grow, halve, resize, startWindow } from '../../../scheduler/dispatch/window.ts'

const at = (ms: number): MonotonicMs => ms as MonotonicMs
const worker = (extra: Partial<Candidate> & { name?: string } = {}): Candidate & { name: string } => ({
  name: 'w',
  version: 'v1',
  types: new Set(['a']),
  live: true,
  open: true,
  held: 0,
  window: 4,
  ...extra,
})

test('window: grows by one, halves, and stays between one and the slots', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), fc.array(fc.boolean()), (slots, steps) => {
      const end = steps.reduce((window, ok) => (ok ? grow(window) : halve(window)), startWindow(slots))
      expect(end.size).toBeGreaterThanOrEqual(1)
      expect(end.size).toBeLessThanOrEqual(slots)
    }),
  )
  expect([startWindow(8), halve(startWindow(8)), grow(halve(startWindow(8)))].map(({ size }) => size)).toEqual([
    8, 4, 5,
  ])
  expect(resize(startWindow(8), 3)).toEqual({ size: 3, slots: 3 })
})

test('placement: the least loaded instance of the version that knows the type', () => {
  const workers = [
    worker({ name: 'half', held: 2 }),
    worker({ name: 'quarter', held: 1 }),
    worker({ name: 'other type', types: new Set(['b']) }),
    worker({ name: 'other version', version: 'v2' }),
    worker({ name: 'closed', open: false }),
  ]
  expect(place(workers, 'v1', 'a')?.name).toBe('quarter')
  expect(place(workers, 'v2', 'a')?.name).toBe('other version')
  expect(place(workers, '', 'b')?.name).toBe('other type')
  expect(place(workers, 'v2', 'b')).toBeUndefined()
  expect(place(workers, 'v3', 'a')).toBeUndefined()
  expect(place([worker({ held: 4 })], 'v1', 'a')).toBeUndefined()
})

test('placement: load is relative to the window, and of two equal ones the larger wins', () => {
  const small = worker({ name: 'small', held: 1, window: 2 })
  const large = worker({ name: 'large', held: 3, window: 8 })
  expect(place([small, large], 'v1', 'a')?.name).toBe('large')
  expect(place([worker({ name: 'small', window: 2 }), worker({ name: 'large', window: 8 })], '', 'a')?.name).toBe(
    'large',
  )
})

test('placement: free slots count open instances, live ones may be busy', () => {
  const workers = [
    worker({ held: 1 }),
    worker({ version: 'v2', open: false }),
    worker({ version: 'v3', live: false, open: false }),
  ]
  expect([freeSlots(workers), freeSlots(workers, 'v2')]).toEqual([3, 0])
  expect(['v1', 'v2', 'v3', 'v4'].map((version) => isLive(workers, version))).toEqual([true, true, false, false])
})

test('allotment: keeps up to its bound per backend, gives the oldest first, and hands back what ends', () => {
  const allotment = new Allotment()
  const unit = (quote: string, backend = 'b1') => ({ quote, backend, version: 'v1' })
  expect(allotment.keep(unit('q1'), at(10))).toBe(true)
  for (let i = 1; i < DEBT_UNITS_MAX; i++) expect(allotment.keep(unit('q2'), at(20))).toBe(true)
  expect([allotment.full, allotment.keep(unit('q3'), at(30)), allotment.keep(unit('q3', 'b2'), at(30))]).toEqual([
    true,
    false,
    true,
  ])
  expect(allotment.draw('b1', 1)).toEqual([unit('q1')])
  expect(allotment.full).toBe(false)
  expect(allotment.draw('b9', 1)).toEqual([])
  expect(countUnits(allotment.expire(at(20)))).toEqual([{ quote: 'q2', backend: 'b1', units: DEBT_UNITS_MAX - 1 }])
  expect([allotment.total, countUnits(allotment.clear()), allotment.total]).toEqual([
    1,
    [{ quote: 'q3', backend: 'b2', units: 1 }],
    0,
  ])
})

test('plan: takes nothing when no slot is free, and little before the split is known', () => {
  const none = new Map()
  expect(planBatch([worker({ held: 4 })], new Allotment(), none, 100)).toEqual({ take: 0, fresh: 0 })
  expect(planBatch([], new Allotment(), none, 100)).toEqual({ take: 0, fresh: 0 })
  expect(planBatch([worker({ window: 100 })], new Allotment(), none, 1000).fresh).toBe(FIRST_QUOTE_UNITS)
})

test('plan: asks for no more units than the tightest version can run or keep', () => {
  const shares = learn(new Map(), [
    { backend: 'b1', version: 'v1', units: 90 },
    { backend: 'b2', version: 'v2', units: 10 },
  ])
  const workers = [worker({ window: 2 }), worker({ version: 'v2', window: 100 })]
  expect(planBatch(workers, new Allotment(), shares, 1000).fresh).toBe(20) // (2 + 16) / 0.9
})

test('plan: asks for none while a version owes all it may, and uses what waits for a free slot', () => {
  const allotment = new Allotment()
  for (let i = 0; i < DEBT_UNITS_MAX; i++) allotment.keep({ quote: 'q', backend: 'b1', version: 'v1' }, at(99))
  const busy = [worker({ held: 4 }), worker({ version: 'v2' })]
  expect(planBatch(busy, allotment, new Map(), 1000)).toEqual({ take: 0, fresh: 0 })
  const freed = [worker({ held: 3 }), worker({ version: 'v2' })]
  expect(planBatch(freed, allotment, new Map(), 1000)).toEqual({ take: DEBT_UNITS_MAX, fresh: 0 })
})

test('plan: a backend that left is forgotten', () => {
  let shares = learn(new Map(), [{ backend: 'old', version: 'v0', units: 100 }])
  for (let i = 0; i < 20; i++) shares = learn(shares, [{ backend: 'new', version: 'v1', units: 100 }])
  expect([...shares.keys()]).toEqual(['new'])
})
