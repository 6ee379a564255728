// deadlines.ts — one timer for the deadlines of all requests in flight.
//
// A timer per request costs more than the request's routing. Deadlines mostly come in order, so the one timer is re-armed
// rarely; when it fires it looks at every request that has a deadline (in flight only).

import type { Clock, Timer } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'

export interface DeadlineEntry {
  /** Monotonic; Infinity = none. */
  deadlineAt: number
  onDeadline(): void
}

export class Deadlines implements Closable {
  readonly #clock: Clock
  readonly #entries = new Set<DeadlineEntry>()
  #timer: Timer | undefined
  #armedAt = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Also after `deadlineAt` became sooner. */
  add(entry: DeadlineEntry): void {
    this.#entries.add(entry)
    if (entry.deadlineAt < this.#armedAt) this.#arm(entry.deadlineAt)
  }

  remove(entry: DeadlineEntry): void {
    this.#entries.delete(entry)
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#entries.clear()
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
    for (const entry of this.#entries) {
      if (entry.deadlineAt <= now) due.push(entry)
      else if (entry.deadlineAt < next) next = entry.deadlineAt
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(next)
    for (const entry of due) {
      this.#entries.delete(entry)
      entry.onDeadline()
    }
  }
}
