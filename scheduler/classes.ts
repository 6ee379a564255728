// classes.ts — which class a priority belongs to (DESIGN.md §9): 10–9 critical, 8–7 high, 6–4 normal, 3–1 low.

import type { JobClass } from './contract.ts'

export function classOf(priority: number): JobClass {
  if (priority >= 9) return 'critical'
  if (priority >= 7) return 'high'
  return priority >= 4 ? 'normal' : 'low'
}
