import { expect, test } from 'vitest'
import { Stopped, startDeadline, stopReason } from '../../kernel/timeout.ts'
import { ManualClock } from '../support/clock.ts'

test('deadline: aborts with timeout when its time is over', async () => {
  const clock = new ManualClock()
  const deadline = startDeadline(clock, 100)
  await clock.advance(99)
  expect(deadline.signal.aborted).toBe(false)
  await clock.advance(1)
  expect(stopReason(deadline.signal)).toBe('timeout')
})

test('deadline: is the shorter of its own and its parent', async () => {
  const clock = new ManualClock()
  const parent = startDeadline(clock, 50)
  const child = startDeadline(clock, 1000, parent)
  expect(child.leftMs()).toBe(50)
  await clock.advance(50)
  expect(stopReason(child.signal)).toBe('timeout')
})

test('deadline: keeps the reason of its parent when that aborts', () => {
  const clock = new ManualClock()
  const control = new AbortController()
  const child = startDeadline(clock, 1000, { at: Number.POSITIVE_INFINITY as never, signal: control.signal })
  control.abort(new Stopped('client-left'))
  expect(stopReason(child.signal)).toBe('client-left')
})

test('deadline: leaves no timer when done', () => {
  const clock = new ManualClock()
  startDeadline(clock, 1000).done()
  expect(clock.pending).toBe(0)
})
