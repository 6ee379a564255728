// local-rule.ts — a cron spec as "the next matching wall-clock time", before any zone is asked (next.ts asks it).
//
// Calendars act on dates and windows on times of day, so both belong here: what they move or forbid is decided on the
// nominal wall clock, and the DST rules then apply to what is left.

import type { CalendarRule } from './calendar.ts'
import { effectiveDays } from './calendar.ts'
import { type DayTest, dayTestOf } from './days.ts'
import { DAY_MS, dateOf, type LocalMs, localPlus, SECOND_MS, startOfDate, startOfDay } from './local-time.ts'
import type { CronSpec } from './spec.ts'
import { type TimeWindow, windowEntry } from './window.ts'

export interface LocalRule {
  /** See CronSpec. */
  readonly elapsed: boolean
  /** The first match at or after `from`; undefined when there is none in 60 years. */
  next(from: LocalMs): LocalMs | undefined
}

/** The longest wait of a possible expression: a weekday on 29 February, across 2100, takes 40 years. */
const SEARCH_DAYS_MAX = 60 * 366
const DAY_SECONDS = 86_400

export interface LocalRuleOptions {
  readonly calendar?: CalendarRule | undefined
  readonly windows?: readonly TimeWindow[] | undefined
}

export function compileLocalRule(spec: CronSpec, { calendar, windows }: LocalRuleOptions = {}): LocalRule {
  const plain = dayTestOf(spec)
  const days = calendar === undefined ? plain : effectiveDays(plain, calendar)
  // A day moved by a calendar may leave the months that the expression names.
  const months = calendar === undefined || calendar.onClosed === 'skip' ? spec.months : undefined
  const match = (from: LocalMs): LocalMs | undefined => firstMatch(spec, { days, months }, from)
  return {
    elapsed: spec.elapsed,
    next: windows?.length ? within(match, windows) : match,
  }
}

interface DayRule {
  readonly days: DayTest
  readonly months: ReadonlySet<number> | undefined
}

function firstMatch(spec: CronSpec, { days, months }: DayRule, from: LocalMs): LocalMs | undefined {
  let day = startOfDay(from)
  let second = Math.ceil((from - day) / SECOND_MS)
  const end = day + SEARCH_DAYS_MAX * DAY_MS
  while (day < end) {
    const date = dateOf(day)
    if (months && !months.has(date.month)) {
      day = startOfDate({ year: date.year, month: date.month + 1, day: 1 })
    } else {
      const time = days(date, day) ? firstTime(spec, second) : undefined
      if (time !== undefined) return localPlus(day, time * SECOND_MS)
      day = localPlus(day, DAY_MS)
    }
    second = 0
  }
  return undefined
}

/** The first matching second of the day at or after `from`. */
function firstTime({ hours, minutes, seconds }: CronSpec, from: number): number | undefined {
  if (from >= DAY_SECONDS) return undefined
  const hourNow = Math.floor(from / 3600)
  const minuteNow = Math.floor(from / 60) % 60
  for (const hour of hours) {
    if (hour < hourNow) continue
    if (hour > hourNow) return hour * 3600 + minutes[0]! * 60 + seconds[0]!
    for (const minute of minutes) {
      if (minute < minuteNow) continue
      if (minute > minuteNow) return hour * 3600 + minute * 60 + seconds[0]!
      const second = seconds.find((value) => value >= from % 60)
      if (second !== undefined) return hour * 3600 + minute * 60 + second
    }
  }
  return undefined
}

function within(match: LocalRule['next'], windows: readonly TimeWindow[]): LocalRule['next'] {
  return (from) => {
    const end = from + SEARCH_DAYS_MAX * DAY_MS
    let at = match(from)
    while (at !== undefined && at < end) {
      const entry = windowEntry(windows, at)
      if (entry === at) return at
      at = match(entry)
    }
    return undefined
  }
}
