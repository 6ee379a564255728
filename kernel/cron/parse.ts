// parse.ts — the text of a schedule → TimeSpec, or every problem with its place in the text.
//
// Five fields (minute hour day-of-month month day-of-week) or six (second first); @hourly … @yearly; @every 90s.
// Dialect and decisions: docs/time.md. An expression without a single date in any year is refused here.

import { FairleadError } from '../errors.ts'
import { hasAnyDate } from './days.ts'
import { type Field, type FieldShape, parseField } from './field.ts'
import { DAY_MS } from './local-time.ts'
import type { CronProblem, CronSpec, DayMatch, TimeSpec } from './spec.ts'

export interface ParseOptions {
  /** The schedule's name: decides the place of `H`. */
  readonly name?: string | undefined
  readonly dayMatch?: DayMatch | undefined
}
export type Parsed = { readonly spec: TimeSpec } | { readonly problems: readonly CronProblem[] }

const EXPRESSION_CHARS_MAX = 256
const EVERY_MS_MIN = 1000
const EVERY_MS_MAX = 366 * DAY_MS
const UNIT_MS: Record<string, number> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: DAY_MS,
}

const MACROS: Record<string, string> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC']
export const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'] as const
const SHAPES: readonly FieldShape[] = [
  { name: 'second', min: 0, max: 59, hashMax: 59 },
  { name: 'minute', min: 0, max: 59, hashMax: 59 },
  { name: 'hour', min: 0, max: 23, hashMax: 23 },
  { name: 'day of month', min: 1, max: 31, hashMax: 28 },
  { name: 'month', min: 1, max: 12, hashMax: 12, names: MONTHS },
  { name: 'day of week', min: 0, max: 7, hashMax: 6, names: WEEKDAYS },
]

export function parseExpression(text: string, options: ParseOptions = {}): Parsed {
  const problem = (at: number, length: number, message: string): Parsed => ({
    problems: [{ at, length, message }],
  })
  if (text.length > EXPRESSION_CHARS_MAX) {
    return problem(EXPRESSION_CHARS_MAX, 1, `an expression has at most ${EXPRESSION_CHARS_MAX} characters`)
  }
  const tokens = [...text.matchAll(/[^ \t]+/g)].map((match) => ({
    text: match[0],
    at: match.index,
  }))
  const first = tokens[0]
  if (!first) return problem(0, 1, 'the expression is empty')
  if (!first.text.startsWith('@')) return parseFields(text, tokens, options)
  if (first.text.toLowerCase() === '@every') return parseEvery(text, tokens)
  const macro = MACROS[first.text.toLowerCase()]
  if (macro === undefined) return problem(first.at, first.text.length, unknownMacro(first.text))
  if (tokens[1]) return problem(tokens[1].at, tokens[1].text.length, `nothing may follow ${first.text}`)
  const parsed = parseExpression(macro, options)
  return 'spec' in parsed ? { spec: { ...parsed.spec, expression: text } } : parsed
}

/** @throws INVALID_INPUT with every problem; `path` is `expression:COLUMN`, columns from 1. */
export function requireExpression(text: string, options: ParseOptions = {}): TimeSpec {
  const parsed = parseExpression(text, options)
  if ('spec' in parsed) return parsed.spec
  const problems = parsed.problems.map(({ at, message }) => ({
    path: `expression:${at + 1}`,
    message,
  }))
  throw new FairleadError('INVALID_INPUT', `${JSON.stringify(text)} is no schedule: ${problems[0]!.message}`, {
    problems,
  })
}

/** Three lines for people: the expression, carets, what is wrong. */
export function renderProblem(text: string, { at, length, message }: CronProblem): string {
  const said = `${message} (column ${at + 1})`
  return text.length > EXPRESSION_CHARS_MAX
    ? `  ${said}`
    : `  ${text}\n  ${' '.repeat(at)}${'^'.repeat(length)}\n  ${said}`
}

type Token = { readonly text: string; readonly at: number }

function unknownMacro(text: string): string {
  if (text.toLowerCase() === '@reboot') return '@reboot names no time: start the job from what boots'
  return `${text} is unknown; there are ${Object.keys(MACROS).join(' ')} and @every 90s`
}

function parseEvery(text: string, tokens: readonly Token[]): Parsed {
  const [word, period, more] = tokens
  const at = period?.at ?? word!.at
  const length = period?.text.length ?? word!.text.length
  const problem = (message: string): Parsed => ({
    problems: [{ at, length, message }],
  })
  if (more)
    return {
      problems: [
        {
          at: more.at,
          length: more.text.length,
          message: 'nothing may follow the period',
        },
      ],
    }
  if (!period || !/^(\d{1,9}[smhd])+$/.test(period.text)) return problem('@every needs a period: 90s, 15m, 1h30m, 2d')
  let periodMs = 0
  for (const [, number, unit] of period.text.matchAll(/(\d+)([smhd])/g)) periodMs += Number(number) * UNIT_MS[unit!]!
  if (periodMs < EVERY_MS_MIN || periodMs > EVERY_MS_MAX) return problem('the period is 1s to 366d')
  return { spec: { kind: 'every', expression: text, periodMs } }
}

function parseFields(text: string, tokens: readonly Token[], { name, dayMatch = 'or' }: ParseOptions): Parsed {
  if (tokens.length !== 5 && tokens.length !== 6) {
    const extra = tokens[6]
    const at = extra?.at ?? text.length
    const message = `an expression has 5 fields (minute hour day-of-month month day-of-week) or 6 (second first), not ${tokens.length}`
    return { problems: [{ at, length: extra?.text.length ?? 1, message }] }
  }
  const problems: CronProblem[] = []
  const shapes = SHAPES.slice(-tokens.length)
  const fields = tokens.map((token, i) => parseField(token, shapes[i]!, name, problems))
  if (problems.length > 0) return { problems }
  const spec = specOf(text, fields, dayMatch)
  if (hasAnyDate(spec)) return { spec }
  const dom = tokens.at(-3)!
  const end = tokens.at(-1)!
  const message = 'no date of any year fits: these days do not exist in these months'
  return {
    problems: [{ at: dom.at, length: end.at + end.text.length - dom.at, message }],
  }
}

function specOf(expression: string, fields: readonly Field[], dayMatch: DayMatch): CronSpec {
  const [minute, hour, dom, month, dow] = fields.slice(-5) as [Field, Field, Field, Field, Field]
  return {
    kind: 'cron',
    expression,
    seconds: fields.length === 6 ? sorted(fields[0]!) : [0],
    minutes: sorted(minute),
    hours: sorted(hour),
    months: month.values,
    dom: {
      any: dom.any,
      days: dom.values,
      last: dom.last,
      lastWorkday: dom.lastWorkday,
      nearest: dom.nearest,
    },
    dow: { any: dow.any, days: dow.values, last: dow.lastOf, nth: dow.nth },
    dayMatch,
    elapsed: hour.values.size === 24,
  }
}

const sorted = ({ values }: Field): number[] => [...values].sort((a, b) => a - b)
