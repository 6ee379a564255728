// notes.ts — starts, progress and log lines of running attempts on their way to the store.
//
// They come often and may be a moment late: they are gathered and written every FLUSH_MS, and before the attempt's end.
// Of starts and progress only the newest counts. When NOTES_MAX lines wait, the newest are dropped and counted.

import type { Clock, Timer, WallMs } from '../../kernel/clock.ts'
import type { Change } from '../store/contract.ts'

export const FLUSH_MS = 100
export const NOTES_MAX = 50_000

export class Notes {
  readonly #clock: Clock
  readonly #write: (changes: readonly Change[]) => void
  #latest = new Map<string, Change>()
  #logs: Change[] = []
  #timer: Timer | undefined
  dropped = 0

  constructor(clock: Clock, write: (changes: readonly Change[]) => void) {
    this.#clock = clock
    this.#write = write
  }

  started(job: string, token: bigint, at: WallMs): void {
    this.#latest.set(`${job} s`, { t: 'started', job, token, at })
    this.#soon()
  }

  progress(job: string, token: bigint, pct: number): void {
    this.#latest.set(`${job} p`, { t: 'progress', job, token, pct })
    this.#soon()
  }

  log(line: Extract<Change, { t: 'log' }>): void {
    if (this.#logs.length >= NOTES_MAX) {
      this.dropped++
      return
    }
    this.#logs.push(line)
    this.#soon()
  }

  /** The attempt ends: its start and progress go with the end, its log lines must be written before it. */
  ending(job: string): void {
    this.#latest.delete(`${job} s`)
    this.#latest.delete(`${job} p`)
    if (this.#logs.length > 0) this.flush()
  }

  flush(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const changes = [...this.#latest.values(), ...this.#logs]
    this.#latest = new Map()
    this.#logs = []
    if (changes.length > 0) this.#write(changes)
  }

  #soon(): void {
    this.#timer ??= this.#clock.after(FLUSH_MS, () => {
      this.#timer = undefined
      this.flush()
    })
  }
}
