// split.ts — the weighted split of one rule, in units (one unit = one request or one job).
//
// The quota method (earliest deadline first among those below their upper quota; Tijdeman 1980, Balinski & Young):
// after every prefix of t units each backend has had floor or ceil of t·w/Σw, and every Σw units are exact. Whole
// numbers throughout: `credit` is w·t − x·Σw, so its sum is always 0 and no rounding drifts.
// Units that come back unused are owed: at most OWED_UNITS_MAX per backend, repaid at twice its rate so that a backend
// that nobody can use never starves the others; what is above that counts as gone elsewhere (`forgiven`).

export interface Weighted {
  /** Unique within the split; state is carried over to the next weights by it. */
  readonly key: string
  readonly weight: number
}

/** Debt that a backend without a fitting instance keeps (DESIGN.md §9). */
export const OWED_UNITS_MAX = 16

interface Lane {
  readonly key: string
  readonly weight: number
  credit: number
  owed: number
  /** How many of the owed may be paid now: one for each unit that it had by right. */
  due: number
}

export class Split {
  readonly #lanes: readonly Lane[]
  readonly #total: number
  #owing = 0
  /** Units that came back and were not kept as debt. */
  forgiven = 0

  /** `previous`: the split of the same rule under its former weights. */
  constructor(weights: readonly Weighted[], previous?: Split) {
    this.#lanes = weights.map(({ key, weight }) => ({ key, weight, credit: 0, owed: 0, due: 0 }))
    this.#total = weights.reduce((sum, { weight }) => sum + weight, 0)
    if (previous) this.#carryOver(previous)
  }

  /** Index of the backend of the next unit; −1 when every weight is 0. */
  next(): number {
    if (this.#owing > 0) {
      const repaid = this.#repay()
      if (repaid >= 0) return repaid
    }
    return this.#total === 0 ? -1 : this.#step()
  }

  /** Units per index; sums up to `units` unless every weight is 0. */
  share(units: number): number[] {
    const shares = this.#lanes.map(() => 0)
    let left = units
    if (this.#owing === 0 && this.#total > 0) {
      // Whole cycles leave the state where it is.
      const cycles = Math.floor(units / this.#total)
      this.#lanes.forEach((lane, index) => {
        shares[index] = cycles * lane.weight
      })
      left -= cycles * this.#total
    }
    for (; left > 0; left--) {
      const index = this.next()
      if (index < 0) break
      shares[index]!++
    }
    return shares
  }

  giveBack(key: string, units: number): void {
    const lane = this.#lanes.find((candidate) => candidate.key === key)
    if (!lane || units <= 0) return
    const kept = lane.weight === 0 ? 0 : Math.min(units, OWED_UNITS_MAX - lane.owed)
    this.forgiven += units - kept
    lane.owed += kept
    this.#owing += kept
  }

  #step(): number {
    let best = -1
    let bestDeadline = Number.POSITIVE_INFINITY
    for (let index = 0; index < this.#lanes.length; index++) {
      const lane = this.#lanes[index]!
      lane.credit += lane.weight
      if (lane.credit <= 0) continue // one more would be above its upper quota
      const deadline = (this.#total - lane.credit) / lane.weight
      if (deadline < bestDeadline) {
        best = index
        bestDeadline = deadline
      }
    }
    const lane = this.#lanes[best]!
    lane.credit -= this.#total
    if (lane.due < lane.owed) lane.due++
    return best
  }

  #repay(): number {
    const index = this.#lanes.findIndex((lane) => lane.due > 0)
    const lane = this.#lanes[index]
    if (lane) {
      lane.due--
      lane.owed--
      this.#owing--
    }
    return index
  }

  /** Keeps the fractions: a backend that was owed 0.7 of a unit still is, in the new whole numbers. */
  #carryOver(previous: Split): void {
    const before = new Map(previous.#lanes.map((lane) => [lane.key, lane]))
    this.forgiven = previous.forgiven
    let sum = 0
    for (const lane of this.#lanes) {
      const old = before.get(lane.key)
      if (!old || lane.weight === 0) continue
      lane.credit = previous.#total === 0 ? 0 : Math.trunc((old.credit * this.#total) / previous.#total)
      lane.owed = old.owed
      lane.due = old.due
      this.#owing += lane.owed
      sum += lane.credit
    }
    const heaviest = this.#lanes.reduce<Lane | undefined>((a, b) => (a && a.weight >= b.weight ? a : b), undefined)
    if (heaviest) heaviest.credit -= sum
  }
}
