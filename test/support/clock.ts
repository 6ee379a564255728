// clock.ts — ManualClock: time moves only when a test moves it.

import { type Clock, type MonotonicMs, sleepOn, type Timer, type WallMs } from '../../kernel/clock.ts'

interface Entry {
  at: number
  order: number
  run: () => void
  periodMs?: number
}

export class ManualClock implements Clock {
  #now = 1_000
  #wall: number
  #order = 0
  readonly #entries = new Set<Entry>()

  constructor(wall = Date.UTC(2026, 0, 1)) {
    this.#wall = wall
  }

  now(): MonotonicMs {
    return this.#now as MonotonicMs
  }

  wall(): WallMs {
    return this.#wall as WallMs
  }

  after(delayMs: number, run: () => void): Timer {
    return this.#add({ at: this.#now + Math.max(0, delayMs), order: this.#order++, run })
  }

  every(periodMs: number, run: () => void): Timer {
    return this.#add({ at: this.#now + periodMs, order: this.#order++, run, periodMs })
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal)
  }

  /** Timers not yet fired. */
  get pending(): number {
    return this.#entries.size
  }

  /** Moves time and runs what is due, in order; microtasks are drained between timers. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await drain()
    for (;;) {
      const due = [...this.#entries].filter((e) => e.at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0]
      if (!due) break
      this.#move(due.at)
      if (due.periodMs === undefined) this.#entries.delete(due)
      else due.at += due.periodMs
      due.run()
      await drain()
    }
    this.#move(end)
  }

  #move(to: number): void {
    this.#wall += to - this.#now
    this.#now = to
  }

  #add(entry: Entry): Timer {
    this.#entries.add(entry)
    return { cancel: () => void this.#entries.delete(entry) }
  }
}

async function drain(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}
