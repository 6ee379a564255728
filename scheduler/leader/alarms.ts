// alarms.ts — one timer for all jobs: the earliest moment at which each of them must be looked at again.
//
// An alarm says only "look": what is due is read from the job when it rings, so a late, early or doubled alarm is
// harmless. At most BATCH jobs ring in one turn of the event loop.

import type { Clock, Timer } from '../../kernel/clock.ts'
import type { Entry } from './entry.ts'
import { Heap } from './heap.ts'

const BATCH = 5_000
/** Alarms further away are armed again on the way. */
const ARM_MS_MAX = 3_600_000

export class Alarms {
  readonly #clock: Clock
  readonly #ring: (entries: readonly Entry[]) => void
  readonly #heap = new Heap<Entry>({
    before: (a, b) => a.alarmAt < b.alarmAt,
    indexOf: (entry) => entry.alarmIndex,
    setIndex: (entry, index) => {
      entry.alarmIndex = index
    },
  })
  #timer: Timer | undefined
  #armedFor = Infinity
  #closed = false

  constructor(clock: Clock, ring: (entries: readonly Entry[]) => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Replaces the job's alarm; Infinity = none. `at` is monotonic. */
  set(entry: Entry, at: number): void {
    if (entry.alarmIndex >= 0) {
      if (entry.alarmAt === at) return
      this.#heap.remove(entry)
    }
    entry.alarmAt = at
    if (at === Infinity) return
    this.#heap.push(entry)
    if (at < this.#armedFor) this.#arm()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #arm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#armedFor = Infinity
    const next = this.#heap.peek()
    if (!next || this.#closed) return
    this.#armedFor = next.alarmAt
    const delay = Math.min(Math.max(0, Math.ceil(next.alarmAt - this.#clock.now())), ARM_MS_MAX)
    this.#timer = this.#clock.after(delay, () => this.#fire(), true)
  }

  #fire(): void {
    const now = this.#clock.now()
    const due: Entry[] = []
    while (due.length < BATCH) {
      const next = this.#heap.peek()
      if (!next || next.alarmAt > now) break
      due.push(this.#heap.pop()!)
    }
    this.#armedFor = Infinity
    try {
      if (due.length > 0) this.#ring(due)
    } finally {
      this.#arm()
    }
  }
}
