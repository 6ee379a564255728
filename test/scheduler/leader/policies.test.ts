// The leader's pure parts: verdict, back-off, order of service, heaps and lanes, keys, alarms.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../kernel/random.ts'
import type { JobClass } from '../../../scheduler/contract.ts'
import { Alarms } from '../../../scheduler/leader/alarms.ts'
import { retryDelayMs } from '../../../scheduler/leader/backoff.ts'
import { type Entry, entryOf } from '../../../scheduler/leader/entry.ts'
import { Heap } from '../../../scheduler/leader/heap.ts'
import { KeyGate } from '../../../scheduler/leader/key-gate.ts'
import { Lanes } from '../../../scheduler/leader/lanes.ts'
import { boundedLabel } from '../../../scheduler/leader/metrics.ts'
import { criticalFirst, ServiceOrder } from '../../../scheduler/leader/order.ts'
import { type JobFacts, verdict } from '../../../scheduler/leader/verdict.ts'
import { ATTEMPT_OUTCOMES, isTerminal } from '../../../scheduler/states.ts'
import type { JobRow } from '../../../scheduler/store/contract.ts'
import { ManualClock } from '../../support/clock.ts'
import { at, jobRow } from '../rows.ts'

const entry = (over: Partial<JobRow> = {}): Entry => entryOf(jobRow(over))
const policy = { retryBaseMs: 1_000, retryMaxMs: 300_000 }

test('backoff: 1, 2, 4 … 256 s, then 5 min, when jitter is nothing', () => {
  const none = { ...seededRandom(1), between: () => 0 }
  const series = Array.from({ length: 11 }, (_, i) => retryDelayMs(i + 1, policy, none) / 1000)
  expect(series).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])
  expect(retryDelayMs(1000, policy, none)).toBe(300_000)
})

test('backoff: jitter lies in 0…1 s above the series', () => {
  const random = seededRandom(3)
  const delays = Array.from({ length: 500 }, () => retryDelayMs(2, policy, random))
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(2_000)
  expect(Math.max(...delays)).toBeLessThanOrEqual(3_000)
  expect(Math.max(...delays) - Math.min(...delays)).toBeGreaterThan(800)
})

describe('verdict', () => {
  const job: JobFacts = { state: 'leased', attempts: 0, lost: 0, maxAttempts: 3, deadline: null, ...policy }
  const say = (over: Partial<JobFacts>, outcome: (typeof ATTEMPT_OUTCOMES)[number], kind?: 'transient' | 'permanent') =>
    verdict(
      { ...job, ...over },
      { outcome, error: kind ? { code: 'C', class: kind, message: 'm' } : null },
      at(10_000),
      seededRandom(1),
    )

  test.each([
    ['succeeded', {}, 'succeeded', undefined, 'succeeded', true],
    ['failed with attempts left', {}, 'failed', 'transient', 'deferred', true],
    ['failed without a class', {}, 'failed', undefined, 'deferred', true],
    ['failed for good', {}, 'failed', 'permanent', 'failed', true],
    ['failed the last time', { attempts: 2 }, 'failed', 'transient', 'deadLettered', true],
    ['timed out with attempts left', {}, 'timedOut', undefined, 'deferred', true],
    ['timed out the last time', { attempts: 2 }, 'timedOut', undefined, 'timedOut', true],
    ['timed out past the deadline', { deadline: at(10_000) }, 'timedOut', undefined, 'timedOut', true],
    ['cancelled unasked', {}, 'cancelled', undefined, 'deferred', true],
    ['cancelled unasked the last time', { attempts: 2 }, 'cancelled', undefined, 'deadLettered', true],
    ['refused', {}, 'refused', undefined, 'ready', false],
    ['refused past the deadline', { deadline: at(9_999) }, 'refused', undefined, 'expired', false],
    ['released', { attempts: 2 }, 'released', undefined, 'ready', false],
    ['lost', { lost: 1 }, 'lost', undefined, 'ready', false],
    ['lost the third time', { lost: 2 }, 'lost', undefined, 'deadLettered', false],
    ['lost past the deadline', { deadline: at(1) }, 'lost', undefined, 'expired', false],
  ] as const)('%s', (_name, over, outcome, kind, to, charge) => {
    const v = say(over, outcome, kind)
    expect([v.to, v.charge]).toEqual([to, charge])
    expect(v.runAt !== undefined).toBe(to === 'deferred')
    if (to === 'deadLettered' || to === 'timedOut' || to === 'failed' || to === 'expired')
      expect(v.error).not.toBeNull()
  })

  test('of a cancelling job everything but a success is cancelled', () => {
    for (const outcome of ATTEMPT_OUTCOMES) {
      const v = say({ state: 'cancelling', attempts: 2, lost: 2 }, outcome)
      expect(v.to).toBe(outcome === 'succeeded' ? 'succeeded' : 'cancelled')
      expect(isTerminal(v.to)).toBe(true)
    }
  })
})

test('heap: gives back what is in it in order, whatever is removed on the way', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.boolean()), { maxLength: 200 }), (input) => {
      const place = new Map<object, number>()
      const heap = new Heap<{ n: number }>({
        before: (a, b) => a.n < b.n,
        indexOf: (item) => place.get(item) ?? -1,
        setIndex: (item, index) => void place.set(item, index),
      })
      const items = input.map(([n, removed]) => ({ n, removed }))
      for (const item of items) heap.push(item)
      for (const item of items) if (item.removed) heap.remove(item)
      for (const item of items) if (item.removed) heap.remove(item)
      const out: number[] = []
      for (let item = heap.pop(); item; item = heap.pop()) out.push(item.n)
      const left = items.filter((item) => !item.removed).map((item) => item.n)
      expect(out).toEqual(left.sort((a, b) => a - b))
    }),
  )
})

const busy = { critical: 1_000, capacity: 10 }

test('order: 8:4:2:1 over fifteen turns when all classes wait', () => {
  const order = new ServiceOrder()
  const turns = Array.from({ length: 30 }, () => order.next(() => true, busy))
  const count = (name: JobClass): number => turns.filter((turn) => turn === name).length
  expect([count('critical'), count('high'), count('normal'), count('low')]).toEqual([16, 8, 4, 2])
  expect(turns.slice(0, 15).filter((turn) => turn === 'low')).toHaveLength(1)
})

test('order: critical goes first below its reserve, and shares above it', () => {
  const order = new ServiceOrder()
  for (let i = 0; i < 20; i++) order.next((name) => name !== 'critical', busy)
  expect(order.next(() => true, { critical: 0, capacity: 24 })).toBe('critical')
  expect(criticalFirst({ critical: 5, capacity: 24 })).toBe(true)
  expect(criticalFirst({ critical: 6, capacity: 24 })).toBe(false)
  expect(criticalFirst({ critical: 0, capacity: 1 })).toBe(true)
})

test('order: nothing when nothing waits', () => {
  expect(new ServiceOrder().next(() => false, busy)).toBeUndefined()
})

describe('lanes', () => {
  const load = { critical: 0, capacity: 4 }
  const all = new Set(['demo.echo', 'b'])

  test('by class, then priority, then sequence', () => {
    const lanes = new Lanes()
    const low = entry({ id: 'low', priority: 3, class: 'low' })
    const late = entry({ id: 'late', seq: 50_002, priority: 5 })
    const early = entry({ id: 'early', seq: 50_001, priority: 5 })
    const more = entry({ id: 'more', seq: 50_003, priority: 6 })
    const critical = entry({ id: 'critical', seq: 50_004, priority: 9, class: 'critical' })
    for (const one of [low, late, early, more, critical]) lanes.push(one)
    expect(lanes.take(all, 4, load).map((e) => e.id)).toEqual(['critical', 'more', 'low', 'early'])
    expect(lanes.take(all, 4, load).map((e) => e.id)).toEqual(['late'])
    expect(lanes.size).toBe(0)
  })

  test('only the types asked for, in one order over types', () => {
    const lanes = new Lanes()
    for (let seq = 60_000; seq < 60_010; seq++) lanes.push(entry({ seq, type: seq % 2 ? 'b' : 'demo.echo' }))
    expect(lanes.take(new Set(['b']), 2, load).map((e) => e.seq)).toEqual([60_001, 60_003])
    expect(lanes.take(all, 3, load).map((e) => e.seq)).toEqual([60_000, 60_002, 60_004])
    expect(lanes.take(new Set(['none']), 9, load)).toEqual([])
    expect(lanes.size).toBe(5)
  })

  test('a removed job is not offered, twice is harmless', () => {
    const lanes = new Lanes()
    const [a, b] = [entry({ id: 'a' }), entry({ id: 'b' })]
    lanes.push(a)
    lanes.push(b)
    lanes.remove(a)
    lanes.remove(a)
    expect([lanes.size, lanes.take(all, 9, load).map((e) => e.id)]).toEqual([1, ['b']])
  })
})

describe('key gate', () => {
  const keyed = (id: string, runAt: number): Entry => entry({ id, runAt: at(runAt), orderingKey: 'k' })

  test('one at a time, then by (runAt, sequence)', () => {
    const gate = new KeyGate()
    const [a, b, c] = [keyed('a', 5), keyed('b', 9), keyed('c', 7)]
    expect([gate.enter(a), gate.enter(b), gate.enter(c), gate.enter(a), gate.enter(b)]).toEqual([
      true,
      false,
      false,
      true,
      false,
    ])
    expect(gate.leave(a)).toBe(c)
    expect(gate.leave(a)).toBeUndefined()
    expect(gate.leave(b)).toBeUndefined() // left while waiting
    expect(gate.leave(c)).toBeUndefined()
    expect(gate.enter(keyed('d', 1))).toBe(true)
  })

  test('keys of other tenants and kinds are other keys', () => {
    const gate = new KeyGate()
    expect(gate.enter(entry({ orderingKey: 'k' }))).toBe(true)
    expect(gate.enter(entry({ orderingKey: 'k', tenant: 'red' }))).toBe(true)
    expect(gate.enter(entry({ concurrencyKey: 'k' }))).toBe(true)
    expect(gate.enter(entry())).toBe(true)
    expect(gate.enter(entry({ orderingKey: 'k' }))).toBe(false)
  })
})

test('alarms: ring once each, in time, also when moved', async () => {
  const clock = new ManualClock()
  const rung: string[] = []
  const alarms = new Alarms(clock, (entries) => rung.push(...entries.map((e) => e.id)))
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((id) => entry({ id })) as [Entry, Entry, Entry, Entry]
  alarms.set(a, clock.now() + 100)
  alarms.set(b, clock.now() + 50)
  alarms.set(c, clock.now() + 10)
  alarms.set(d, clock.now() + 60)
  alarms.set(c, clock.now() + 200)
  alarms.set(d, Number.POSITIVE_INFINITY)
  await clock.advance(99)
  expect(rung).toEqual(['b'])
  await clock.advance(1)
  expect(rung).toEqual(['b', 'a'])
  await clock.advance(24 * 3600 * 1000)
  expect(rung).toEqual(['b', 'a', 'c'])
  alarms.set(a, clock.now() + 1)
  alarms.close()
  await clock.advance(10)
  expect(rung).toHaveLength(3)
  expect(clock.pending).toBe(0)
})

test('metrics: a label says `other` past its bound', () => {
  const label = boundedLabel(2)
  expect(['a', 'b', 'c', 'a', 'd'].map(label)).toEqual(['a', 'b', 'other', 'a', 'other'])
})
