// overlap.ts — what a fire does while earlier runs of its schedule have not ended. A literal table, pure.
//
// `active` counts every run that has not reached a terminal state: running, queued, and waiting in retry back-off (a
// back-off that did not count would start a second run between two attempts of the first).

export type OverlapPolicy = 'skip' | 'bufferOne' | 'bufferAll' | 'cancelOther' | 'allowAll'
export const OVERLAP_POLICIES: readonly OverlapPolicy[] = ['skip', 'bufferOne', 'bufferAll', 'cancelOther', 'allowAll']

export interface OverlapState {
  readonly active: number
  /** Fires that wait for the active run to end. */
  readonly buffered: number
}

export type OverlapDecision =
  | { readonly do: 'start' | 'buffer' | 'cancelThenStart' }
  | { readonly do: 'skip'; readonly reason: 'stillActive' | 'bufferFull' }

/** `bufferAll` is bounded too. */
export const BUFFER_MAX = 1000

type Busy = (buffered: number) => OverlapDecision

const BUSY: Record<OverlapPolicy, Busy> = {
  skip: () => ({ do: 'skip', reason: 'stillActive' }),
  bufferOne: (buffered) => (buffered < 1 ? { do: 'buffer' } : { do: 'skip', reason: 'bufferFull' }),
  bufferAll: (buffered) => (buffered < BUFFER_MAX ? { do: 'buffer' } : { do: 'skip', reason: 'bufferFull' }),
  cancelOther: () => ({ do: 'cancelThenStart' }),
  allowAll: () => ({ do: 'start' }),
}

/** With nothing active a buffered fire still goes first: order of nominal instants is kept. */
export function decideOverlap(policy: OverlapPolicy, { active, buffered }: OverlapState): OverlapDecision {
  if (active === 0 && buffered === 0) return { do: 'start' }
  return BUSY[policy](buffered)
}

/** How many buffered fires start when a run ended: one, once nothing is active. */
export const releasesBuffered = ({ active, buffered }: OverlapState): boolean => active === 0 && buffered > 0
