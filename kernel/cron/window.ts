// window.ts — when firing is allowed at all: weekly windows on the wall clock, and blackouts between two instants.

import type { WallMs } from '../clock.ts'
import { DAY_MS, type LocalMs, localPlus, startOfDay, weekdayOf } from './local-time.ts'

/** `from` ≤ time of day < `to`, on these weekdays; a window past midnight is two windows. */
export interface TimeWindow {
  /** 0 = Sunday; never empty. */
  readonly weekdays: readonly number[]
  readonly fromMs: number
  /** At most 24 h; above `fromMs`. */
  readonly toMs: number
}

/** [from, to) */
export interface Blackout {
  readonly from: WallMs
  readonly to: WallMs
}

/** The first time at or after `at` inside one of the windows (at least one window). */
export function windowEntry(windows: readonly TimeWindow[], at: LocalMs): LocalMs {
  const today = startOfDay(at)
  let best = Number.POSITIVE_INFINITY
  for (let day = 0; day <= 7 && best === Number.POSITIVE_INFINITY; day++) {
    const start = localPlus(today, day * DAY_MS)
    for (const { weekdays, fromMs, toMs } of windows) {
      if (!weekdays.includes(weekdayOf(start)) || start + toMs <= at) continue
      best = Math.min(best, Math.max(at, start + fromMs))
    }
  }
  return best as LocalMs
}

/** The end of the blackouts that hold at `at` (they may touch and overlap), or undefined when none does. */
export function blackoutEnd(blackouts: readonly Blackout[], at: WallMs): WallMs | undefined {
  let end: WallMs | undefined
  for (let again = true; again; ) {
    again = false
    const now = end ?? at
    for (const { from, to } of blackouts) {
      if (from > now || to <= now) continue
      end = to
      again = true
      break
    }
  }
  return end
}
