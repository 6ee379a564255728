// Schedules and calendars as users write them: defaults, and every way to be refused.

import { expect, test } from 'vitest'
import { isOpen } from '../../../kernel/cron/calendar.ts'
import { parseCalendar, parseSchedule, ruleOf } from '../../../kernel/cron/definition.ts'
import { parseInstant } from '../../../kernel/cron/instant.ts'
import { formatLocal, type LocalMs } from '../../../kernel/cron/local-time.ts'
import { compileSchedule, upcoming } from '../../../kernel/cron/schedule.ts'
import type { FairleadError } from '../../../kernel/errors.ts'

const least = { name: 'nightly-report', expression: '30 2 * * *' }
const created = parseInstant('2026-01-01T00:00:00Z', 'created')

function problemsOf(run: () => unknown): string[] {
  try {
    run()
  } catch (error) {
    expect((error as FairleadError).code).toBe('INVALID_INPUT')
    return (error as FairleadError).problems.map(({ path, message }) => `${path} ${message}`)
  }
  throw new Error('taken')
}

test('the least schedule: has the documented defaults', () => {
  expect(parseSchedule(least)).toEqual({
    ...least,
    timeZone: 'UTC',
    dayMatch: 'or',
    dstGap: 'fireAtGapEnd',
    dstOverlap: 'first',
    windows: [],
    blackouts: [],
    jitterMs: 0,
    misfire: { policy: 'fireOnce', windowMs: 3_600_000, catchUpMax: 100 },
    overlap: 'skip',
  })
})

test('what was parsed: parses again to the same', () => {
  const once = parseSchedule({ ...least, misfire: { policy: 'fireAll' }, windows: [{ from: '22:00', to: '02:00' }] })
  expect(parseSchedule(JSON.parse(JSON.stringify(once)))).toEqual(once)
})

test('a full schedule: fires as all of its parts say', () => {
  const calendar = parseCalendar({
    name: 'office',
    closedWeekdays: ['SAT', 'SUN'],
    closedDates: ['01-01', '2026-01-06'],
  })
  const definition = parseSchedule({
    ...least,
    expression: '0 1,3,23 * * *',
    timeZone: 'Europe/Berlin',
    calendar: { name: 'office' },
    windows: [{ weekdays: ['MON', 'THU', 'FRI'], from: '22:00', to: '02:00' }],
    blackouts: [{ from: '2026-01-02T00:00:00Z', to: '2026-01-02T12:00:00Z' }],
    startAt: '2026-01-01T00:00:00+01:00',
    endAt: '2026-02-01T00:00:00+01:00',
    maxFires: 4,
  })
  const schedule = compileSchedule(ruleOf(definition, created, new Map([['office', calendar]])))
  const fires = [...upcoming(schedule, parseInstant('2025-01-01T00:00:00Z', 'from'), 9)]
  expect(fires.map(({ local }) => formatLocal(local).slice(5, 16))).toEqual([
    '01-02T23:00',
    '01-05T23:00',
    '01-08T23:00',
    '01-09T01:00',
  ])
})

test('@every: counts from its start, else from when it was made', () => {
  const first = (definition: object): string =>
    new Date(
      compileSchedule(ruleOf(parseSchedule({ ...least, expression: '@every 7h', ...definition }), created)).next(
        created,
      )!.at,
    ).toISOString()
  expect(first({})).toBe('2026-01-01T07:00:00.000Z')
  expect(first({ startAt: '2026-01-01T03:00:00Z' })).toBe('2026-01-01T03:00:00.000Z')
})

test('H: takes its place from the name of the schedule', () => {
  const minute = (name: string): unknown => ruleOf(parseSchedule({ name, expression: 'H * * * *' }), created).spec
  expect(minute('a')).toEqual(minute('a'))
  expect(minute('a')).not.toEqual(minute('b'))
})

test.each<[object, string]>([
  [{ name: '' }, '$.name is lower-case'],
  [{ name: 'Nightly' }, '$.name is lower-case'],
  [{ name: 'a/b' }, '$.name is lower-case'],
  [{ name: 'x'.repeat(129) }, '$.name'],
  [{ expression: '0 25 * * *' }, '$.expression hour 25 is outside 0–23 (column 3)'],
  [{ expression: '0 0 30 2 *' }, '$.expression no date of any year fits'],
  [{ expression: 5 }, '$.expression'],
  [{ timeZone: 'Mars/Base' }, '$.timeZone is no IANA time zone'],
  [{ timeZone: '+02:00' }, '$.timeZone is no IANA time zone'],
  [{ dstGap: 'later' }, '$.dstGap'],
  [{ dstOverlap: 'none' }, '$.dstOverlap'],
  [{ dayMatch: 'xor' }, '$.dayMatch'],
  [{ overlap: 'terminate' }, '$.overlap'],
  [{ misfire: { policy: 'maybe' } }, '$.misfire.policy'],
  [{ misfire: { catchUpMax: 1001 } }, '$.misfire.catchUpMax'],
  [{ misfire: { windowMs: -1 } }, '$.misfire.windowMs'],
  [{ misfire: { grace: 1 } }, '$.misfire.grace unknown field'],
  [{ windows: [{ from: '25:00', to: '02:00' }] }, '$.windows[0].from is no time of day'],
  [{ windows: [{ from: '02:00', to: '02:00' }] }, '$.windows[0] from and to'],
  [{ windows: [{ from: '24:00', to: '02:00' }] }, '$.windows[0] from and to'],
  [{ windows: [{ from: '9:00', to: '10:00' }] }, '$.windows[0].from'],
  [{ windows: [{ weekdays: [], from: '01:00', to: '02:00' }] }, '$.windows[0].weekdays'],
  [{ windows: [{ weekdays: ['MO'], from: '01:00', to: '02:00' }] }, '$.windows[0].weekdays[0]'],
  [{ windows: Array(33).fill({ from: '01:00', to: '02:00' }) }, '$.windows'],
  [{ blackouts: [{ from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' }] }, '$.blackouts[0] ends before'],
  [{ blackouts: [{ from: '2026-01-02', to: '2026-01-03T00:00:00Z' }] }, '$.blackouts[0].from is no RFC 3339'],
  [{ startAt: 'now' }, '$.startAt is no RFC 3339'],
  [{ startAt: '2026-01-02T00:00:00Z', endAt: '2026-01-02T00:00:00Z' }, '$.endAt is not after startAt'],
  [{ maxFires: 0 }, '$.maxFires'],
  [{ jitterMs: 86_400_001 }, '$.jitterMs'],
  [{ jitterMs: 0.5 }, '$.jitterMs'],
  [
    { expression: '@every 1h', calendar: { name: 'office', onClosed: 'nextBusinessDay' } },
    '$.calendar @every has no dates',
  ],
  [{ calendar: 'office' }, '$.calendar'],
  [{ cron: '* * * * *' }, '$.cron unknown field'],
])('schedule with %j: is refused', (part, problem) => {
  expect(problemsOf(() => parseSchedule({ ...least, ...part })).join('\n')).toContain(problem)
})

test('schedule with an unknown calendar: is refused when it becomes a rule', () => {
  const definition = parseSchedule({ ...least, calendar: { name: 'office' } })
  expect(() => ruleOf(definition, created)).toThrow('There is no calendar office')
})

test('several problems: are told at once', () => {
  expect(
    problemsOf(() => parseSchedule({ name: 'X', expression: '* *', timeZone: 'x y', zone: 1 })).length,
  ).toBeGreaterThanOrEqual(3)
  expect(problemsOf(() => parseSchedule({ ...least, expression: '61 25 * * *' }))).toHaveLength(2)
})

test('calendar: yearly 29 February is a date, and exceptions are kept', () => {
  const calendar = parseCalendar({
    name: 'office',
    closedDates: ['02-29'],
    closedWeekdays: ['SUN'],
    openDates: ['2026-03-01'],
  })
  const open = (date: string): boolean => isOpen(calendar, Date.parse(`${date}T00:00:00Z`) as LocalMs)
  expect([open('2028-02-29'), open('2026-03-01'), open('2026-03-08'), open('2026-03-09')]).toEqual([
    false,
    true,
    false,
    true,
  ])
})

test.each<[object, string]>([
  [{ closedDates: ['2026-02-29'] }, '$.closedDates[0] is no date'],
  [{ closedDates: ['13-01'] }, '$.closedDates[0] is no date'],
  [{ closedDates: ['2026-1-1'] }, '$.closedDates[0] is no date'],
  [{ openDates: ['tomorrow'] }, '$.openDates[0] is no date'],
  [{ closedWeekdays: ['SONNTAG'] }, '$.closedWeekdays[0]'],
  [{ dates: [] }, '$.dates unknown field'],
  [{ name: 'x y' }, '$.name'],
])('calendar with %j: is refused', (part, problem) => {
  expect(problemsOf(() => parseCalendar({ name: 'office', ...part })).join('\n')).toContain(problem)
})
