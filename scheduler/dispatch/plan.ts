// plan.ts — the arithmetic between a quote and the slots: how many jobs to take, how many units to ask for. Pure.
//
// A unit that falls on a busy version is kept (allotment.ts) and stands for one waiting job; so the units asked for are
// never more than the jobs that no kept unit stands for, and a batch is split exactly however slots come and go.

import { type Allotment, DEBT_UNITS_MAX } from './allotment.ts'
import { type Candidate, freeSlots, isLive } from './placement.ts'

/** What a backend got of the units asked for lately; ages by half at each quote. */
export interface Share {
  readonly version: string
  readonly weight: number
}
export type Shares = ReadonlyMap<string, Share>

/** Before anything is known of the split: small enough that every version can keep what it cannot run. */
export const FIRST_QUOTE_UNITS = 16

export interface Plan {
  /** Jobs to take off the heap. */
  readonly take: number
  /** Of them, how many may be split anew. */
  readonly fresh: number
}

export function planBatch(candidates: readonly Candidate[], allotment: Allotment, shares: Shares, max: number): Plan {
  const free = freeSlots(candidates)
  const usable = allotment.backends().reduce((sum, { version, units }) => {
    return sum + Math.min(units, freeSlots(candidates, version))
  }, 0)
  const room = Math.max(0, Math.min(max, free) - usable)
  const fresh = allotment.full ? 0 : Math.min(room, quoteMax(candidates, allotment, shares))
  if (usable === 0 && fresh === 0) return { take: 0, fresh: 0 }
  return { take: Math.min(max, allotment.total + fresh), fresh }
}

/** So many units that no version gets more than it can run or keep. */
function quoteMax(candidates: readonly Candidate[], allotment: Allotment, shares: Shares): number {
  const total = [...shares.values()].reduce((sum, { weight }) => sum + weight, 0)
  if (total === 0) return FIRST_QUOTE_UNITS
  const owed = new Map(allotment.backends().map(({ backend, units }) => [backend, units]))
  let most = Number.POSITIVE_INFINITY
  for (const [backend, { version, weight }] of shares) {
    const room = freeSlots(candidates, version) + DEBT_UNITS_MAX - (owed.get(backend) ?? 0)
    if (weight > 0 && isLive(candidates, version)) most = Math.min(most, Math.floor((room * total) / weight))
  }
  return Math.max(1, most)
}

export function learn(
  shares: Shares,
  backends: readonly { backend: string; version: string; units: number }[],
): Shares {
  const next = new Map<string, Share>()
  for (const [backend, { version, weight }] of shares) {
    if (weight > 0.05) next.set(backend, { version, weight: weight / 2 })
  }
  for (const { backend, version, units } of backends) {
    next.set(backend, { version, weight: (next.get(backend)?.weight ?? 0) + units })
  }
  return next
}
