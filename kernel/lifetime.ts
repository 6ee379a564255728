// lifetime.ts — what was started is closed, in reverse order, once.

export interface Closable {
  /** Stops accepting, drains, then aborts. Idempotent; may be called early or during start. */
  close(): Promise<void>
}

/** Owner of started parts. `close()` closes them in reverse order and throws an AggregateError of what failed. */
export class Lifetime implements Closable {
  readonly #parts: Array<() => unknown> = []
  #closing: Promise<void> | undefined

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** Registers a part and returns it. */
  own<T extends Closable>(part: T): T {
    this.onClose(() => part.close())
    return part
  }

  /** Registers a clean-up step; run at once when already closing. */
  onClose(step: () => unknown): void {
    if (this.#closing) void Promise.resolve().then(step)
    else this.#parts.push(step)
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  async #closeAll(): Promise<void> {
    const failures: unknown[] = []
    for (const step of this.#parts.splice(0).reverse()) {
      try {
        await step()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'closing failed')
  }
}
