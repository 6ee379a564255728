import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import { BackendBreaker } from '../../../proxy/policy/breaker.ts'

const POLICY = { failures: 5, failurePercent: 50, windowMs: 10_000, openMs: 30_000 }

// opossum has timers of its own (the named exception), so time is moved under all of us.
beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

async function setup(policy = POLICY) {
  let opens = 0
  const breaker = new BackendBreaker(systemClock, policy, () => opens++)
  const settle = async (ok: boolean, times = 1): Promise<void> => {
    for (let i = 0; i < times; i++) breaker.settle(ok)
    await vi.advanceTimersByTimeAsync(0)
  }
  return { breaker, settle, opens: () => opens }
}

test('breaker: opens at the fifth failure when all calls fail', async () => {
  const { breaker, settle, opens } = await setup()
  await settle(false, 4)
  expect(breaker.state).toBe('closed')
  breaker.settle(false)
  expect(breaker.state).toBe('open')
  expect(breaker.allow()).toBe(false)
  expect(breaker.opened).toBe(1)
  expect(opens()).toBe(1)
  expect(breaker.reopensInMs()).toBe(30_000)
})

test('breaker: stays closed while less than half of the calls fail', async () => {
  const { breaker, settle } = await setup()
  await settle(true, 100)
  await settle(false, 99)
  expect(breaker.state).toBe('closed')
  await settle(false, 1)
  expect(breaker.state).toBe('open')
})

test('breaker: counts successes and failures of one turn alike', async () => {
  const { breaker } = await setup()
  for (let i = 0; i < 6; i++) {
    breaker.settle(true)
    breaker.settle(true)
    breaker.settle(false)
  }
  expect(breaker.state).toBe('closed')
})

test('breaker: forgets failures after the window', async () => {
  const { breaker, settle } = await setup()
  await settle(false, 4)
  await vi.advanceTimersByTimeAsync(11_000)
  await settle(false, 4)
  expect(breaker.state).toBe('closed')
})

test('breaker: lets one probe through after 30 s and closes when it succeeds', async () => {
  const { breaker, settle } = await setup()
  await settle(false, 5)
  await vi.advanceTimersByTimeAsync(29_999)
  expect(breaker.allow()).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(breaker.state).toBe('halfOpen')
  expect(breaker.reopensInMs()).toBe(0)
  expect([breaker.allow(), breaker.allow(), breaker.allow()]).toEqual([true, false, false])
  await settle(true)
  expect(breaker.state).toBe('closed')
  expect(breaker.allow()).toBe(true)
})

test('breaker: opens again when the probe fails', async () => {
  const { breaker, settle } = await setup()
  await settle(false, 5)
  await vi.advanceTimersByTimeAsync(30_000)
  breaker.allow()
  await settle(false)
  expect(breaker.state).toBe('open')
  expect(breaker.opened).toBe(2)
  await vi.advanceTimersByTimeAsync(30_000)
  expect(breaker.state).toBe('halfOpen')
})

test('breaker: late answers of calls from before neither close nor open it', async () => {
  const { breaker, settle } = await setup()
  await settle(false, 5)
  await settle(true, 10)
  expect(breaker.state).toBe('open')
  await vi.advanceTimersByTimeAsync(30_000)
  await settle(true)
  expect(breaker.state).toBe('halfOpen')
  expect(breaker.allow()).toBe(true)
})

test('breaker: a permit given back lets the next call probe', async () => {
  const { breaker, settle } = await setup()
  await settle(false, 5)
  await vi.advanceTimersByTimeAsync(30_000)
  expect(breaker.allow()).toBe(true)
  breaker.forget()
  expect(breaker.allow()).toBe(true)
})

test('breaker: gives up a probe that never settles', async () => {
  const { breaker, settle } = await setup()
  await settle(false, 5)
  await vi.advanceTimersByTimeAsync(30_000)
  breaker.allow()
  await vi.advanceTimersByTimeAsync(29_999)
  expect(breaker.allow()).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(breaker.allow()).toBe(true)
})

test('breaker: starts with an empty window after it closed, however long the window is', async () => {
  const { breaker, settle } = await setup({ ...POLICY, windowMs: 600_000 })
  await settle(false, 5)
  await vi.advanceTimersByTimeAsync(30_000)
  breaker.allow()
  await settle(true)
  await settle(false, 4)
  expect(breaker.state).toBe('closed')
  await settle(false)
  expect(breaker.state).toBe('open')
  expect(breaker.opened).toBe(2)
})

test('breaker: leaves no timer behind when closed', async () => {
  const { breaker, settle } = await setup()
  await settle(false, 5)
  breaker.close()
  expect(vi.getTimerCount()).toBe(0)
})
