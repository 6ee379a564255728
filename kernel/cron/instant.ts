// instant.ts — RFC 3339 text → an instant; strict, because a time without offset would be a guess about the zone.

import type { WallMs } from '../clock.ts'
import { FairleadError } from '../errors.ts'
import { daysInMonth } from './local-time.ts'

/** Years that zones are computed for: standard time begins about 1900, and nobody schedules past this. */
export const YEAR_MIN = 1900
export const YEAR_MAX = 2500

const FORM = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i

/** @throws INVALID_INPUT */
export function parseInstant(text: string, what: string): WallMs {
  const refuse = (why: string): never => {
    throw new FairleadError('INVALID_INPUT', `${what}: ${JSON.stringify(text)} ${why}`, {
      problems: [{ path: what, message: why }],
    })
  }
  const parts = FORM.exec(text)
  if (!parts) return refuse('is no RFC 3339 time with offset; write 2026-03-29T00:00:00Z or 2026-03-29T00:00:00+02:00')
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [number, ...number[]]
  if (year < YEAR_MIN || year > YEAR_MAX) return refuse(`is outside the years ${YEAR_MIN}–${YEAR_MAX}`)
  const exists = month! >= 1 && month! <= 12 && day! >= 1 && day! <= daysInMonth(year, month!)
  if (!exists || hour! > 23 || minute! > 59 || second! > 59) return refuse('names no time that exists')
  return Date.parse(text.toUpperCase()) as WallMs
}
