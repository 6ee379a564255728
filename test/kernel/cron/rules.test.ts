// Calendars, windows, blackouts, bounds and jitter on top of an expression.

import { expect, test } from 'vitest'
import type { WallMs } from '../../../kernel/clock.ts'
import { type Calendar, isOpen, type OnClosed } from '../../../kernel/cron/calendar.ts'
import { jitterOf } from '../../../kernel/cron/hash.ts'
import { parseInstant } from '../../../kernel/cron/instant.ts'
import { formatLocal, type LocalMs } from '../../../kernel/cron/local-time.ts'
import { requireExpression } from '../../../kernel/cron/parse.ts'
import { compileSchedule, type ScheduleRule, upcoming } from '../../../kernel/cron/schedule.ts'
import { blackoutEnd, windowEntry } from '../../../kernel/cron/window.ts'

const at = (text: string): WallMs => parseInstant(text, 'at')
const HOUR_MS = 3_600_000
const office: Calendar = {
  name: 'office',
  closedWeekdays: [6, 0],
  closedDates: new Set(['12-25', '12-26', '2026-04-03', '2026-04-06']),
  openDates: new Set(['2026-12-26']),
}

function local(expression: string, from: string, count: number, rule: Partial<ScheduleRule> = {}): string[] {
  const schedule = compileSchedule({ spec: requireExpression(expression), zone: 'Europe/Berlin', ...rule })
  return [...upcoming(schedule, at(from), count)].map((fire) => formatLocal(fire.local).slice(0, 16))
}
const on = (onClosed: OnClosed): Partial<ScheduleRule> => ({ calendar: { calendar: office, onClosed } })

test('calendar: an exception wins over a yearly date, which wins over the weekday', () => {
  const open = (date: string): boolean => isOpen(office, Date.parse(`${date}T00:00:00Z`) as LocalMs)
  expect(open('2026-12-25')).toBe(false)
  expect(open('2026-12-26')).toBe(true) // a Saturday, declared open
  expect(open('2027-12-26')).toBe(false)
  expect(open('2026-04-03')).toBe(false)
  expect(open('2027-04-05')).toBe(true)
})

test('calendar skip: closed days have no fire', () => {
  expect(local('0 9 * * *', '2026-04-02T12:00:00Z', 2, on('skip'))).toEqual(['2026-04-07T09:00', '2026-04-08T09:00'])
})

test('calendar next business day: Easter moves to Tuesday, once', () => {
  expect(local('0 9 3,4,5,6,7 4 *', '2026-04-01T00:00:00Z', 2, on('nextBusinessDay'))).toEqual([
    '2026-04-07T09:00',
    '2027-04-05T09:00',
  ])
  expect(local('0 9 L * *', '2026-01-01T00:00:00Z', 3, on('nextBusinessDay'))).toEqual([
    '2026-02-02T09:00',
    '2026-03-02T09:00',
    '2026-03-31T09:00',
  ])
})

test('calendar previous business day: goes back, into the month or year before too', () => {
  expect(local('0 9 6 4 *', '2026-01-01T00:00:00Z', 1, on('previousBusinessDay'))).toEqual(['2026-04-02T09:00'])
  expect(local('0 9 1 8 *', '2026-01-01T00:00:00Z', 1, on('previousBusinessDay'))).toEqual(['2026-07-31T09:00'])
})

test('calendar that is always closed: no fire, and an end to the search', () => {
  const shut: Calendar = { ...office, closedWeekdays: [0, 1, 2, 3, 4, 5, 6], openDates: new Set() }
  for (const onClosed of ['skip', 'nextBusinessDay', 'previousBusinessDay'] as const) {
    expect(local('0 9 * * *', '2026-01-01T00:00:00Z', 1, { calendar: { calendar: shut, onClosed } })).toEqual([])
  }
})

test('calendar on @every: closed days are skipped; moving is refused', () => {
  expect(local('@every 12h', '2026-04-02T13:00:00Z', 2, on('skip'))).toEqual(['2026-04-07T02:00', '2026-04-07T14:00'])
  expect(() => local('@every 12h', '2026-04-02T00:00:00Z', 1, on('nextBusinessDay'))).toThrow('no dates')
})

const night = { weekdays: [1, 2, 3, 4, 5], fromMs: 2 * HOUR_MS, toMs: 4 * HOUR_MS }

test('window: only nominal times inside it fire', () => {
  expect(local('30 * * * *', '2026-01-02T12:00:00Z', 3, { windows: [night] })).toEqual([
    '2026-01-05T02:30',
    '2026-01-05T03:30',
    '2026-01-06T02:30',
  ])
  expect(local('* * * * * *', '2026-01-02T12:00:00Z', 1, { windows: [night] })).toEqual(['2026-01-05T02:00'])
})

test('window: a time in it that does not exist still fires when the gap ends', () => {
  expect(
    local('30 2 * * *', '2026-03-28T12:00:00Z', 1, { windows: [{ ...night, weekdays: [0], toMs: 3 * HOUR_MS }] }),
  ).toEqual(['2026-03-29T03:00'])
})

test('window that the expression never meets: no fire', () => {
  expect(local('0 12 * * *', '2026-01-02T12:00:00Z', 1, { windows: [night] })).toEqual([])
})

test('window on @every: intervals outside it pass without a fire', () => {
  expect(local('@every 1s', '2026-01-02T12:00:00Z', 1, { windows: [night] })).toEqual(['2026-01-05T02:00'])
  expect(
    local('@every 45m', '2026-01-05T02:00:00Z', 3, { windows: [night], anchor: at('2026-01-01T00:00:00Z') }),
  ).toEqual(['2026-01-05T03:15', '2026-01-06T02:30', '2026-01-06T03:15'])
})

test('@every 1s through a closure of weeks: goes on after it', () => {
  const dates = Array.from({ length: 28 }, (_, day) => `02-${String(day + 1).padStart(2, '0')}`)
  const calendar: Calendar = { name: 'winter', closedWeekdays: [], closedDates: new Set(dates), openDates: new Set() }
  const rule = { calendar: { calendar, onClosed: 'skip' as const } }
  expect(local('@every 1s', '2026-01-31T22:59:58Z', 2, rule)).toEqual(['2026-01-31T23:59', '2026-03-01T00:00'])
})

test('@every in a window that the clock shows twice: fires in both passes', () => {
  const windows = [{ weekdays: [0], fromMs: 2 * HOUR_MS, toMs: 2.5 * HOUR_MS }]
  const schedule = compileSchedule({ spec: requireExpression('@every 15m'), zone: 'Europe/Berlin', windows })
  const fires = [...upcoming(schedule, at('2026-10-24T12:00:00Z'), 4)].map((fire) =>
    new Date(fire.at).toISOString().slice(8, 16),
  )
  expect(fires).toEqual(['25T00:00', '25T00:15', '25T01:00', '25T01:15'])
})

test('windowEntry: is the time itself, today later, or the next day that has one', () => {
  const entry = (text: string): string => formatLocal(windowEntry([night], Date.parse(`${text}Z`) as LocalMs))
  expect(entry('2026-01-05T02:00:00')).toBe('2026-01-05T02:00:00')
  expect(entry('2026-01-05T03:59:59')).toBe('2026-01-05T03:59:59')
  expect(entry('2026-01-05T04:00:00')).toBe('2026-01-06T02:00:00')
  expect(entry('2026-01-09T04:00:00')).toBe('2026-01-12T02:00:00')
})

test('blackouts: half-open, joined where they touch', () => {
  const blackouts = [
    { from: at('2026-01-02T00:00:00Z'), to: at('2026-01-03T00:00:00Z') },
    { from: at('2026-01-01T00:00:00Z'), to: at('2026-01-02T00:00:00Z') },
  ]
  expect(local('0 1 * * *', '2025-12-31T12:00:00Z', 2, { blackouts })).toEqual(['2026-01-03T01:00', '2026-01-04T01:00'])
  expect(blackoutEnd(blackouts, at('2026-01-01T00:00:00Z'))).toBe(at('2026-01-03T00:00:00Z'))
  expect(blackoutEnd(blackouts, at('2026-01-03T00:00:00Z'))).toBeUndefined()
})

test('start and end: the start may fire, the end may not', () => {
  const rule = { startAt: at('2026-01-02T00:00:00Z'), endAt: at('2026-01-04T00:00:00Z') }
  expect(local('0 1 * * *', '2020-01-01T00:00:00Z', 9, rule)).toEqual(['2026-01-02T01:00', '2026-01-03T01:00'])
})

test('firesMax: counts those that there were', () => {
  const schedule = compileSchedule({ spec: requireExpression('0 1 * * *'), zone: 'UTC', firesMax: 3 })
  expect([...upcoming(schedule, at('2026-01-01T00:00:00Z'), 9, 1)]).toHaveLength(2)
  expect(schedule.next(at('2026-01-01T00:00:00Z'), 3)).toBeUndefined()
})

test('jitter: stays in its range, differs between fires, and is the same when asked again', () => {
  const all = Array.from({ length: 300 }, (_, n) => jitterOf('report', n * 60_000, 30_000))
  for (const value of all) expect(value >= 0 && value < 30_000).toBe(true)
  expect(new Set(all).size).toBeGreaterThan(250)
  expect(jitterOf('report', 60_000, 30_000)).toBe(all[1])
  expect(jitterOf('report', 60_000, 0)).toBe(0)
})
