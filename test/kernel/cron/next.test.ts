// When schedules fire: the known hard dates by hand. All zones and changes: transitions.test.ts.

import { describe, expect, test } from 'vitest'
import type { WallMs } from '../../../kernel/clock.ts'
import { parseInstant } from '../../../kernel/cron/instant.ts'
import { formatLocal } from '../../../kernel/cron/local-time.ts'
import { type DstPolicy, explainWhy } from '../../../kernel/cron/next.ts'
import { requireExpression } from '../../../kernel/cron/parse.ts'
import { compileSchedule, next, upcoming } from '../../../kernel/cron/schedule.ts'
import { openZone, tzdataVersion } from '../../../kernel/cron/zone.ts'

const at = (text: string): WallMs => parseInstant(text, 'at')

function fires(expression: string, zone: string, from: string, count: number, dst: Partial<DstPolicy> = {}): string[] {
  const schedule = compileSchedule({ spec: requireExpression(expression), zone, dst })
  return [...upcoming(schedule, at(from), count)].map((fire) =>
    new Date(fire.at).toISOString().replace(':00.000Z', 'Z'),
  )
}
function dates(expression: string, from: string, count: number, dayMatch: 'or' | 'and' = 'or'): string[] {
  const spec = requireExpression(expression, { dayMatch })
  return [...upcoming(compileSchedule({ spec, zone: 'UTC' }), at(from), count)].map(({ local }) =>
    formatLocal(local).slice(0, 10),
  )
}

describe('dates', () => {
  test('0 0 31 * *: skips the short months', () => {
    expect(dates('0 0 31 * *', '2026-01-31T00:00:00Z', 4)).toEqual([
      '2026-03-31',
      '2026-05-31',
      '2026-07-31',
      '2026-08-31',
    ])
  })
  test('29 February: waits for leap years, over 2100 too, and 40 years for a weekday', () => {
    expect(dates('0 0 29 2 *', '2092-03-01T00:00:00Z', 3)).toEqual(['2096-02-29', '2104-02-29', '2108-02-29'])
    expect(dates('0 0 29 2 TUE', '2072-03-01T00:00:00Z', 1, 'and')).toEqual(['2084-02-29'])
    expect(dates('0 0 29 2 WED', '2096-03-01T00:00:00Z', 1, 'and')).toEqual(['2108-02-29'])
  })
  test('two restricted day fields: either fits by default, both with and', () => {
    expect(dates('0 0 13 * FRI', '2026-02-01T00:00:00Z', 3)).toEqual(['2026-02-06', '2026-02-13', '2026-02-20'])
    expect(dates('0 0 13 * FRI', '2026-02-01T00:00:00Z', 3, 'and')).toEqual(['2026-02-13', '2026-03-13', '2026-11-13'])
  })
  test('one restricted day field: decides alone, also beside ?', () => {
    expect(dates('0 0 13 * ?', '2026-02-01T00:00:00Z', 2)).toEqual(['2026-02-13', '2026-03-13'])
    expect(dates('0 0 ? * FRI', '2026-02-01T00:00:00Z', 2)).toEqual(['2026-02-06', '2026-02-13'])
  })
  test('L and LW: the last day, and the last Monday to Friday', () => {
    expect(dates('0 0 L * *', '2028-01-31T00:00:00Z', 2)).toEqual(['2028-02-29', '2028-03-31'])
    expect(dates('0 0 LW * *', '2026-01-01T00:00:00Z', 5)).toEqual([
      '2026-01-30',
      '2026-02-27',
      '2026-03-31',
      '2026-04-30',
      '2026-05-29',
    ])
  })
  test('W: the nearest workday, never in another month', () => {
    expect(dates('0 0 15W * *', '2026-02-01T00:00:00Z', 3)).toEqual(['2026-02-16', '2026-03-16', '2026-04-15'])
    expect(dates('0 0 1W * *', '2026-08-01T00:00:00Z', 1)).toEqual(['2026-08-03'])
    expect(dates('0 0 31W * *', '2026-05-01T00:00:00Z', 2)).toEqual(['2026-05-29', '2026-07-31'])
  })
  test('5L and MON#2: the last Friday and the second Monday', () => {
    expect(dates('0 0 * * 5L', '2026-01-01T00:00:00Z', 3)).toEqual(['2026-01-30', '2026-02-27', '2026-03-27'])
    expect(dates('0 0 * * MON#2', '2026-01-01T00:00:00Z', 3)).toEqual(['2026-01-12', '2026-02-09', '2026-03-09'])
    expect(dates('0 0 * * MON#5', '2026-01-01T00:00:00Z', 2)).toEqual(['2026-03-30', '2026-06-29'])
  })
})

describe('a wall time that does not exist', () => {
  const ask = (dstGap: DstPolicy['dstGap']): string[] =>
    fires('30 2 * * *', 'America/New_York', '2025-03-08T12:00:00Z', 2, { dstGap })
  test('fireAtGapEnd: fires once, when the clock has jumped', () => {
    expect(ask('fireAtGapEnd')).toEqual(['2025-03-09T07:00Z', '2025-03-10T06:30Z'])
  })
  test('skip: waits for the next day', () => {
    expect(ask('skip')).toEqual(['2025-03-10T06:30Z', '2025-03-11T06:30Z'])
  })
  test('shift: keeps the distance to midnight', () => {
    expect(ask('shift')).toEqual(['2025-03-09T07:30Z', '2025-03-10T06:30Z'])
  })
  test('several times in one gap: are one fire at its end', () => {
    expect(fires('0,20,40 2,3 * * *', 'Europe/Berlin', '2025-03-29T22:00:00Z', 4)).toEqual([
      '2025-03-30T01:00Z',
      '2025-03-30T01:20Z',
      '2025-03-30T01:40Z',
      '2025-03-31T00:00Z',
    ])
  })
  test('shifted times that meet others: are one fire each, in order', () => {
    expect(fires('0,45 2,3 * * *', 'America/New_York', '2025-03-09T00:00:00Z', 3, { dstGap: 'shift' })).toEqual([
      '2025-03-09T07:00Z',
      '2025-03-09T07:45Z',
      '2025-03-10T06:00Z',
    ])
  })
  test('a gap at midnight: the day is not lost (Cairo)', () => {
    expect(fires('0 0 * * *', 'Africa/Cairo', '2025-04-24T00:00:00Z', 3)).toEqual([
      '2025-04-24T22:00Z',
      '2025-04-25T21:00Z',
      '2025-04-26T21:00Z',
    ])
  })
  test('half an hour (Lord Howe): only times in it are moved', () => {
    expect(fires('15,45 2 * * *', 'Australia/Lord_Howe', '2025-10-04T13:00:00Z', 3)).toEqual([
      '2025-10-04T15:30Z',
      '2025-10-04T15:45Z',
      '2025-10-05T15:15Z',
    ])
  })
  test('two hours (Troll): 01:30 fires at 03:00', () => {
    expect(fires('30 1 * * *', 'Antarctica/Troll', '2025-03-29T12:00:00Z', 2)).toEqual([
      '2025-03-30T01:00Z',
      '2025-03-30T23:30Z',
    ])
  })
  test('a whole day (Apia, 2011-12-30): fires when the next day begins, or not', () => {
    expect(fires('30 12 30 12 *', 'Pacific/Apia', '2011-12-01T00:00:00Z', 1)).toEqual(['2011-12-30T10:00Z'])
    expect(fires('30 12 30 12 *', 'Pacific/Apia', '2011-12-01T00:00:00Z', 1, { dstGap: 'skip' })).toEqual([
      '2012-12-29T22:30Z',
    ])
    expect(fires('30 12 30 12 *', 'Pacific/Apia', '2011-12-01T00:00:00Z', 1, { dstGap: 'shift' })).toEqual([
      '2011-12-30T22:30Z',
    ])
  })
})

describe('a wall time that comes twice', () => {
  const ask = (dstOverlap: DstPolicy['dstOverlap']): string[] =>
    fires('30 1 * * *', 'America/New_York', '2025-11-01T12:00:00Z', 3, { dstOverlap })
  test('first, second, both: fire as they say', () => {
    expect(ask('first')).toEqual(['2025-11-02T05:30Z', '2025-11-03T06:30Z', '2025-11-04T06:30Z'])
    expect(ask('second')).toEqual(['2025-11-02T06:30Z', '2025-11-03T06:30Z', '2025-11-04T06:30Z'])
    expect(ask('both')).toEqual(['2025-11-02T05:30Z', '2025-11-02T06:30Z', '2025-11-03T06:30Z'])
  })
  test('asked from between the two: first does not come again', () => {
    expect(fires('30 1 * * *', 'America/New_York', '2025-11-02T06:00:00Z', 1)).toEqual(['2025-11-03T06:30Z'])
  })
  test('midnight twice, on a date that a rare schedule names: the second pass is found', () => {
    expect(fires('30 23 30 10 *', 'Africa/Cairo', '2025-10-30T20:45:00Z', 1, { dstOverlap: 'second' })).toEqual([
      '2025-10-30T21:30Z',
    ])
  })
  test('Dublin, where winter is the exception, and Casablanca before Ramadan: as anywhere', () => {
    expect(fires('30 1 * * *', 'Europe/Dublin', '2025-10-25T12:00:00Z', 2)).toEqual([
      '2025-10-26T00:30Z',
      '2025-10-27T01:30Z',
    ])
    expect(fires('30 2 * * *', 'Africa/Casablanca', '2025-02-22T12:00:00Z', 2)).toEqual([
      '2025-02-23T01:30Z',
      '2025-02-24T02:30Z',
    ])
  })
})

describe('all 24 hours', () => {
  test('an hourly schedule: fires each real hour through gap and overlap, whatever the policies', () => {
    for (const dstGap of ['fireAtGapEnd', 'skip', 'shift'] as const) {
      for (const dstOverlap of ['first', 'second', 'both'] as const) {
        const hours = (from: string): number[] =>
          fires('0 0-23 * * *', 'Europe/Berlin', from, 8, { dstGap, dstOverlap }).map((text) =>
            Date.parse(text.replace('Z', ':00Z')),
          )
        for (const from of ['2025-03-29T22:30:00Z', '2025-10-25T22:30:00Z']) {
          const found = hours(from)
          expect(found.slice(1).map((value, i) => value - found[i]!)).toEqual(Array(7).fill(3_600_000))
        }
      }
    }
  })
  test('each half hour in Lord Howe: keeps half hours although the clock jumps by one', () => {
    expect(fires('*/30 * * * *', 'Australia/Lord_Howe', '2025-10-04T14:45:00Z', 3)).toEqual([
      '2025-10-04T15:00Z',
      '2025-10-04T15:30Z',
      '2025-10-04T16:00Z',
    ])
  })
  test('@every: counts from its anchor, in any zone', () => {
    const spec = requireExpression('@every 90s')
    const anchor = at('2025-03-30T00:59:30Z')
    const schedule = compileSchedule({ spec, zone: 'Europe/Berlin', anchor })
    const ask = (from: string): string => new Date(schedule.next(at(from))!.at).toISOString()
    expect(ask('2025-03-30T00:59:29Z')).toBe('2025-03-30T00:59:30.000Z')
    expect(ask('2025-03-30T00:59:30Z')).toBe('2025-03-30T01:01:00.000Z')
    expect(ask('2020-01-01T00:00:00Z')).toBe('2025-03-30T00:59:30.000Z')
  })
})

test('seconds: are whole, and the answer lies after the instant asked from', () => {
  const spec = requireExpression('*/10 * * * * *')
  const asked = (at('2026-01-01T00:00:09Z') + 999) as WallMs
  expect(next(spec, 'UTC', asked)!.at).toBe(at('2026-01-01T00:00:10Z'))
  expect(next(spec, 'UTC', at('2026-01-01T00:00:10Z'))!.at).toBe(at('2026-01-01T00:00:20Z'))
})

test('2038 and later: are years like others', () => {
  expect(fires('14 3 19 1 *', 'UTC', '2038-01-01T00:00:00Z', 2)).toEqual(['2038-01-19T03:14Z', '2039-01-19T03:14Z'])
  expect(fires('30 2 * * *', 'Europe/Berlin', '2038-03-27T12:00:00Z', 1)).toEqual(['2038-03-28T01:00Z'])
})

test('the local time of a fire: is what the clock of the zone shows then', () => {
  const fire = next(requireExpression('30 2 * * *'), 'America/New_York', at('2025-03-08T12:00:00Z'))!
  expect(formatLocal(fire.local)).toBe('2025-03-09T03:00:00')
  expect(fire.offsetMs).toBe(-4 * 3_600_000)
  expect(explainWhy(fire)).toBe('02:30:00 does not exist on 2025-03-09; fires when the gap ends')
})

test.each(['Mars/Base', '', '+02:00', 'Europe/Berlin ', 'UTC+1', '../etc'])('zone %j: is refused', (name) => {
  expect(() => openZone(name)).toThrow('is no IANA time zone')
})

test.each([
  '2025-02-30T00:00:00Z',
  '2025-01-01',
  '2025-01-01T00:00:00',
  '2025-13-01T00:00:00Z',
  '2025-01-01T24:00:00Z',
  '0001-01-01T00:00:00Z',
  '2025-01-01T00:00:00+25:00',
  '1735689600',
  '',
])('instant %j: is refused', (text) => expect(() => parseInstant(text, 'from')).toThrow('from'))

test('tzdata: has a version that can be stored', () => {
  expect(tzdataVersion()).toMatch(/^\d{4}[a-z]$/)
})
