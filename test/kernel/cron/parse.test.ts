// The language of schedules: what is taken, what is refused and where the finger points.

import { expect, test } from 'vitest'
import { parseExpression, renderProblem, requireExpression } from '../../../kernel/cron/parse.ts'
import type { CronSpec } from '../../../kernel/cron/spec.ts'
import { FairleadError } from '../../../kernel/errors.ts'

const cron = (text: string, name?: string): CronSpec => requireExpression(text, { name }) as CronSpec

test('five fields: seconds are 0 and the rest is as written', () => {
  const spec = cron('5,10-20/5 3 1-3 jan,MAR Mon-FRI')
  expect(spec.seconds).toEqual([0])
  expect(spec.minutes).toEqual([5, 10, 15, 20])
  expect(spec.hours).toEqual([3])
  expect([...spec.dom.days]).toEqual([1, 2, 3])
  expect([...spec.months]).toEqual([1, 3])
  expect([...spec.dow.days]).toEqual([1, 2, 3, 4, 5])
  expect(spec.elapsed).toBe(false)
})

test('six fields: the first is the second', () => {
  expect(cron('*/20 0 * ? * 0')).toMatchObject({
    seconds: [0, 20, 40],
    minutes: [0],
    elapsed: true,
    dom: { any: true },
  })
})

test('a value with a step: runs from the value to the end of the field', () => {
  expect(cron('50/5 * * * *').minutes).toEqual([50, 55])
})

test('Sunday: is 0, 7, SUN, and the end of a range that passes Saturday', () => {
  for (const text of ['0', '7', 'SUN', 'sun']) expect([...cron(`0 0 * * ${text}`).dow.days]).toEqual([0])
  for (const text of ['FRI-SUN', '5-7', 'fri-7']) expect([...cron(`0 0 * * ${text}`).dow.days]).toEqual([5, 6, 0])
})

test('marks: L, LW, 15W, 5L, FRIL and MON#2 are kept as rules, not as days', () => {
  expect(cron('0 0 L,LW,15W * *').dom).toMatchObject({ any: false, last: true, lastWorkday: true, nearest: [15] })
  expect(cron('0 0 * * 5L,SATL,MON#2,7#1').dow).toMatchObject({
    any: false,
    last: [5, 6],
    nth: [
      { day: 1, n: 2 },
      { day: 0, n: 1 },
    ],
  })
})

test('macros: stand for their five fields, and nothing may follow', () => {
  const hours: Record<string, number> = {
    '@hourly': 24,
    '@daily': 1,
    '@midnight': 1,
    '@weekly': 1,
    '@monthly': 1,
    '@yearly': 1,
    '@annually': 1,
  }
  for (const [macro, count] of Object.entries(hours)) expect(cron(macro).hours.length, macro).toBe(count)
  expect(cron('@Daily').expression).toBe('@Daily')
})

test('@every: adds its units up', () => {
  expect(requireExpression('@every 90s')).toMatchObject({ kind: 'every', periodMs: 90_000 })
  expect(requireExpression('@every 1d2h3m4s')).toMatchObject({ periodMs: 93_784_000 })
})

test('H: the same name gives the same place, in range, and names spread', () => {
  const minutes = Array.from({ length: 200 }, (_, n) => cron('H * * * *', `job-${n}`).minutes[0]!)
  expect(new Set(minutes).size).toBeGreaterThan(40)
  expect(cron('H H * * *', 'report')).toEqual(cron('H H * * *', 'report'))
  // Held for ever: a change would move every user's jobs.
  expect(cron('H H H * H', 'report')).toMatchObject({ minutes: [19], hours: [2] })
  for (let n = 0; n < 200; n++) {
    expect([...cron('0 0 H * *', `${n}`).dom.days][0]).toBeLessThanOrEqual(28)
    const every = cron('H(0-29)/10 H(2-4) * * *', `${n}`)
    expect(every.minutes.length).toBe(3)
    expect(every.minutes[2]! - every.minutes[0]!).toBe(20)
    expect(every.minutes[2]).toBeLessThanOrEqual(29)
    expect(every.hours[0]).toBeGreaterThanOrEqual(2)
    expect(every.hours[0]).toBeLessThanOrEqual(4)
    expect(cron('H/15 * * * *', `${n}`).minutes.length).toBe(4)
  }
})

const REFUSED: [string, number, string][] = [
  ['', 0, 'empty'],
  ['   ', 0, 'empty'],
  ['* * * *', 7, '5 fields'],
  ['* * * * * * *', 12, 'not 7'],
  ['60 * * * *', 0, 'minute 60 is outside 0–59'],
  ['0 24 * * *', 2, 'hour 24 is outside 0–23'],
  ['0 0 0 * *', 4, 'day of month 0 is outside 1–31'],
  ['0 0 32 * *', 4, 'day of month 32'],
  ['0 0 * 13 *', 6, 'month 13'],
  ['0 0 * 0 *', 6, 'month 0'],
  ['0 0 * * 8', 8, 'day of week 8'],
  ['60 0 0 * * *', 0, 'second 60'],
  ['-1 * * * *', 0, '"" is no minute'],
  ['1.5 * * * *', 0, '"1.5" is no minute'],
  ['1- * * * *', 2, '"" is no minute'],
  ['1-2-3 * * * *', 2, '"2-3" is no minute'],
  ['007 * * * *', 0, '"007" is no minute'],
  ['1,,2 * * * *', 2, 'empty place'],
  ['1, * * * *', 2, 'empty place'],
  [',1 * * * *', 0, 'empty place'],
  ['*/0 * * * *', 2, 'the step "0"'],
  ['*/ * * * *', 2, 'the step ""'],
  ['*/x * * * *', 2, 'the step "x"'],
  ['*/5/5 * * * *', 2, 'the step "5/5"'],
  ['*/60 * * * *', 2, 'nothing repeats'],
  ['10-20/30 * * * *', 6, 'nothing repeats'],
  ['** * * * *', 0, '"**" is no minute'],
  ['0 22-2 * * *', 2, 'write 22-23,0-2'],
  ['0 0 * * FRI-MON', 8, 'write 5-6,0-1'],
  ['0 0 * NOV-FEB *', 6, 'write 11-12,1-2'],
  ['0 0 * MONDAY *', 6, 'JAN–DEC'],
  ['0 0 * * JAN', 8, 'SUN–SAT'],
  ['MON * * * *', 0, '"MON" is no minute'],
  ['? * * * *', 0, '? stands alone'],
  ['0 0 1,? * *', 6, '? stands alone'],
  ['0 0 ?/2 * *', 4, '"?" is no day of month'],
  ['L * * * *', 0, '"L" is no minute'],
  ['0 0 * * L', 8, 'L needs a day of the week'],
  ['0 0 0W * *', 4, 'day of month 0'],
  ['0 0 32W * *', 4, 'day of month 32'],
  ['0 0 W * *', 4, '"W" is no day of month'],
  ['0 0 1-5W * *', 6, '"5W" is no day of month'],
  ['0 0 L-3 * *', 4, '"L" is no day of month'],
  ['0 0 5L * *', 4, '"5L" is no day of month'],
  ['0 0 * * 15W', 8, '"15W" is no day of week'],
  ['0 0 * * MON#0', 12, '# needs 1 to 5'],
  ['0 0 * * MON#6', 12, '# needs 1 to 5'],
  ['0 0 * * MON#', 12, '# needs 1 to 5'],
  ['0 0 * * 9#1', 8, 'day of week 9'],
  ['0 0 * * FRILL', 8, 'is no day of week'],
  ['H * * * *', 0, 'H needs the name'],
  ['@reboot', 0, 'names no time'],
  ['@fortnightly', 0, 'is unknown'],
  ['@daily 5', 7, 'nothing may follow'],
  ['@every', 0, 'needs a period'],
  ['@every 90', 7, 'needs a period'],
  ['@every 1.5h', 7, 'needs a period'],
  ['@every 0s', 7, 'the period is'],
  ['@every 400d', 7, 'the period is'],
  ['@every 5m 5s', 10, 'nothing may follow'],
  ['@every -5m', 7, 'needs a period'],
  ['0\n0 * * *', 9, 'not 4'],
  ['0 0 * * *\n', 8, 'is no day of week'],
  ['0 0 30 2 *', 4, 'no date of any year'],
  ['0 0 31 2,4,6,9,11 *', 4, 'no date of any year'],
  ['0 0 30W 2 *', 4, 'no date of any year'],
]

test.each(REFUSED)('%j: is refused at place %d', (text, at, message) => {
  const parsed = parseExpression(text)
  if (!('problems' in parsed)) throw new Error('taken')
  expect(parsed.problems).toHaveLength(1)
  expect(parsed.problems[0]).toMatchObject({ at, message: expect.stringContaining(message) })
})

test.each([
  'H(5-1) * * * *',
  'H(1) * * * *',
  'H() * * * *',
  'H(0-60) * * * *',
  'H(0-5 * * * *',
  'H/61 * * * *',
  'HH * * * *',
  '0 0 H(0-3) * *',
])('%s: is refused even with a name', (text) => expect(() => cron(text, 'name')).toThrow(FairleadError))

test('impossible dates: are only those that no year has', () => {
  for (const possible of ['0 0 31 * *', '0 0 29 2 *', '0 0 29 2 MON', '0 0 30 2 MON', '0 0 * 2 MON#5']) {
    expect(() => requireExpression(possible), possible).not.toThrow()
  }
  expect(() => requireExpression('0 0 29 2 MON', { dayMatch: 'and' })).not.toThrow()
  expect(() => requireExpression('0 0 30 2 MON', { dayMatch: 'and' })).toThrow('no date of any year')
  expect(() => requireExpression('0 0 8 * MON#1', { dayMatch: 'and' })).toThrow('no date of any year')
})

test('problems: all are told at once, each with its column', () => {
  try {
    requireExpression('61 25 */0 JUNE 9')
    expect.unreachable()
  } catch (error) {
    const { code, problems } = error as FairleadError
    expect(code).toBe('INVALID_INPUT')
    expect(problems.map(({ path }) => path)).toEqual([1, 4, 9, 11, 16].map((column) => `expression:${column}`))
  }
})

test('a long text: is refused without being printed', () => {
  const text = '1,'.repeat(500)
  const parsed = parseExpression(text)
  expect('problems' in parsed && renderProblem(text, parsed.problems[0]!)).toBe(
    '  an expression has at most 256 characters (column 257)',
  )
})

test('renderProblem: points at the place', () => {
  const parsed = parseExpression('0 25 * * *')
  expect('problems' in parsed && renderProblem('0 25 * * *', parsed.problems[0]!)).toBe(
    '  0 25 * * *\n    ^^\n  hour 25 is outside 0–23 (column 3)',
  )
})
