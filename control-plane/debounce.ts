// debounce.ts — wakes a loop after a burst of changes: when it was quiet for a while, at the latest after `maxMs`.

import type { Clock, MonotonicMs, Timer } from '../kernel/clock.ts'
import type { Closable } from '../kernel/lifetime.ts'

export interface DebounceOptions {
  readonly clock: Clock
  readonly quietMs: number
  readonly maxMs: number
  /** `since`: the first change of the burst. */
  run(since: MonotonicMs): void
}

export class Debounce implements Closable {
  readonly #options: DebounceOptions
  #timer: Timer | undefined
  #since: MonotonicMs | undefined
  #closed = false

  constructor(options: DebounceOptions) {
    this.#options = options
  }

  poke(): void {
    if (this.#closed) return
    const { clock, quietMs, maxMs } = this.#options
    this.#since ??= clock.now()
    this.#timer?.cancel()
    const left = this.#since + maxMs - clock.now()
    this.#timer = clock.after(Math.max(0, Math.min(quietMs, left)), () => this.#fire())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
  }

  #fire(): void {
    const since = this.#since
    this.#since = undefined
    if (since !== undefined) this.#options.run(since)
  }
}
