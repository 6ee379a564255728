// Missed fires and overlapping runs: the decisions, over literals.

import { expect, test } from 'vitest'
import type { WallMs } from '../../../kernel/clock.ts'
import { parseInstant } from '../../../kernel/cron/instant.ts'
import { decideDue, MISFIRE_DEFAULT, type Misfire } from '../../../kernel/cron/misfire.ts'
import { BUFFER_MAX, decideOverlap, OVERLAP_POLICIES, releasesBuffered } from '../../../kernel/cron/overlap.ts'
import { requireExpression } from '../../../kernel/cron/parse.ts'
import { compileSchedule, type Schedule } from '../../../kernel/cron/schedule.ts'
import { seededRandom } from '../../../kernel/random.ts'

const at = (text: string): WallMs => parseInstant(`2026-01-01T${text}Z`, 'at')
const scheduleOf = (expression: string): Schedule =>
  compileSchedule({ spec: requireExpression(expression), zone: 'UTC' })
const tenMinutes = scheduleOf('*/10 * * * *')

function decide(from: string, now: string, misfire: Partial<Misfire> = {}, schedule = tenMinutes) {
  const { due, missed, evaluatedTo } = decideDue(schedule, at(from), at(now), { ...MISFIRE_DEFAULT, ...misfire })
  const time = (value: number): string => new Date(value).toISOString().slice(11, 16)
  return {
    due: due.map(({ fire, late }) => `${time(fire.at)}${late ? ' late' : ''}`),
    missed: missed.map(
      ({ from: first, to, count, more, reason }) => `${time(first)}-${time(to)} ${count}${more ? '+' : ''} ${reason}`,
    ),
    evaluatedTo: time(evaluatedTo),
  }
}

test('a fire within the grace: is on time under every policy', () => {
  for (const policy of ['skip', 'fireOnce', 'fireAll'] as const) {
    expect(decide('11:55:00', '12:01:00', { policy })).toEqual({ due: ['12:00'], missed: [], evaluatedTo: '12:01' })
  }
})

test('nothing due: only the evaluation moves on', () => {
  expect(decide('12:01:00', '12:09:59')).toEqual({ due: [], missed: [], evaluatedTo: '12:09' })
})

test('half an hour missed: skip drops it, fireOnce makes up for the last, fireAll for each', () => {
  expect(decide('12:01:00', '12:35:00', { policy: 'skip' })).toMatchObject({
    due: [],
    missed: ['12:10-12:30 3 policySkip'],
  })
  expect(decide('12:01:00', '12:35:00')).toMatchObject({ due: ['12:30 late'], missed: ['12:10-12:20 2 coalesced'] })
  expect(decide('12:01:00', '12:35:00', { policy: 'fireAll' })).toMatchObject({
    due: ['12:10 late', '12:20 late', '12:30 late'],
    missed: [],
  })
})

test('fireAll: makes up for the last ones up to its cap', () => {
  expect(decide('12:01:00', '12:50:30', { policy: 'fireAll', catchUpMax: 2 })).toMatchObject({
    due: ['12:30 late', '12:40 late', '12:50'],
    missed: ['12:10-12:20 2 overCap'],
  })
})

test('the window: what is older is gone under every policy', () => {
  expect(decide('08:01:00', '12:05:00', { policy: 'fireAll' })).toMatchObject({
    due: ['11:10', '11:20', '11:30', '11:40', '11:50', '12:00'].map((time) => `${time} late`),
    missed: ['08:10-11:00 18 olderThanWindow'],
  })
})

test('firesMax: bounds what is made up for too, and missed fires do not count', () => {
  const schedule = compileSchedule({ spec: requireExpression('*/10 * * * *'), zone: 'UTC', firesMax: 5 })
  const ask = (fired: number, policy: Misfire['policy']): [number, number] => {
    const all = decideDue(schedule, at('12:01:00'), at('12:50:30'), { ...MISFIRE_DEFAULT, policy }, fired)
    return [all.due.length, all.missed.length]
  }
  expect(ask(0, 'fireAll')).toEqual([5, 0])
  expect(ask(2, 'fireAll')).toEqual([3, 0])
  expect(ask(4, 'fireOnce')).toEqual([1, 1])
  expect(ask(5, 'fireAll')).toEqual([0, 0])
})

test('a clock set back: decides nothing and forgets nothing', () => {
  expect(decide('12:01:00', '11:00:00')).toEqual({ due: [], missed: [], evaluatedTo: '12:01' })
})

test('a year of missed seconds: is decided at once, and says that there were more', () => {
  const now = at('12:00:00')
  const started = process.cpuUsage()
  const found = decideDue(scheduleOf('* * * * * *'), (now - 365 * 86_400_000) as WallMs, now, {
    policy: 'fireAll',
    windowMs: 366 * 86_400_000,
    catchUpMax: 5,
    graceMs: 0,
  })
  expect(found.due.map(({ fire }) => now - fire.at)).toEqual([5000, 4000, 3000, 2000, 1000, 0])
  expect(found.missed).toMatchObject([{ count: 1000, more: true, to: now - 6000, reason: 'overCap' }])
  expect(process.cpuUsage(started).user / 1000).toBeLessThan(2000)
})

test('any cuts of the same time: decide each fire once, in order (fireAll, nothing over the cap)', () => {
  const random = seededRandom(process.pid)
  const begin = at('00:00:00')
  const whole = decideDue(tenMinutes, begin, at('12:00:00'), {
    policy: 'fireAll',
    windowMs: 86_400_000,
    catchUpMax: 1000,
    graceMs: 60_000,
  })
  for (let round = 0; round < 20; round++) {
    const found: number[] = []
    for (let from = begin; from < at('12:00:00'); ) {
      const now = Math.min(at('12:00:00'), from + random.int(5_000_000) - 600_000) as WallMs
      const { due, evaluatedTo } = decideDue(tenMinutes, from, now, {
        policy: 'fireAll',
        windowMs: 86_400_000,
        catchUpMax: 1000,
        graceMs: 60_000,
      })
      found.push(...due.map(({ fire }) => fire.at))
      from = evaluatedTo
    }
    expect(found, `seed ${process.pid}`).toEqual(whole.due.map(({ fire }) => fire.at))
  }
})

test('overlap: the table', () => {
  const table = Object.fromEntries(
    OVERLAP_POLICIES.map((policy) => [
      policy,
      [
        [0, 0],
        [1, 0],
        [1, 1],
        [1, BUFFER_MAX],
        [0, 1],
      ].map(([active, buffered]) => decideOverlap(policy, { active: active!, buffered: buffered! }).do),
    ]),
  )
  expect(table).toEqual({
    skip: ['start', 'skip', 'skip', 'skip', 'skip'],
    bufferOne: ['start', 'buffer', 'skip', 'skip', 'skip'],
    bufferAll: ['start', 'buffer', 'buffer', 'skip', 'buffer'],
    cancelOther: ['start', 'cancelThenStart', 'cancelThenStart', 'cancelThenStart', 'cancelThenStart'],
    allowAll: ['start', 'start', 'start', 'start', 'start'],
  })
})

test('overlap: a skip says why', () => {
  expect(decideOverlap('skip', { active: 2, buffered: 0 })).toEqual({ do: 'skip', reason: 'stillActive' })
  expect(decideOverlap('bufferOne', { active: 1, buffered: 1 })).toEqual({ do: 'skip', reason: 'bufferFull' })
})

test('a buffered fire: starts when nothing is active any more', () => {
  expect(releasesBuffered({ active: 0, buffered: 1 })).toBe(true)
  expect(releasesBuffered({ active: 1, buffered: 1 })).toBe(false)
  expect(releasesBuffered({ active: 0, buffered: 0 })).toBe(false)
})
