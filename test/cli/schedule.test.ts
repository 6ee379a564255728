// `fairlead schedule next`: the JSON it promises, its exits, its messages.

import { expect, test } from 'vitest'
import { ScheduleNextSchema } from '../../cli/contract.ts'
import { type ScheduleNextFlags, scheduleNext } from '../../cli/schedule.ts'
import { openTerminal } from '../../cli/terminal.ts'
import type { WallMs } from '../../kernel/clock.ts'
import { systemClock } from '../../kernel/clock.ts'

const DEFAULTS: ScheduleNextFlags = {
  tz: 'UTC',
  count: '10',
  dstGap: 'fireAtGapEnd',
  dstOverlap: 'first',
  dayMatch: 'or',
}

async function ask(expression: string, flags: Partial<ScheduleNextFlags> = {}, json = true) {
  let out = ''
  let err = ''
  const terminal = openTerminal({
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
    env: {},
  })
  const clock = { ...systemClock, wall: () => Date.UTC(2026, 0, 1) as WallMs }
  const code = await scheduleNext({ terminal, json, clock }, expression, { ...DEFAULTS, ...flags })
  return { code, out, err, answer: json && code === 0 ? ScheduleNextSchema.parse(JSON.parse(out)) : undefined }
}

test('schedule next: prints the promised JSON', async () => {
  const { answer } = await ask('30 2 * * *', { tz: 'America/New_York', from: '2025-03-08T12:00:00Z', count: '2' })
  expect(answer).toEqual({
    zone: 'America/New_York',
    tzdata: process.versions['tz'],
    fires: [
      {
        at: '2025-03-09T07:00:00.000Z',
        local: '2025-03-09T03:00:00',
        offset: '-04:00',
        why: '02:30:00 does not exist on 2025-03-09; fires when the gap ends',
      },
      { at: '2025-03-10T06:30:00.000Z', local: '2025-03-10T02:30:00', offset: '-04:00', why: 'wall time' },
    ],
  })
})

test('schedule next: heeds the policies', async () => {
  const newYork = { tz: 'America/New_York', count: '1' }
  const at = async (flags: Partial<ScheduleNextFlags>, expression = '30 2 * * *'): Promise<string> =>
    (await ask(expression, { ...newYork, ...flags })).answer!.fires[0]!.at
  expect(await at({ from: '2025-03-09T00:00:00-05:00', dstGap: 'skip' })).toBe('2025-03-10T06:30:00.000Z')
  expect(await at({ from: '2025-03-09T00:00:00-05:00', dstGap: 'shift' })).toBe('2025-03-09T07:30:00.000Z')
  expect(await at({ from: '2025-11-02T00:00:00-04:00', dstOverlap: 'second' }, '30 1 * * *')).toBe(
    '2025-11-02T06:30:00.000Z',
  )
  expect(await at({ dayMatch: 'and' }, '0 0 13 * FRI')).toBe('2026-02-13T05:00:00.000Z')
  expect(await at({ name: 'report' }, 'H H * * *')).toBe(await at({ name: 'report' }, 'H H * * *'))
})

test('schedule next: counts from now, and @every from there too, when no --from is given', async () => {
  expect((await ask('@every 90s', { count: '2' })).answer!.fires.map(({ at }) => at)).toEqual([
    '2026-01-01T00:01:30.000Z',
    '2026-01-01T00:03:00.000Z',
  ])
})

test('schedule next: prints a table for people', async () => {
  const { out } = await ask('0 9 * * MON', { tz: 'Europe/Berlin', count: '1' }, false)
  expect(out).toBe(
    'UTC                       Europe/Berlin               WHY\n2026-01-05T08:00:00.000Z  2026-01-05 09:00:00 +01:00  wall time\n',
  )
})

test('schedule next: points at each slip and exits 2', async () => {
  const { code, out, err } = await ask('0 25 * * 8')
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(err).toContain('  0 25 * * 8\n    ^^\n  hour 25 is outside 0–23 (column 3)\n')
  expect(err).toContain('(column 10)')
})

test.each<[string, Partial<ScheduleNextFlags>, string]>([
  ['0 0 30 2 *', {}, 'no date of any year'],
  ['H * * * *', {}, 'H needs the name'],
  ['0 0 * * *', { tz: 'Mars/Base' }, 'no IANA time zone'],
  ['0 0 * * *', { from: 'yesterday' }, 'RFC 3339'],
  ['0 0 * * *', { from: '2025-01-01T00:00:00' }, 'RFC 3339'],
  ['0 0 * * *', { count: '0' }, '--count 0'],
  ['0 0 * * *', { count: '1001' }, '--count 1001'],
  ['0 0 * * *', { count: '1e3' }, '--count 1e3'],
  ['0 0 * * *', { dstGap: 'later' }, '--dst-gap later is none of'],
  ['0 0 * * *', { dstOverlap: 'none' }, '--dst-overlap none'],
  ['0 0 * * *', { dayMatch: 'xor' }, '--day-match xor'],
])('schedule next %s %j: exits 2', async (expression, flags, message) => {
  const { code, err } = await ask(expression, flags)
  expect(code).toBe(2)
  expect(err).toContain(message)
})
