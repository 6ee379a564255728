// duration.ts — durations as the Gateway API writes them (GEP-2257): `1h30m`, `10s`, `500ms`; no decimals, no signs.

export const DURATION = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 }

/** Milliseconds; undefined when it is no duration. */
export function parseDuration(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined
  let total = 0
  for (const [, digits, unit] of text.matchAll(/([0-9]+)(ms|h|m|s)/g)) total += Number(digits) * UNIT_MS[unit!]!
  return total
}

/** For values that a schema has let through. */
export function durationMs(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined) throw new Error(`assertion failed: not a duration: ${text}`)
  return ms
}
