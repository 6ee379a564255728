// zone.ts — an IANA time zone as spans of constant offset, read from the ICU data of this Node (`Intl`).
//
// Owns: the cache of spans, a UTC year at a time. A year is sampled once a day and each change narrowed to its second,
// so two changes that undo each other within one day would not be seen; tzdata knows none since 1970.
// Never: holds a rule of its own; `tzdataVersion` says whose rules these are, and is stored with each computed fire.

import type { WallMs } from '../clock.ts'
import { FairleadError } from '../errors.ts'
import { DAY_MS, SECOND_MS } from './local-time.ts'

/** [start, end): the wall clock shows the instant + offsetMs. Neighbours may have the same offset (years are cut). */
export interface Span {
  readonly start: WallMs
  readonly end: WallMs
  readonly offsetMs: number
}

export interface Zone {
  readonly name: string
  spanAt(at: WallMs): Span
}

/** No change of a wall clock was longer than a day (Apia 2011, Kwajalein 1993); two hours of room. */
export const CHANGE_MS_MAX = 26 * 3_600_000
const ZONES_MAX = 1024
const YEARS_PER_ZONE_MAX = 128

const zones = new Map<string, Zone>()

/** `2026c`; of this process, as Intl knows it. */
export const tzdataVersion = (): string => process.versions['tz'] ?? 'unknown'

/** @throws INVALID_INPUT when this Node knows no such zone. */
export function openZone(name: string): Zone {
  const known = zones.get(name)
  if (known) return known
  const zone = newZone(name)
  if (zones.size >= ZONES_MAX) zones.delete(zones.keys().next().value!)
  zones.set(name, zone)
  return zone
}

function newZone(name: string): Zone {
  const format = formatOf(name)
  const years = new Map<number, readonly Span[]>()
  const spansOf = (year: number): readonly Span[] => {
    const known = years.get(year)
    if (known) return known
    const spans = spansOfYear(format, year)
    if (years.size >= YEARS_PER_ZONE_MAX) years.delete(years.keys().next().value!)
    years.set(year, spans)
    return spans
  }
  return {
    name,
    spanAt: (at) => spansOf(new Date(at).getUTCFullYear()).find((span) => at < span.end)!,
  }
}

function formatOf(name: string): Intl.DateTimeFormat {
  const refuse = (cause?: unknown): never => {
    throw new FairleadError(
      'INVALID_INPUT',
      `${JSON.stringify(name)} is no IANA time zone; write Europe/Berlin or UTC`,
      {
        cause,
      },
    )
  }
  // An offset such as +02:00 has no rules: whoever writes it gets the wrong hour half of the year.
  if (!/^[A-Za-z]/.test(name)) return refuse()
  const numeric = 'numeric' as const
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: numeric,
      month: numeric,
      day: numeric,
      hour: numeric,
      minute: numeric,
      second: numeric,
    })
  } catch (cause) {
    return refuse(cause)
  }
}

function spansOfYear(format: Intl.DateTimeFormat, year: number): readonly Span[] {
  const end = Date.UTC(year + 1, 0, 1)
  const spans: Span[] = []
  let start = Date.UTC(year, 0, 1)
  let offset = offsetAt(format, start)
  for (let day = start; day < end; day += DAY_MS) {
    // The last second of the day, so that a change at the year's end belongs to the year that it begins.
    const last = Math.min(day + DAY_MS, end) - SECOND_MS
    const after = offsetAt(format, last)
    if (after === offset) continue
    const change = firstWith(format, {
      low: day - SECOND_MS,
      high: last,
      offset: after,
    })
    spans.push({
      start: start as WallMs,
      end: change as WallMs,
      offsetMs: offset,
    })
    start = change
    offset = after
  }
  spans.push({ start: start as WallMs, end: end as WallMs, offsetMs: offset })
  return spans
}

/** The first second in (low, high] that has `offset`, given that `high` has it and `low` has not. */
function firstWith(format: Intl.DateTimeFormat, range: { low: number; high: number; offset: number }): number {
  let { low, high } = range
  while (high - low > SECOND_MS) {
    const middle = low + Math.floor((high - low) / 2 / SECOND_MS) * SECOND_MS
    if (offsetAt(format, middle) === range.offset) high = middle
    else low = middle
  }
  return high
}

/** `at` is a whole second. */
function offsetAt(format: Intl.DateTimeFormat, at: number): number {
  const [, month, day, year, hour, minute, second] = /(\d+)\/(\d+)\/(\d+), (\d+):(\d+):(\d+)/.exec(format.format(at))!
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)) - at
}
