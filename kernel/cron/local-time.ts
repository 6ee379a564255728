// local-time.ts — dates and times of day on a wall clock, without a zone; zone.ts ties them to instants.

import type { WallMs } from '../clock.ts'

declare const local: unique symbol
/** Milliseconds since 1970-01-01T00:00:00 as a wall clock shows it: not an instant, and it may not exist or exist twice. */
export type LocalMs = number & { readonly [local]: true }

/** A date of the proleptic Gregorian calendar. */
export interface CivilDate {
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  readonly day: number
}

export const SECOND_MS = 1000
export const DAY_MS = 86_400_000

export function dateOf(at: LocalMs): CivilDate {
  const date = new Date(at)
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
  }
}

export const startOfDate = ({ year, month, day }: CivilDate): LocalMs => Date.UTC(year, month - 1, day) as LocalMs
export const startOfDay = (at: LocalMs): LocalMs => (Math.floor(at / DAY_MS) * DAY_MS) as LocalMs
export const localPlus = (at: LocalMs, ms: number): LocalMs => (at + ms) as LocalMs
export const toLocal = (at: WallMs, offsetMs: number): LocalMs => (at + offsetMs) as number as LocalMs
export const toInstant = (at: LocalMs, offsetMs: number): WallMs => (at - offsetMs) as number as WallMs

export const daysInMonth = (year: number, month: number): number => new Date(Date.UTC(year, month, 0)).getUTCDate()
/** 0 = Sunday. */
export const weekdayOf = (at: LocalMs): number => (((Math.floor(at / DAY_MS) + 4) % 7) + 7) % 7

/** `2025-03-09T03:00:00` */
export const formatLocal = (at: LocalMs): string => new Date(at).toISOString().slice(0, 19)
/** `2025-03-09` */
export const formatDate = (at: LocalMs): string => formatLocal(at).slice(0, 10)
/** `-04:00`; seconds only where a zone has them. */
export function formatOffset(offsetMs: number): string {
  const text = new Date(Math.abs(offsetMs)).toISOString().slice(11, 19)
  return `${offsetMs < 0 ? '-' : '+'}${text.endsWith(':00') ? text.slice(0, 5) : text}`
}
