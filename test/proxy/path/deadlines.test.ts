// One timer for all deadlines.

import { expect, test } from 'vitest'
import { type DeadlineEntry, Deadlines } from '../../../proxy/path/deadlines.ts'
import { ManualClock } from '../../support/clock.ts'

function setup() {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  const fired: string[] = []
  const entry = (name: string, inMs: number): DeadlineEntry => ({
    deadlineAt: clock.now() + inMs,
    onDeadline: () => void fired.push(name),
    before: undefined,
    after: undefined,
  })
  return { clock, deadlines, fired, entry }
}

test('deadlines: fire in time, each once, when they came in any order', async () => {
  const { clock, deadlines, fired, entry } = setup()
  for (const [name, ms] of [
    ['c', 300],
    ['a', 100],
    ['b', 200],
    ['never', Number.POSITIVE_INFINITY],
  ] as const) {
    deadlines.add(entry(name, ms))
  }
  await clock.advance(99)
  expect(fired).toEqual([])
  await clock.advance(1)
  expect(fired).toEqual(['a'])
  await clock.advance(1_000)
  expect(fired).toEqual(['a', 'b', 'c'])
})

test('deadlines: one that was removed does not fire, and its timer does no harm', async () => {
  const { clock, deadlines, fired, entry } = setup()
  const [early, late] = [entry('early', 100), entry('late', 200)]
  deadlines.add(early)
  deadlines.add(late)
  deadlines.remove(early)
  deadlines.remove(early)
  await clock.advance(150)
  expect(fired).toEqual([])
  await clock.advance(50)
  expect(fired).toEqual(['late'])
})

test('deadlines: one that becomes sooner fires at the sooner time', async () => {
  const { clock, deadlines, fired, entry } = setup()
  const one = entry('one', 1_000)
  deadlines.add(one)
  one.deadlineAt = clock.now() + 50
  deadlines.add(one)
  await clock.advance(50)
  expect(fired).toEqual(['one'])
  await clock.advance(2_000)
  expect(fired).toEqual(['one'])
})

test('deadlines: hold one timer for a thousand entries, and none after close', async () => {
  const { clock, deadlines, fired, entry } = setup()
  for (let i = 0; i < 1_000; i++) deadlines.add(entry(String(i), 100 + i))
  expect(clock.pending).toBe(1)
  await deadlines.close()
  expect(clock.pending).toBe(0)
  await clock.advance(5_000)
  expect(fired).toEqual([])
})
