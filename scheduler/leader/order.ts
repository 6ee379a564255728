// order.ts — which class is served next (DESIGN.md §9): critical first within its reserve, then 8:4:2:1, smooth.
//
// The reserve is a quarter of what can run: below it a critical job always goes first; past it critical jobs share like
// the others, so a flood of them starves nobody.

import { CLASSES, type JobClass } from '../contract.ts'

export const WEIGHTS = { critical: 8, high: 4, normal: 2, low: 1 } as const satisfies Record<JobClass, number>
export const CRITICAL_RESERVE_SHARE = 0.25

export interface Load {
  /** Critical jobs in the dispatcher's hands or running. */
  readonly critical: number
  /** All jobs that could run at once. */
  readonly capacity: number
}

export function criticalFirst(load: Load): boolean {
  return load.critical < Math.max(1, Math.ceil(load.capacity * CRITICAL_RESERVE_SHARE))
}

/** Smooth weighted round robin over the classes that have a job; credits are kept between calls. */
export class ServiceOrder {
  readonly #credit: Record<JobClass, number> = { critical: 0, high: 0, normal: 0, low: 0 }

  next(waiting: (name: JobClass) => boolean, load: Load): JobClass | undefined {
    if (waiting('critical') && criticalFirst(load)) return 'critical'
    let best: JobClass | undefined
    let total = 0
    for (const name of CLASSES) {
      if (!waiting(name)) {
        this.#credit[name] = 0
        continue
      }
      total += WEIGHTS[name]
      this.#credit[name] += WEIGHTS[name]
      if (best === undefined || this.#credit[name] > this.#credit[best]) best = name
    }
    if (best !== undefined) this.#credit[best] -= total
    return best
  }
}
