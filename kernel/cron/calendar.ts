// calendar.ts — named lists of closed days, and what happens to a schedule's date that falls on one.
//
// A calendar moves dates, not fires: the time of day stays, two dates that meet on one business day are one fire, and
// the order of fires can never be upset.

import type { DayTest } from './days.ts'
import { DAY_MS, dateOf, formatDate, type LocalMs, localPlus, weekdayOf } from './local-time.ts'

export interface Calendar {
  readonly name: string
  /** 0 = Sunday. */
  readonly closedWeekdays: readonly number[]
  /** `2026-12-24` once, `12-25` each year. */
  readonly closedDates: ReadonlySet<string>
  /** Open all the same; same forms, wins over both. */
  readonly openDates: ReadonlySet<string>
}

export type OnClosed = 'skip' | 'nextBusinessDay' | 'previousBusinessDay'

export interface CalendarRule {
  readonly calendar: Calendar
  readonly onClosed: OnClosed
}

/** A date moves at most this far; in a longer closure it is skipped. */
export const CLOSED_RUN_DAYS_MAX = 31

export function isOpen(calendar: Calendar, at: LocalMs): boolean {
  const date = formatDate(at)
  const yearly = date.slice(5)
  if (calendar.openDates.has(date) || calendar.openDates.has(yearly)) return true
  if (calendar.closedDates.has(date) || calendar.closedDates.has(yearly)) return false
  return !calendar.closedWeekdays.includes(weekdayOf(at))
}

/** The dates on which a schedule really fires: its own open ones, and those that closed ones were moved to. */
export function effectiveDays(days: DayTest, { calendar, onClosed }: CalendarRule): DayTest {
  // A date moved forward comes from the closed days before the open one; looking there finds it.
  const back = onClosed === 'nextBusinessDay' ? -DAY_MS : DAY_MS
  return (date, at) => {
    if (!isOpen(calendar, at)) return false
    if (days(date, at)) return true
    if (onClosed === 'skip') return false
    let from = localPlus(at, back)
    for (let n = 0; n < CLOSED_RUN_DAYS_MAX && !isOpen(calendar, from); n++) {
      if (days(dateOf(from), from)) return true
      from = localPlus(from, back)
    }
    return false
  }
}
