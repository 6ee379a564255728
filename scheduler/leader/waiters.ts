// waiters.ts — who waits for a job to end (long polls). Bounded: past WAITERS_MAX a waiter is answered at once.

export const WAITERS_MAX = 10_000

export class Waiters {
  readonly #byJob = new Map<string, Set<() => void>>()
  #size = 0

  wait(id: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#size >= WAITERS_MAX) return Promise.resolve()
    return new Promise((resolve) => {
      const waiting = this.#byJob.get(id) ?? new Set()
      const done = (): void => {
        signal.removeEventListener('abort', done)
        if (waiting.delete(done)) this.#size--
        if (waiting.size === 0 && this.#byJob.get(id) === waiting) this.#byJob.delete(id)
        resolve()
      }
      this.#byJob.set(id, waiting.add(done))
      this.#size++
      signal.addEventListener('abort', done, { once: true })
    })
  }

  ended(id: string): void {
    for (const done of [...(this.#byJob.get(id) ?? [])]) done()
  }

  endAll(): void {
    for (const id of [...this.#byJob.keys()]) this.ended(id)
  }
}
