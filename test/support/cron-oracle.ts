// cron-oracle.ts — what a schedule must do around a change of the clock, found by reading the clock at every minute.
//
// Shares no code with kernel/cron/: its own Intl calls, its own matching of values that it drew itself. Slow on purpose.

import type { Random } from '../../kernel/random.ts'

export type Gap = 'fireAtGapEnd' | 'skip' | 'shift'
export type Overlap = 'first' | 'second' | 'both'

export interface DrawnSchedule {
  readonly expression: string
  readonly minutes: ReadonlySet<number>
  readonly hours: ReadonlySet<number>
  readonly monthDays: ReadonlySet<number> | undefined
  readonly weekdays: ReadonlySet<number> | undefined
  readonly dayMatch: 'or' | 'and'
}

export const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const PROBE_MS = 6 * HOUR_MS

const formats = new Map<string, Intl.DateTimeFormat>()

/** The wall clock as milliseconds since 1970-01-01T00:00 local. */
export function readClock(zone: string, at: number): number {
  let format = formats.get(zone)
  if (!format) {
    format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' })
    formats.set(zone, format)
  }
  return Date.parse(`${format.format(at).replace(' ', 'T')}Z`)
}

/** Instants, to the minute, at which the offset of `zone` changes in [from, to). */
export function changesOf(zone: string, from: number, to: number): number[] {
  const offset = (at: number): number => readClock(zone, at) - at
  const found: number[] = []
  for (let at = from; at < to; at += PROBE_MS) {
    if (offset(at) === offset(at + PROBE_MS)) continue
    let [low, high] = [at, at + PROBE_MS]
    while (high - low > MINUTE_MS) {
      const middle = low + Math.floor((high - low) / 2 / MINUTE_MS) * MINUTE_MS
      if (offset(middle) === offset(at)) low = middle
      else high = middle
    }
    found.push(high)
  }
  return found
}

/** An expression that is likely to meet the change at `at`: values near the wall clock before and after it. */
export function drawSchedule(random: Random, zone: string, at: number): DrawnSchedule {
  const near = new Date(readClock(zone, at) - random.int(4) * 30 * MINUTE_MS)
  const some = (limit: number, ...sure: number[]): Set<number> =>
    new Set([...sure, ...Array.from({ length: random.int(5) }, () => random.int(limit))])
  const all = (limit: number): Set<number> => new Set(Array.from({ length: limit }, (_, value) => value))
  const minutes = random.int(4) === 0 ? all(60) : some(60, near.getUTCMinutes(), 0)
  const hours = random.int(3) === 0 ? all(24) : some(24, near.getUTCHours(), (near.getUTCHours() + 23) % 24)
  const monthDays = random.int(3) === 0 ? some(28, near.getUTCDate()) : undefined
  const weekdays = random.int(3) === 0 ? some(7, near.getUTCDay()) : undefined
  monthDays?.delete(0)
  const field = (values: ReadonlySet<number> | undefined, limit: number): string =>
    values === undefined || values.size === limit ? '*' : [...values].join(',')
  return {
    expression: `${field(minutes, 60)} ${field(hours, 24)} ${field(monthDays, 31)} * ${field(weekdays, 8)}`,
    minutes,
    hours,
    monthDays,
    weekdays,
    dayMatch: random.int(2) === 0 ? 'or' : 'and',
  }
}

/** Every fire in (from, to], minute by minute. `from` and `to` lie well away from changes. */
export function expectedFires(
  drawn: DrawnSchedule,
  zone: string,
  range: { from: number; to: number; gap: Gap; overlap: Overlap },
): number[] {
  const { from, to, gap, overlap } = range
  const fires = new Set<number>()
  const shown = new Map<number, number[]>()
  let last = readClock(zone, from)
  for (let at = from + MINUTE_MS; at <= to; at += MINUTE_MS) {
    const clock = readClock(zone, at)
    shown.set(clock, [...(shown.get(clock) ?? []), at])
    // The clock jumped: the minutes that it never showed.
    for (let missing = last + MINUTE_MS; missing < clock; missing += MINUTE_MS) {
      if (drawn.hours.size === 24 || gap === 'skip' || !matches(drawn, missing)) continue
      fires.add(gap === 'fireAtGapEnd' ? at : at - MINUTE_MS + (missing - last))
    }
    last = clock
  }
  for (const [clock, times] of shown) {
    if (!matches(drawn, clock)) continue
    const elapsed = drawn.hours.size === 24 || overlap === 'both'
    const kept = elapsed ? times : overlap === 'first' ? times.slice(0, 1) : times.slice(-1)
    for (const at of kept) fires.add(at)
  }
  return [...fires].filter((at) => at <= to).sort((a, b) => a - b)
}

function matches(drawn: DrawnSchedule, clock: number): boolean {
  const date = new Date(clock)
  if (!drawn.minutes.has(date.getUTCMinutes()) || !drawn.hours.has(date.getUTCHours())) return false
  const byMonth = drawn.monthDays?.has(date.getUTCDate())
  const byWeek = drawn.weekdays?.has(date.getUTCDay())
  if (byMonth === undefined || byWeek === undefined) return byMonth ?? byWeek ?? true
  return drawn.dayMatch === 'or' ? byMonth || byWeek : byMonth && byWeek
}
