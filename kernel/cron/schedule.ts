// schedule.ts — the whole rule of one schedule: expression, zone, DST, calendar, windows, blackouts, start, end, count.
//
// Pure: `compileSchedule(rule).next(after)` and `upcoming(…)`. A fire's identity is its nominal instant `at`; jitter
// (hash.ts) delays the start of its job and changes no identity.

import type { WallMs } from '../clock.ts'
import { assert, FairleadError } from '../errors.ts'
import { type CalendarRule, isOpen } from './calendar.ts'
import { compileLocalRule } from './local-rule.ts'
import { DAY_MS, localPlus, startOfDay, toInstant, toLocal } from './local-time.ts'
import { DST_DEFAULT, type DstPolicy, type Fire, nextWallFire } from './next.ts'
import type { EverySpec, TimeSpec } from './spec.ts'
import { type Blackout, blackoutEnd, type TimeWindow, windowEntry } from './window.ts'
import { openZone, type Zone } from './zone.ts'

export interface ScheduleRule {
  readonly spec: TimeSpec
  /** IANA name. */
  readonly zone: string
  readonly dst?: Partial<DstPolicy> | undefined
  readonly calendar?: CalendarRule | undefined
  readonly windows?: readonly TimeWindow[] | undefined
  readonly blackouts?: readonly Blackout[] | undefined
  /** No fire before it. */
  readonly startAt?: WallMs | undefined
  /** No fire at or after it. */
  readonly endAt?: WallMs | undefined
  readonly firesMax?: number | undefined
  /** `@every` counts from here; default: 1970-01-01T00:00:00Z. */
  readonly anchor?: WallMs | undefined
}

export interface Schedule {
  /** The first fire after `after`, or undefined when no more will come. `fired`: how many there were already. */
  next(after: WallMs, fired?: number): Fire | undefined
}

type NextAfter = (after: WallMs) => Fire | undefined

/** Windows and closed days that allowed no interval for so long will not allow any. */
const SEARCH_MS_MAX = 60 * 366 * DAY_MS

/** @throws INVALID_INPUT for an unknown zone, or a calendar that cannot apply. */
export function compileSchedule(rule: ScheduleRule): Schedule {
  const zone = openZone(rule.zone)
  const nominal = rule.spec.kind === 'every' ? everyRule(rule.spec, rule, zone) : cronRule(rule, zone)
  const open = outsideBlackouts(nominal, rule.blackouts ?? [])
  const { startAt, endAt, firesMax } = rule
  return {
    next(after, fired = 0) {
      if (firesMax !== undefined && fired >= firesMax) return undefined
      const fire = open(startAt === undefined ? after : (Math.max(after, startAt - 1) as WallMs))
      assert(!fire || fire.at > after, 'a fire lies after the instant that was asked from')
      return fire && (endAt === undefined || fire.at < endAt) ? fire : undefined
    },
  }
}

/** The next fire of an expression alone. */
export const next = (spec: TimeSpec, zone: string, after: WallMs, dst?: Partial<DstPolicy>): Fire | undefined =>
  compileSchedule({ spec, zone, dst }).next(after)

/** At most `count` fires after `after`; `fired`: how many there were already. */
export function* upcoming(schedule: Schedule, after: WallMs, count: number, fired = 0): Generator<Fire> {
  let from = after
  for (let n = 0; n < count; n++) {
    const fire = schedule.next(from, fired + n)
    if (!fire) return
    yield fire
    from = fire.at
  }
}

function cronRule({ spec, calendar, windows, dst }: ScheduleRule, zone: Zone): NextAfter {
  assert(spec.kind === 'cron', 'a cron rule')
  const local = compileLocalRule(spec, { calendar, windows })
  const policy = { ...DST_DEFAULT, ...dst }
  return (after) => nextWallFire(local, zone, after, policy)
}

function everyRule({ periodMs }: EverySpec, rule: ScheduleRule, zone: Zone): NextAfter {
  const { calendar, windows = [], anchor = 0 } = rule
  if (calendar && calendar.onClosed !== 'skip') {
    throw new FairleadError('INVALID_INPUT', '@every has no dates that a calendar could move; only skip applies')
  }
  const fireAt = (at: WallMs): Fire => {
    const { offsetMs } = zone.spanAt(at)
    return {
      at,
      local: toLocal(at, offsetMs),
      offsetMs,
      why: { kind: 'interval' },
    }
  }
  return (after) => {
    let at = gridAfter(after, anchor, periodMs)
    for (const end = at + SEARCH_MS_MAX; at < end; ) {
      const fire = fireAt(at)
      const resume = closedUntil(fire, zone, { calendar, windows })
      if (resume === undefined) return fire
      at = gridAfter((resume - 1) as WallMs, anchor, periodMs)
    }
    return undefined
  }
}

const gridAfter = (after: number, anchor: number, periodMs: number): WallMs =>
  (anchor + (Math.max(-1, Math.floor((after - anchor) / periodMs)) + 1) * periodMs) as WallMs

/**
 * Where to look again when windows or calendar forbid this fire: when its wall clock reaches an allowed time, or changes
 * before that (it may show allowed times again). Undefined when the fire is allowed.
 */
function closedUntil(
  { at, local, offsetMs }: Fire,
  zone: Zone,
  { calendar, windows }: { calendar: CalendarRule | undefined; windows: readonly TimeWindow[] },
): WallMs | undefined {
  let open = local
  if (windows.length > 0) open = windowEntry(windows, open)
  if (calendar && !isOpen(calendar.calendar, open)) open = localPlus(startOfDay(open), DAY_MS)
  if (open === local) return undefined
  return Math.min(zone.spanAt(at).end, toInstant(open, offsetMs)) as WallMs
}

function outsideBlackouts(nominal: NextAfter, blackouts: readonly Blackout[]): NextAfter {
  if (blackouts.length === 0) return nominal
  return (after) => {
    let fire = nominal(after)
    // Each turn passes at least one blackout for good.
    for (let turn = 0; fire && turn <= blackouts.length; turn++) {
      const end = blackoutEnd(blackouts, fire.at)
      if (end === undefined) return fire
      fire = nominal((end - 1) as WallMs)
    }
    return fire
  }
}
