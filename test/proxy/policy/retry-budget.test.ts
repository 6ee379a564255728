import { expect, test } from 'vitest'
import { SlidingRetryBudget } from '../../../proxy/policy/retry-budget.ts'
import { ManualClock } from '../../support/clock.ts'

function setup(percent = 20, minPerSecond = 10) {
  const clock = new ManualClock()
  const budget = new SlidingRetryBudget(clock, { percent, minPerSecond })
  const take = (): number => {
    let taken = 0
    while (taken < 100_000 && budget.withdraw()) taken++
    return taken
  }
  const deposit = (times: number): void => {
    for (let i = 0; i < times; i++) budget.deposit()
  }
  return { clock, budget, take, deposit }
}

test('retry budget: allows ten a second without any traffic', async () => {
  const { clock, take } = setup()
  expect(take()).toBe(10)
  await clock.advance(1000)
  expect(take()).toBe(10)
  await clock.advance(60_000)
  expect(take()).toBe(10)
})

test('retry budget: allows 20 % of the first tries on top', () => {
  const { take, deposit } = setup()
  deposit(1000)
  expect(take()).toBe(200 + 10)
})

test('retry budget: forgets first tries after ten seconds', async () => {
  const { clock, take, deposit } = setup(20, 0)
  deposit(1000)
  await clock.advance(11_000)
  expect(take()).toBe(0)
})

test('retry budget: what was spent counts for ten seconds too', async () => {
  const { clock, take, deposit } = setup(20, 0)
  deposit(100)
  expect(take()).toBe(20)
  await clock.advance(5000)
  deposit(50)
  expect(take()).toBe(10)
})

test('retry budget: holds 20 % over a long run of failures', async () => {
  const { clock, budget, deposit } = setup(20, 0)
  let retries = 0
  for (let second = 0; second < 60; second++) {
    for (let i = 0; i < 100; i++) {
      deposit(1)
      if (budget.withdraw()) retries++
    }
    await clock.advance(1000)
  }
  expect(retries).toBeGreaterThan(0.19 * 6000)
  expect(retries).toBeLessThanOrEqual(0.2 * 6000)
})

test('retry budget: refuses everything when both parts are 0', () => {
  const { budget, deposit } = setup(0, 0)
  deposit(1000)
  expect(budget.withdraw()).toBe(false)
  expect(budget.refused).toBe(1)
})
