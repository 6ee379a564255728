// changes.ts — the registry's index, and the readers that wait for it to move.
//
// Owns: the one increasing index (Consul's raft index) and the bounded set of blocking queries.
// A reader re-asks `indexOf` after every change and answers when it passed what it has seen, as Consul does; a change
// elsewhere may wake it, but it only returns when its own index moved or its wait is over.
// The index starts at the wall clock, so that it does not run backwards when the registry restarts empty.

import type { Clock, WallMs } from '../../kernel/clock.ts'

export const WAITERS_MAX = 4_096

interface Waiter {
  readonly min: number
  readonly indexOf: () => number
  readonly wake: () => void
}

export class Changes {
  readonly #clock: Clock
  readonly #waiters = new Set<Waiter>()
  #index: number
  #scheduled = false

  constructor(clock: Clock, start: WallMs = clock.wall()) {
    this.#clock = clock
    this.#index = Math.max(1, Math.floor(start))
  }

  /** The index of the newest change. */
  get index(): number {
    return this.#index
  }

  get waiting(): number {
    return this.#waiters.size
  }

  /** Index of one change; readers look again once the current step of the writer is done. */
  next(): number {
    this.#index++
    if (!this.#scheduled) {
      this.#scheduled = true
      queueMicrotask(() => this.#wake())
    }
    return this.#index
  }

  /** Resolves when `indexOf()` > `min`, after `waitMs`, or when the signal aborts; false when too many wait. */
  async wait(min: number, indexOf: () => number, waitMs: number, signal: AbortSignal): Promise<boolean> {
    if (indexOf() > min || signal.aborted) return true
    if (this.#waiters.size >= WAITERS_MAX) return false
    await new Promise<void>((resolve) => {
      const done = (): void => {
        timer.cancel()
        this.#waiters.delete(waiter)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const waiter: Waiter = { min, indexOf, wake: done }
      const timer = this.#clock.after(waitMs, done, true)
      this.#waiters.add(waiter)
      signal.addEventListener('abort', done, { once: true })
    })
    return true
  }

  #wake(): void {
    this.#scheduled = false
    for (const waiter of [...this.#waiters]) if (waiter.indexOf() > waiter.min) waiter.wake()
  }
}
