// definition.ts — a schedule and a calendar as users write them (JSON; YAML becomes the same), and how they become a rule.
//
// Everything that can be wrong is told at once, with JSON paths; problems of the expression carry their column. What
// passes here compiles: zone, expression, windows and bounds have been tried.

import type { WallMs } from '../clock.ts'
import { FairleadError } from '../errors.ts'
import { parseWith, z } from '../parse.ts'
import type { Calendar } from './calendar.ts'
import { parseInstant } from './instant.ts'
import { daysInMonth, SECOND_MS } from './local-time.ts'
import { CATCH_UP_MAX, MISFIRE_DEFAULT, MISFIRE_POLICIES } from './misfire.ts'
import { DST_DEFAULT, DST_GAPS, DST_OVERLAPS } from './next.ts'
import { OVERLAP_POLICIES } from './overlap.ts'
import { parseExpression, WEEKDAYS } from './parse.ts'
import type { ScheduleRule } from './schedule.ts'
import type { TimeWindow } from './window.ts'
import { openZone } from './zone.ts'

export const SCHEDULE_LIMITS = {
  nameChars: 128,
  textChars: 2000,
  windows: 32,
  blackouts: 100,
  calendarDates: 2000,
  jitterMs: 86_400_000,
  misfireWindowMs: 366 * 86_400_000,
  firesMax: 1_000_000_000,
} as const

const Name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/, 'is lower-case letters, digits, and . _ - between them')
  .max(SCHEDULE_LIMITS.nameChars)
const Text = z.string().max(SCHEDULE_LIMITS.textChars)
const Weekday = z.enum(WEEKDAYS)
const Instant = z.string().refine(isInstant, 'is no RFC 3339 time with offset')
const TimeOfDay = z.string().regex(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, 'is no time of day; write 09:30, at most 24:00')
const CalendarDate = z.string().refine(isDate, 'is no date; write 2026-12-24, or 12-25 for each year')

const Window = z
  .strictObject({ weekdays: z.array(Weekday).min(1).max(7).optional(), from: TimeOfDay, to: TimeOfDay })
  .refine(({ from, to }) => from !== to && from !== '24:00', 'from and to are the same, or from is 24:00')
const Blackout = z
  .strictObject({ from: Instant, to: Instant })
  .refine(
    ({ from, to }) => !isInstant(from) || !isInstant(to) || Date.parse(from) < Date.parse(to),
    'ends before it begins',
  )

export const ScheduleSchema = z
  .strictObject({
    name: Name,
    description: Text.optional(),
    owner: Text.optional(),
    /** Why it exists, for whoever wants to delete it. */
    rationale: Text.optional(),
    expression: z.string(),
    timeZone: z.string().refine(isZone, 'is no IANA time zone').default('UTC'),
    dayMatch: z.enum(['or', 'and']).default('or'),
    dstGap: z.enum(DST_GAPS).default(DST_DEFAULT.dstGap),
    dstOverlap: z.enum(DST_OVERLAPS).default(DST_DEFAULT.dstOverlap),
    calendar: z
      .strictObject({
        name: Name,
        onClosed: z.enum(['skip', 'nextBusinessDay', 'previousBusinessDay']).default('skip'),
      })
      .optional(),
    windows: z.array(Window).max(SCHEDULE_LIMITS.windows).default([]),
    blackouts: z.array(Blackout).max(SCHEDULE_LIMITS.blackouts).default([]),
    startAt: Instant.optional(),
    endAt: Instant.optional(),
    maxFires: z.int().min(1).max(SCHEDULE_LIMITS.firesMax).optional(),
    jitterMs: z.int().min(0).max(SCHEDULE_LIMITS.jitterMs).default(0),
    misfire: z
      .strictObject({
        policy: z.enum(MISFIRE_POLICIES).default(MISFIRE_DEFAULT.policy),
        windowMs: z.int().min(0).max(SCHEDULE_LIMITS.misfireWindowMs).default(MISFIRE_DEFAULT.windowMs),
        catchUpMax: z.int().min(1).max(CATCH_UP_MAX).default(MISFIRE_DEFAULT.catchUpMax),
      })
      .prefault({}),
    overlap: z.enum(OVERLAP_POLICIES).default('skip'),
  })
  .superRefine((schedule, check) => {
    const problem = (path: string, message: string): void => check.addIssue({ code: 'custom', path: [path], message })
    const parsed = parseExpression(schedule.expression, { name: schedule.name, dayMatch: schedule.dayMatch })
    if ('problems' in parsed)
      for (const { at, message } of parsed.problems) problem('expression', `${message} (column ${at + 1})`)
    else if (parsed.spec.kind === 'every' && schedule.calendar && schedule.calendar.onClosed !== 'skip') {
      problem('calendar', '@every has no dates to move; only onClosed: skip applies')
    }
    const { startAt, endAt } = schedule
    if (startAt && endAt && isInstant(startAt) && isInstant(endAt) && Date.parse(startAt) >= Date.parse(endAt)) {
      problem('endAt', 'is not after startAt')
    }
  })
/** All defaults filled in; JSON. */
export type ScheduleDefinition = z.infer<typeof ScheduleSchema>

export const CalendarSchema = z.strictObject({
  name: Name,
  closedWeekdays: z.array(Weekday).max(7).default([]),
  closedDates: z.array(CalendarDate).max(SCHEDULE_LIMITS.calendarDates).default([]),
  openDates: z.array(CalendarDate).max(SCHEDULE_LIMITS.calendarDates).default([]),
})
export type CalendarDefinition = z.infer<typeof CalendarSchema>

/** @throws INVALID_INPUT with every problem. */
export const parseSchedule = (value: unknown): ScheduleDefinition =>
  parseWith<ScheduleDefinition>(ScheduleSchema, value, 'schedule')

/** @throws INVALID_INPUT with every problem. */
export function parseCalendar(value: unknown): Calendar {
  const { name, closedWeekdays, closedDates, openDates } = parseWith<CalendarDefinition>(
    CalendarSchema,
    value,
    'calendar',
  )
  return {
    name,
    closedWeekdays: closedWeekdays.map((day) => WEEKDAYS.indexOf(day)),
    closedDates: new Set(closedDates),
    openDates: new Set(openDates),
  }
}

/**
 * The rule of a schedule made at `createdAt` (where `@every` counts from, unless it has a start).
 * @throws INVALID_INPUT when its calendar is not among `calendars`.
 */
export function ruleOf(
  definition: ScheduleDefinition,
  createdAt: WallMs,
  calendars: ReadonlyMap<string, Calendar> = new Map(),
): ScheduleRule {
  const { name, expression, dayMatch, timeZone, dstGap, dstOverlap } = definition
  const parsed = parseExpression(expression, { name, dayMatch })
  if ('problems' in parsed) throw new FairleadError('INVALID_INPUT', `The expression of ${name} is not valid.`)
  const startAt = instantOf(definition.startAt)
  return {
    spec: parsed.spec,
    zone: timeZone,
    dst: { dstGap, dstOverlap },
    calendar: calendarOf(definition, calendars),
    windows: definition.windows.flatMap(windowsOf),
    blackouts: definition.blackouts.map(({ from, to }) => ({ from: instantOf(from)!, to: instantOf(to)! })),
    startAt,
    endAt: instantOf(definition.endAt),
    firesMax: definition.maxFires,
    anchor: startAt ?? createdAt,
  }
}

function calendarOf(
  { calendar }: ScheduleDefinition,
  calendars: ReadonlyMap<string, Calendar>,
): ScheduleRule['calendar'] {
  if (!calendar) return undefined
  const found = calendars.get(calendar.name)
  if (!found) throw new FairleadError('INVALID_INPUT', `There is no calendar ${calendar.name}.`)
  return { calendar: found, onClosed: calendar.onClosed }
}

/** 22:00–02:00 is the evening of its weekdays and the morning after them. */
function windowsOf({ weekdays, from, to }: ScheduleDefinition['windows'][number]): TimeWindow[] {
  const days = (weekdays ?? WEEKDAYS).map((day) => WEEKDAYS.indexOf(day))
  const [fromMs, toMs] = [timeMs(from), timeMs(to)]
  if (fromMs < toMs) return [{ weekdays: days, fromMs, toMs }]
  const evening = { weekdays: days, fromMs, toMs: timeMs('24:00') }
  return toMs === 0 ? [evening] : [evening, { weekdays: days.map((day) => (day + 1) % 7), fromMs: 0, toMs }]
}

const timeMs = (text: string): number => (Number(text.slice(0, 2)) * 3600 + Number(text.slice(3)) * 60) * SECOND_MS
const instantOf = (text: string | undefined): WallMs | undefined =>
  text === undefined ? undefined : parseInstant(text, 'time')

function isInstant(text: string): boolean {
  return passes(() => parseInstant(text, 'time'))
}

function isZone(name: string): boolean {
  return passes(() => openZone(name))
}

/** `12-31` counts as of a leap year: 29 February may be closed. */
function isDate(text: string): boolean {
  const [, year = '2000', month, day] = /^(?:(\d{4})-)?(\d\d)-(\d\d)$/.exec(text) ?? []
  if (month === undefined || Number(month) < 1 || Number(month) > 12) return false
  return Number(day) >= 1 && Number(day) <= daysInMonth(Number(year), Number(month))
}

function passes(attempt: () => unknown): boolean {
  try {
    attempt()
    return true
  } catch (error) {
    if (error instanceof FairleadError) return false
    throw error
  }
}
