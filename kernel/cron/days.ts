// days.ts — does a date match the day fields of an expression?

import { type CivilDate, DAY_MS, daysInMonth, type LocalMs, startOfDate, weekdayOf } from './local-time.ts'
import type { CronSpec, DaysOfMonth, DaysOfWeek } from './spec.ts'

/** Says whether a date is one of the schedule's; `at` is its midnight. */
export type DayTest = (date: CivilDate, at: LocalMs) => boolean

/** 28 years in a row hold each of the 14 kinds of year: seven weekdays of 1 January, leap or not. */
const KINDS_YEARS = 28

export function dayTestOf(spec: CronSpec): DayTest {
  const { months, dom, dow, dayMatch } = spec
  const either = dayMatch === 'or' && !dom.any && !dow.any
  return (date, at) => {
    if (!months.has(date.month)) return false
    const byMonth = dom.any || matchesDom(dom, date, at)
    if (either ? byMonth : !byMonth) return either
    return dow.any || matchesDow(dow, date, at)
  }
}

/** Is there a date at all? `0 0 30 2 *` has none. */
export function hasAnyDate(spec: CronSpec): boolean {
  const test = dayTestOf(spec)
  for (let year = 2000; year < 2000 + KINDS_YEARS; year++) {
    for (const month of spec.months) {
      for (let day = 1; day <= daysInMonth(year, month); day++) {
        const date = { year, month, day }
        if (test(date, startOfDate(date))) return true
      }
    }
  }
  return false
}

function matchesDom(dom: DaysOfMonth, { year, month, day }: CivilDate, at: LocalMs): boolean {
  if (dom.days.has(day)) return true
  if (!dom.last && !dom.lastWorkday && dom.nearest.length === 0) return false
  const last = daysInMonth(year, month)
  if (dom.last && day === last) return true
  const weekday = (of: number): number => weekdayOf((at + (of - day) * DAY_MS) as LocalMs)
  if (dom.lastWorkday && day === lastWorkday(last, weekday(last))) return true
  return dom.nearest.some((of) => of <= last && day === nearestWorkday(of, weekday(of), last))
}

const lastWorkday = (last: number, weekday: number): number => last - (weekday === 6 ? 1 : weekday === 0 ? 2 : 0)

/** Saturday goes to Friday, Sunday to Monday, but never into another month. */
function nearestWorkday(day: number, weekday: number, last: number): number {
  if (weekday === 6) return day > 1 ? day - 1 : day + 2
  if (weekday === 0) return day < last ? day + 1 : day - 2
  return day
}

function matchesDow(dow: DaysOfWeek, { year, month, day }: CivilDate, at: LocalMs): boolean {
  const weekday = weekdayOf(at)
  if (dow.days.has(weekday)) return true
  if (dow.nth.some((nth) => nth.day === weekday && nth.n === Math.ceil(day / 7))) return true
  return dow.last.includes(weekday) && day > daysInMonth(year, month) - 7
}
