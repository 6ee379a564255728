// spec.ts — what a parsed expression says (parse.ts makes it), and its defaults.

/** How two restricted day fields combine: `or` as in Vixie cron, `and` when asked for. */
export type DayMatch = 'or' | 'and'

export interface DaysOfMonth {
  /** `*` or `?`: says nothing about the day. */
  readonly any: boolean
  readonly days: ReadonlySet<number>
  /** `L` */
  readonly last: boolean
  /** `LW` */
  readonly lastWorkday: boolean
  /** `15W`: the workday nearest to it, in the same month. */
  readonly nearest: readonly number[]
}

export interface DaysOfWeek {
  readonly any: boolean
  /** 0 = Sunday. */
  readonly days: ReadonlySet<number>
  /** `5L`: the last Friday of the month. */
  readonly last: readonly number[]
  /** `MON#2`: the second Monday. */
  readonly nth: readonly { readonly day: number; readonly n: number }[]
}

export interface CronSpec {
  readonly kind: 'cron'
  readonly expression: string
  /** Sorted. */
  readonly seconds: readonly number[]
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly months: ReadonlySet<number>
  readonly dom: DaysOfMonth
  readonly dow: DaysOfWeek
  readonly dayMatch: DayMatch
  /** All 24 hours match: follows elapsed time, through gaps and both passes of an overlap. */
  readonly elapsed: boolean
}

/** `@every 90s`: elapsed time from an anchor. */
export interface EverySpec {
  readonly kind: 'every'
  readonly expression: string
  readonly periodMs: number
}

export type TimeSpec = CronSpec | EverySpec

/** One thing wrong with an expression; `at` counts characters from 0. */
export interface CronProblem {
  readonly at: number
  readonly length: number
  readonly message: string
}
