// retry-budget.ts — retries may be `percent` of the first tries of the last 10 s, plus `minPerSecond`.
//
// Two purses: what first tries earned (a ring of one-second slots, so that both sides age together) and a bucket that
// refills by itself. Earnings are spent first. One budget per backend, over all routes (GEP-3388).

import type { Clock } from '../../kernel/clock.ts'
import type { Policy } from '../../mesh-config/snapshot.ts'
import type { RetryBudget } from '../exchange.ts'

export type BudgetPolicy = Policy['retryBudget']

const SLOTS = 10
const SLOT_MS = 1000

export class SlidingRetryBudget implements RetryBudget {
  readonly #clock: Clock
  readonly #earned = new Float64Array(SLOTS)
  readonly #spent = new Float64Array(SLOTS)
  #policy: BudgetPolicy
  #slot: number
  #floor: number
  #floorAt: number
  /** Retries that were refused; for the metric. */
  refused = 0

  constructor(clock: Clock, policy: BudgetPolicy) {
    this.#clock = clock
    this.#policy = policy
    const now = clock.now()
    this.#slot = Math.floor(now / SLOT_MS)
    this.#floor = policy.minPerSecond
    this.#floorAt = now
  }

  update(policy: BudgetPolicy): void {
    this.#policy = policy
  }

  deposit(): void {
    const slot = this.#turn(this.#clock.now())
    this.#earned[slot]! += this.#policy.percent / 100
  }

  withdraw(): boolean {
    const now = this.#clock.now()
    const slot = this.#turn(now)
    let balance = 0
    for (let i = 0; i < SLOTS; i++) balance += this.#earned[i]! - this.#spent[i]!
    // Sums of 0.2 are not exact; a millionth of a retry is no retry.
    if (balance > 1 - 1e-6) {
      this.#spent[slot]! += 1
      return true
    }
    return this.#withdrawFloor(now)
  }

  #withdrawFloor(now: number): boolean {
    const rate = this.#policy.minPerSecond
    this.#floor = Math.min(rate, this.#floor + ((now - this.#floorAt) * rate) / 1000)
    this.#floorAt = now
    if (this.#floor < 1) {
      this.refused++
      return false
    }
    this.#floor -= 1
    return true
  }

  /** Empties the slots that time has passed; returns the current one. */
  #turn(now: number): number {
    const slot = Math.floor(now / SLOT_MS)
    const steps = Math.min(SLOTS, slot - this.#slot)
    for (let i = 1; i <= steps; i++) {
      const index = (this.#slot + i) % SLOTS
      this.#earned[index] = 0
      this.#spent[index] = 0
    }
    if (steps > 0) this.#slot = slot
    return slot % SLOTS
  }
}
