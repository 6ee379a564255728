// field.ts — one field of a cron expression → the values it names; every problem with its place.
//
// Ranges do not wrap (`22-2` is more often a slip than a wish): the message says how to write it. `SUN` or 7 at the end
// of a range is the Sunday after Saturday, so FRI-SUN works.

import { hashInt } from './hash.ts'
import type { CronProblem } from './spec.ts'

export interface FieldShape {
  readonly name: 'second' | 'minute' | 'hour' | 'day of month' | 'month' | 'day of week'
  readonly min: number
  /** 7 for the day of week: both ends are Sunday. */
  readonly max: number
  /** Range of `H`: no date that some month lacks, no Sunday twice. */
  readonly hashMax: number
  readonly names?: readonly string[]
}

/** Values and the special marks of the two day fields; a field that may not have a mark gets a problem instead. */
export interface Field {
  readonly any: boolean
  readonly values: Set<number>
  last: boolean
  lastWorkday: boolean
  readonly nearest: number[]
  readonly lastOf: number[]
  readonly nth: { day: number; n: number }[]
}

interface Reading {
  readonly shape: FieldShape
  /** The schedule's name, for `H`. */
  readonly seed: string | undefined
  readonly problem: (at: number, length: number, message: string) => void
}

interface Item {
  readonly text: string
  readonly at: number
}

export function parseField(token: Item, shape: FieldShape, seed: string | undefined, problems: CronProblem[]): Field {
  const reading: Reading = {
    shape,
    seed,
    problem: (at, length, message) => problems.push({ at, length: Math.max(1, length), message }),
  }
  const isDay = shape.name.startsWith('day')
  const field: Field = {
    any: token.text === '*' || (token.text === '?' && isDay),
    values: new Set(),
    last: false,
    lastWorkday: false,
    nearest: [],
    lastOf: [],
    nth: [],
  }
  if (token.text === '?' && isDay) {
    addRange(field, reading, { low: shape.min, high: shape.max, step: 1 })
    return field
  }
  let at = token.at
  for (const text of token.text.split(',')) {
    parseItem({ text, at }, field, reading)
    at += text.length + 1
  }
  return field
}

function parseItem(item: Item, field: Field, reading: Reading): void {
  const { text, at } = item
  const { shape, problem } = reading
  if (text === '' || text === '?') {
    const empty = `the list of the ${shape.name} has an empty place`
    problem(at, 1, text === '' ? empty : '? stands alone, and only for the day of month or the day of week')
    return
  }
  if (shape.name === 'day of month' && parseDomMark(item, field, reading)) return
  if (shape.name === 'day of week' && parseDowMark(item, field, reading)) return
  const [, base, step] = /^([^/]*)(?:\/(.*))?$/s.exec(text)!
  const range = rangeOf({ text: base!, at }, reading, step !== undefined)
  if (!range) return
  const by = step === undefined ? 1 : stepOf({ text: step, at: at + base!.length + 1 }, range, reading)
  if (by === undefined) return
  if (range.hashed)
    addHashed(field, reading, {
      ...range,
      step: step === undefined ? undefined : by,
    })
  else addRange(field, reading, { ...range, step: by })
}

// ── marks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function parseDomMark({ text, at }: Item, field: Field, { problem }: Reading): boolean {
  const upper = text.toUpperCase()
  if (upper === 'L') field.last = true
  else if (upper === 'LW' || upper === 'WL') field.lastWorkday = true
  else {
    const [, digits] = /^(\d{1,2})W$/.exec(upper) ?? []
    if (digits === undefined) return false
    const day = Number(digits)
    if (day < 1 || day > 31) problem(at, digits.length, `day of month ${day} is outside 1–31`)
    else field.nearest.push(day)
  }
  return true
}

function parseDowMark(item: Item, field: Field, reading: Reading): boolean {
  const { text, at } = item
  const { problem } = reading
  if (/^L$/i.test(text)) {
    problem(at, 1, 'L needs a day of the week: 5L or FRIL is the last Friday of the month')
    return true
  }
  const [, word, mark, n] = /^([A-Za-z0-9]+?)(L|#)(.*)$/i.exec(text) ?? []
  if (word === undefined || (mark !== '#' && n !== '')) return false
  const day = valueAt({ text: word, at }, reading)
  if (mark === '#' && !/^[1-5]$/.test(n!)) {
    problem(at + word.length + 1, n!.length, `# needs 1 to 5: MON#2 is the second Monday of the month`)
  } else if (day !== undefined) {
    if (mark === '#') field.nth.push({ day: day % 7, n: Number(n) })
    else field.lastOf.push(day % 7)
  }
  return true
}

// ── ranges ──────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Range {
  readonly low: number
  readonly high: number
  readonly hashed: boolean
}

function rangeOf({ text, at }: Item, reading: Reading, stepped: boolean): Range | undefined {
  const { shape, problem } = reading
  if (text === '*')
    return {
      low: shape.min,
      high: shape.name === 'day of week' ? 6 : shape.max,
      hashed: false,
    }
  if (/^H(\(|$)/i.test(text)) return hashRangeOf({ text, at }, reading)
  const dash = text.indexOf('-')
  const low = valueAt({ text: dash < 0 ? text : text.slice(0, dash), at }, reading)
  // `5/10` means from 5 on, each tenth.
  if (dash < 0) return low === undefined ? undefined : { low, high: stepped ? highest(shape, low) : low, hashed: false }
  const end = { text: text.slice(dash + 1), at: at + dash + 1 }
  const high = valueAt(end, reading, true)
  if (low === undefined || high === undefined) return undefined
  if (low <= high) return { low, high, hashed: false }
  problem(at, text.length, `the range ${text} runs backwards; write ${low}-${highest(shape, low)},${shape.min}-${high}`)
  return undefined
}

function hashRangeOf({ text, at }: Item, reading: Reading): Range | undefined {
  const { shape, seed, problem } = reading
  if (seed === undefined) {
    problem(at, text.length, 'H needs the name of the schedule, which decides its place')
    return undefined
  }
  if (text.length === 1) return { low: shape.min, high: shape.hashMax, hashed: true }
  const [, first, second] = /^H\(([^()-]+)-([^()-]+)\)$/i.exec(text) ?? []
  if (first === undefined || second === undefined) {
    problem(at, text.length, 'write H, H/15, H(0-29) or H(0-29)/10')
    return undefined
  }
  const low = valueAt({ text: first, at: at + 2 }, reading)
  const high = valueAt({ text: second, at: at + 3 + first.length }, reading, true)
  if (low === undefined || high === undefined) return undefined
  if (low > high) {
    problem(at, text.length, `the range of ${text} runs backwards`)
    return undefined
  }
  return { low, high, hashed: true }
}

const highest = (shape: FieldShape, low: number): number => (shape.name === 'day of week' && low < 7 ? 6 : shape.max)

function valueAt({ text, at }: Item, { shape, problem }: Reading, endsRange = false): number | undefined {
  const named = shape.names?.indexOf(text.toUpperCase()) ?? -1
  if (named >= 0) return endsRange && shape.name === 'day of week' && named === 0 ? 7 : named + shape.min
  if (!/^\d{1,2}$/.test(text)) {
    const names = shape.names ? ` or ${shape.names[0]}–${shape.names.at(-1)}` : ''
    problem(at, text.length, `${JSON.stringify(text)} is no ${shape.name}; write ${shape.min}–${shape.max}${names}`)
    return undefined
  }
  const value = Number(text)
  if (value >= shape.min && value <= shape.max) return value
  problem(at, text.length, `${shape.name} ${value} is outside ${shape.min}–${shape.max}`)
  return undefined
}

function stepOf({ text, at }: Item, { low, high }: Range, { problem }: Reading): number | undefined {
  const step = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (step < 1) problem(at, text.length, `the step ${JSON.stringify(text)} is no number from 1 on`)
  else if (step > 1 && step > high - low)
    problem(at, text.length, `the step ${step} is longer than ${low}–${high}: nothing repeats`)
  else return step
  return undefined
}

function addRange(field: Field, { shape }: Reading, range: { low: number; high: number; step: number }): void {
  for (let value = range.low; value <= range.high; value += range.step) {
    field.values.add(shape.name === 'day of week' ? value % 7 : value)
  }
}

function addHashed(
  field: Field,
  reading: Reading,
  range: { low: number; high: number; step: number | undefined },
): void {
  const { low, high, step } = range
  const first = low + hashInt(step ?? high - low + 1, 'H', reading.seed!, reading.shape.name)
  addRange(field, reading, {
    low: first,
    high: step === undefined ? first : high,
    step: step ?? 1,
  })
}
