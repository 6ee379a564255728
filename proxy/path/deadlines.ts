// deadlines.ts — one timer for the deadlines of all requests in flight.
//
// A timer per request costs more than the request's routing. Deadlines mostly come in order, so the one timer is re-armed
// rarely; when it fires it looks at every request that has a deadline (in flight only). The entries are their own list.

import type { Clock, Timer } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'

export interface DeadlineEntry {
  /** Monotonic; Infinity = none. */
  deadlineAt: number
  onDeadline(): void
  /** Written by Deadlines only; both undefined while not in the list. */
  before: DeadlineEntry | undefined
  after: DeadlineEntry | undefined
}

export class Deadlines implements Closable {
  readonly #clock: Clock
  /** The list is a ring through this entry. */
  readonly #ring: DeadlineEntry
  #timer: Timer | undefined
  #armedAt = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
    this.#ring = {
      deadlineAt: Number.POSITIVE_INFINITY,
      onDeadline: () => undefined,
      before: undefined,
      after: undefined,
    }
    this.#ring.before = this.#ring.after = this.#ring
  }

  /** Also after `deadlineAt` became sooner. */
  add(entry: DeadlineEntry): void {
    if (entry.after === undefined) {
      const last = this.#ring.before!
      entry.before = last
      entry.after = this.#ring
      last.after = this.#ring.before = entry
    }
    if (entry.deadlineAt < this.#armedAt) this.#arm(entry.deadlineAt)
  }

  remove(entry: DeadlineEntry): void {
    if (entry.after === undefined) return
    entry.before!.after = entry.after
    entry.after.before = entry.before
    entry.before = entry.after = undefined
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#ring.before = this.#ring.after = this.#ring
  }

  #arm(at: number): void {
    this.#timer?.cancel()
    this.#armedAt = at
    this.#timer = this.#clock.after(at - this.#clock.now(), () => this.#fire(), true)
  }

  #fire(): void {
    this.#armedAt = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    const due: DeadlineEntry[] = []
    let next = Number.POSITIVE_INFINITY
    for (let entry = this.#ring.after!; entry !== this.#ring; entry = entry.after!) {
      if (entry.deadlineAt <= now) due.push(entry)
      else next = Math.min(next, entry.deadlineAt)
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(next)
    for (const entry of due) {
      this.remove(entry)
      entry.onDeadline()
    }
  }
}
