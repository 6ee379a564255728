// cron-check.ts — one change of one zone's clock: the schedule's answers against the minute-by-minute oracle.

import type { WallMs } from '../../kernel/clock.ts'
import { requireExpression } from '../../kernel/cron/parse.ts'
import { compileSchedule } from '../../kernel/cron/schedule.ts'
import type { Random } from '../../kernel/random.ts'
import { drawSchedule, expectedFires, type Gap, MINUTE_MS, type Overlap } from './cron-oracle.ts'

const GAPS: readonly Gap[] = ['fireAtGapEnd', 'skip', 'shift']
const OVERLAPS: readonly Overlap[] = ['first', 'second', 'both']
const BEFORE_MS = 30 * 60 * MINUTE_MS
const AFTER_MS = 30 * 60 * MINUTE_MS

/** Undefined when they agree; else what to look at. */
export function differenceAt(zone: string, change: number, random: Random): string | undefined {
  const drawn = drawSchedule(random, zone, change)
  const gap = GAPS[random.int(3)]!
  const overlap = OVERLAPS[random.int(3)]!
  const from = change - BEFORE_MS
  const to = change + AFTER_MS
  const expected = expectedFires(drawn, zone, { from, to, gap, overlap })
  const spec = requireExpression(drawn.expression, { dayMatch: drawn.dayMatch })
  const schedule = compileSchedule({ spec, zone, dst: { dstGap: gap, dstOverlap: overlap } })
  const found: number[] = []
  for (let at = from; ; ) {
    const fire = schedule.next(at as WallMs)
    if (!fire || fire.at > to) break
    if (fire.at <= at) return `${zone} ${drawn.expression}: ${iso(fire.at)} does not come after ${iso(at)}`
    found.push(fire.at)
    at = fire.at
  }
  // The answer must not depend on where one asks from.
  const elsewhere = (from + random.int(to - from)) as WallMs
  const first = schedule.next(elsewhere)?.at
  const firstExpected = expected.find((at) => at > elsewhere)
  if (firstExpected !== undefined && first !== firstExpected) {
    return `${zone} ${drawn.expression} ${drawn.dayMatch} ${gap} ${overlap}: from ${iso(elsewhere)} ${iso(first)}, not ${iso(firstExpected)}`
  }
  if (found.join() === expected.join()) return undefined
  const extra = found.filter((at) => !expected.includes(at)).map(iso)
  const lacking = expected.filter((at) => !found.includes(at)).map(iso)
  return `${zone} ${drawn.expression} ${drawn.dayMatch} ${gap} ${overlap} at ${iso(change)}: too many ${extra.slice(0, 5)}; lacking ${lacking.slice(0, 5)}`
}

const iso = (at: number | undefined): string => (at === undefined ? 'none' : new Date(at).toISOString())
