// croner as a foreign oracle: where its semantics are ours the answers are equal, and each difference is listed with
// the reason. Random expressions in UTC and, away from changes of the clock, in random zones.

import { Cron } from 'croner'
import { expect, test } from 'vitest'
import type { WallMs } from '../../../kernel/clock.ts'
import { parseExpression, requireExpression } from '../../../kernel/cron/parse.ts'
import { compileSchedule, upcoming } from '../../../kernel/cron/schedule.ts'
import { seededRandom } from '../../../kernel/random.ts'
import { changesOf } from '../../support/cron-oracle.ts'

const SEED = Number(process.env['FAIRLEAD_SEED'] ?? process.pid)
const random = seededRandom(SEED)
const DAY_MS = 86_400_000

function ours(expression: string, zone: string, from: number, count: number, dayMatch: 'or' | 'and' = 'or'): string[] {
  const schedule = compileSchedule({ spec: requireExpression(expression, { dayMatch }), zone })
  return [...upcoming(schedule, from as WallMs, count)].map((fire) => new Date(fire.at).toISOString())
}
function theirs(
  expression: string,
  zone: string,
  from: number,
  count: number,
  dayMatch: 'or' | 'and' = 'or',
): string[] {
  const cron = new Cron(expression, { paused: true, timezone: zone, domAndDow: dayMatch === 'and' })
  return cron.nextRuns(count, new Date(from)).map((date) => date.toISOString())
}

function one<T>(choices: readonly T[]): T {
  return choices[random.int(choices.length)]!
}
/** A field as a user may write it: any, a value, a list, a range, a step. */
function field(low: number, high: number): string {
  const value = (): number => low + random.int(high - low + 1)
  const [a, b] = [value(), value()].sort((x, y) => x - y) as [number, number]
  const step = 2 + random.int(Math.max(1, Math.floor((high - low) / 2)))
  const range = b > a + step ? `${a}-${b}/${step}` : `${a}-${b}`
  return one(['*', String(a), `${a},${b}`, `${a}-${b}`, range, `*/${step}`])
}
function drawExpression(): string {
  const dom = one(['*', '?', '*', field(1, 28), 'L', 'LW', '15W', '1W', '31W', 'L,10'])
  const dow = one(['*', '?', '*', field(0, 6), '5L', 'MON#2', '1#5', 'FRI-SUN', 'SUN', 'TUE,5L'])
  const five = `${field(0, 59)} ${field(0, 23)} ${dom} ${one(['*', '*', field(1, 12), 'JAN-MAR'])} ${dow}`
  return random.int(4) === 0 ? `${field(0, 59)} ${five}` : five
}

test('croner: agrees on random expressions in UTC, either day field or both', () => {
  console.log(`seed ${SEED}`)
  for (let n = 0; n < 300; n++) {
    const expression = drawExpression()
    const from = Date.UTC(2020 + random.int(18), random.int(12), 1 + random.int(28), random.int(24), random.int(60))
    const dayMatch = one(['or', 'and'] as const)
    const parsed = parseExpression(expression, { dayMatch })
    if ('problems' in parsed) {
      // Only dates that do not exist; croner says so by finding none.
      expect(theirs(expression, 'UTC', from, 1, dayMatch), expression).toEqual([])
      continue
    }
    expect(ours(expression, 'UTC', from, 4, dayMatch), `${expression} seed ${SEED}`).toEqual(
      theirs(expression, 'UTC', from, 4, dayMatch),
    )
  }
})

test('croner: agrees in random zones where no change of the clock is near', () => {
  const zones = Intl.supportedValuesOf('timeZone')
  for (let n = 0, checked = 0; checked < 40 && n < 200; n++) {
    const zone = one(zones)
    const from = Date.UTC(2020 + random.int(18), random.int(12), 1 + random.int(28), random.int(24))
    if (changesOf(zone, from - 2 * DAY_MS, from + 8 * DAY_MS).length > 0) continue
    const expression = `${field(0, 59)} ${field(0, 23)} * * *`
    expect(ours(expression, zone, from, 4), `${expression} ${zone} seed ${SEED}`).toEqual(
      theirs(expression, zone, from, 4),
    )
    checked++
  }
})

interface Difference {
  readonly expression: string
  readonly zone: string
  readonly from: string
  readonly ours: string | null
  readonly theirs: string | null
  readonly why: string
}
// `null`: refuses the expression (ours), throws or finds nothing (theirs).
const DIFFERENCES: readonly Difference[] = [
  {
    expression: '*/20 2 * * *',
    zone: 'America/New_York',
    from: '2025-03-08T12:00:00Z',
    ours: '2025-03-09T07:00:00.000Z',
    theirs: '2025-03-10T06:00:00.000Z',
    why: 'croner fires a single fixed time when the gap ends, but drops the day for lists; we treat all alike (dstGap)',
  },
  {
    expression: '30 12 * * *',
    zone: 'Pacific/Apia',
    from: '2011-12-30T09:00:00Z',
    ours: '2011-12-30T10:00:00.000Z',
    theirs: '2011-12-30T22:30:00.000Z',
    why: 'the skipped day: a gap of 24 h is a gap; croner leaves the day out',
  },
  {
    expression: '15,45 2 * * *',
    zone: 'Australia/Lord_Howe',
    from: '2025-10-04T13:00:00Z',
    ours: '2025-10-04T15:30:00.000Z',
    theirs: '2025-10-04T15:45:00.000Z',
    why: '02:15 does not exist: ours fires when the gap ends at 02:30; croner drops it as it is in a list',
  },
  {
    expression: '50/5 * * * *',
    zone: 'UTC',
    from: '2026-05-01T00:00:00Z',
    ours: '2026-05-01T00:50:00.000Z',
    theirs: null,
    why: 'a value with a step is refused by croner without sloppyRanges; Quartz and Jenkins users write it',
  },
  {
    expression: '*/60 * * * *',
    zone: 'UTC',
    from: '2026-05-01T00:00:00Z',
    ours: null,
    theirs: '2026-05-01T01:00:00.000Z',
    why: 'a step that never repeats is a slip (who writes */90 means @every 90m)',
  },
  {
    expression: '007 * * * *',
    zone: 'UTC',
    from: '2026-05-01T00:00:00Z',
    ours: null,
    theirs: '2026-05-01T00:07:00.000Z',
    why: 'three digits are no minute',
  },
  {
    expression: '0 0 30 2 *',
    zone: 'UTC',
    from: '2026-05-01T00:00:00Z',
    ours: null,
    theirs: null,
    why: 'we refuse it when it is made; croner finds nothing when asked',
  },
]

test.each(DIFFERENCES)('croner: differs on $expression in $zone, since $why', (difference) => {
  const { expression, zone } = difference
  const from = Date.parse(difference.from)
  const parsed = parseExpression(expression)
  expect('problems' in parsed ? null : ours(expression, zone, from, 1)[0]).toBe(difference.ours)
  let found: string | null
  try {
    found = theirs(expression, zone, from, 1)[0] ?? null
  } catch {
    found = null
  }
  expect(found).toBe(difference.theirs)
})
