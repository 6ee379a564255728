// rate.ts — how often may a peer do what is cheap for it and not for us? A count per window of time.

export interface RateLimit {
  readonly max: number
  readonly windowMs: number
}

export const EARLY_RESETS: RateLimit = { max: 200, windowMs: 10_000 }
export const PINGS: RateLimit = { max: 100, windowMs: 10_000 }
export const BAD_STREAMS: RateLimit = { max: 100, windowMs: 10_000 }

export class Rate {
  readonly #limit: RateLimit
  #count = 0
  #from = Number.NEGATIVE_INFINITY

  constructor(limit: RateLimit) {
    this.#limit = limit
  }

  /** True = this one is too many. */
  exceeded(now: number): boolean {
    if (now - this.#from >= this.#limit.windowMs) {
      this.#from = now
      this.#count = 0
    }
    return ++this.#count > this.#limit.max
  }
}
