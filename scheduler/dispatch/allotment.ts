// allotment.ts — units that the mesh gave to a backend whose instances are all busy: its debt, kept for a moment.
//
// Each unit kept stands for a job that went back to the heap, so a split stays exact while one version is full: its
// share waits for its slots and does not run elsewhere. At most DEBT_UNITS_MAX per backend; what is above goes back to
// the sidecar at once, and so does what was not used shortly before its quote ends.
// Pure but for its own memory; time comes in as `now`.

import type { MonotonicMs } from '../../kernel/clock.ts'

export const DEBT_UNITS_MAX = 16
/** Units go back this long before their quote ends, so that both sides count them once. */
export const QUOTE_MARGIN_MS = 2_500

export interface Unit {
  readonly quote: string
  readonly backend: string
  readonly version: string
}

export interface UnusedUnits {
  readonly quote: string
  readonly backend: string
  readonly units: number
}

interface Held {
  readonly unit: Unit
  readonly until: MonotonicMs
}

export class Allotment {
  readonly #held = new Map<string, Held[]>()

  get total(): number {
    let sum = 0
    for (const held of this.#held.values()) sum += held.length
    return sum
  }

  backends(): { readonly backend: string; readonly version: string; readonly units: number }[] {
    return [...this.#held].map(([backend, held]) => ({
      backend,
      version: held[0]!.unit.version,
      units: held.length,
    }))
  }

  /** No backend owes so much that more units could not be kept. */
  get full(): boolean {
    return [...this.#held.values()].some((held) => held.length >= DEBT_UNITS_MAX)
  }

  /** False: this backend's debt is full. */
  keep(unit: Unit, until: MonotonicMs): boolean {
    const held = this.#held.get(unit.backend) ?? []
    if (held.length >= DEBT_UNITS_MAX) return false
    held.push({ unit, until })
    this.#held.set(unit.backend, held)
    return true
  }

  /** The oldest units of a backend, at most `count`. */
  draw(backend: string, count: number): Unit[] {
    const held = this.#held.get(backend)
    if (!held) return []
    const drawn = held.splice(0, count)
    if (held.length === 0) this.#held.delete(backend)
    return drawn.map(({ unit }) => unit)
  }

  /** Removes and names what must go back now. */
  expire(now: MonotonicMs): Unit[] {
    const ended: Unit[] = []
    for (const [backend, held] of [...this.#held]) {
      const kept = held.filter((one) => one.until > now)
      for (const one of held) if (one.until <= now) ended.push(one.unit)
      if (kept.length === 0) this.#held.delete(backend)
      else this.#held.set(backend, kept)
    }
    return ended
  }

  clear(): Unit[] {
    return this.expire(Number.POSITIVE_INFINITY as MonotonicMs)
  }
}

/** One entry per quote and backend. */
export function countUnits(units: readonly Unit[]): UnusedUnits[] {
  const sums = new Map<string, { quote: string; backend: string; units: number }>()
  for (const { quote, backend } of units) {
    const key = `${quote}\n${backend}`
    const sum = sums.get(key) ?? { quote, backend, units: 0 }
    sum.units++
    sums.set(key, sum)
  }
  return [...sums.values()]
}
