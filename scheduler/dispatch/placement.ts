// placement.ts — which instance of the chosen version runs a job: the least loaded one that fits. Pure.
//
// The mesh decided the backend (its version); here nothing is drawn by lot, so the same state gives the same place.

export interface Candidate {
  readonly version: string
  readonly types: ReadonlySet<string>
  /** False once its session ended or it drains. */
  readonly live: boolean
  /** Live, and not backing off after a refusal. */
  readonly open: boolean
  /** Attempts that it holds, those on their way included. */
  readonly held: number
  readonly window: number
}

/** A backend without a version takes any. */
export const ofVersion = (candidate: Candidate, version: string): boolean =>
  version === '' || candidate.version === version

export const isLive = (candidates: readonly Candidate[], version: string): boolean =>
  candidates.some((one) => one.live && ofVersion(one, version))

export const freeOf = (candidate: Candidate): number =>
  candidate.open ? Math.max(0, candidate.window - candidate.held) : 0

export function freeSlots(candidates: readonly Candidate[], version = ''): number {
  return candidates.reduce((sum, one) => sum + (ofVersion(one, version) ? freeOf(one) : 0), 0)
}

export function place<C extends Candidate>(candidates: readonly C[], version: string, type: string): C | undefined {
  let best: C | undefined
  for (const one of candidates) {
    if (freeOf(one) === 0 || !ofVersion(one, version) || !one.types.has(type)) continue
    if (!best || lighter(one, best)) best = one
  }
  return best
}

/** Compares held/window without dividing; of two equal loads the larger window wins. */
function lighter(a: Candidate, b: Candidate): boolean {
  const left = a.held * b.window
  const right = b.held * a.window
  return left < right || (left === right && a.window > b.window)
}
