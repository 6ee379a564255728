// until.ts — polls a condition until it holds; fails at a deadline. For states that no event announces.

import { setTimeout as delay } from 'node:timers/promises'

/** Errors of `condition` count as "not yet"; the last one is the cause of the failure. */
export async function until(condition: () => unknown, timeoutMs = 5_000): Promise<void> {
  const end = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      if (await condition()) return
    } catch (error) {
      last = error
    }
    if (performance.now() > end) throw new Error(`condition not met in ${timeoutMs} ms`, { cause: last })
    await delay(20)
  }
}
