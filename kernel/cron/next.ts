// next.ts — the next instant at which a wall-clock rule fires in a zone. The one place that knows about DST.
//
// The fires of a rule are a fixed set of instants, whatever instant one asks from; `next` is its least member after
// `after`. So answers strictly increase and none comes twice. Per span of constant offset the set holds
//   - each matching wall time of the span; one that the wall clock shows twice, as `overlap` says;
//   - for the change that begins it, when wall times were left out, what `gap` makes of the matches among those.
// A rule whose hour field matches all 24 hours follows elapsed time: both passes of an overlap, nothing for a gap.

import type { WallMs } from '../clock.ts'
import type { LocalRule } from './local-rule.ts'
import { DAY_MS, formatLocal, type LocalMs, localPlus, SECOND_MS, toInstant, toLocal } from './local-time.ts'
import { CHANGE_MS_MAX, type Span, type Zone } from './zone.ts'

export type DstGap = 'fireAtGapEnd' | 'skip' | 'shift'
export type DstOverlap = 'first' | 'second' | 'both'
export interface DstPolicy {
  readonly dstGap: DstGap
  readonly dstOverlap: DstOverlap
}
export const DST_GAPS: readonly DstGap[] = ['fireAtGapEnd', 'skip', 'shift']
export const DST_OVERLAPS: readonly DstOverlap[] = ['first', 'second', 'both']
export const DST_DEFAULT: DstPolicy = {
  dstGap: 'fireAtGapEnd',
  dstOverlap: 'first',
}

export type Why =
  | {
      readonly kind: 'wall' | 'elapsed' | 'overlapFirst' | 'overlapSecond' | 'interval'
    }
  /** `nominal` is the wall time that does not exist. */
  | { readonly kind: 'gapEnd' | 'gapShifted'; readonly nominal: LocalMs }

export interface Fire {
  readonly at: WallMs
  readonly local: LocalMs
  readonly offsetMs: number
  readonly why: Why
}

/** A rule that found nothing for so long will not find anything (local-rule.ts). */
const SEARCH_MS_MAX = 60 * 366 * DAY_MS

export function nextWallFire(rule: LocalRule, zone: Zone, after: WallMs, policy: DstPolicy): Fire | undefined {
  let cursor = (Math.floor(after / SECOND_MS) * SECOND_MS + SECOND_MS) as WallMs
  const end = after + SEARCH_MS_MAX
  while (cursor < end) {
    const span = zone.spanAt(cursor)
    const { fire, beyond } = firstInSpan(rule, { zone, span, cursor }, policy)
    const moved = rule.elapsed ? undefined : firstFromGaps(rule, { zone, span, cursor }, policy)
    if (moved && (!fire || moved.at < fire.at)) return moved
    if (fire) return fire
    if (beyond === undefined) return undefined
    cursor = leap(rule, toLocal(cursor, span.offsetMs), { beyond, spanEnd: span.end })
  }
  return undefined
}

/**
 * Where to look next: at the end of the span, or shortly before the next match, years away perhaps. A clock set back
 * shows wall times again that lie behind us; we leap only when none of those matches.
 */
function leap(rule: LocalRule, now: LocalMs, { beyond, spanEnd }: { beyond: LocalMs; spanEnd: WallMs }): WallMs {
  const shownAgain = rule.next(localPlus(now, -CHANGE_MS_MAX))! < now
  return shownAgain ? spanEnd : (Math.max(spanEnd, beyond - 2 * DAY_MS) as WallMs)
}

/** For people: `02:30:00 does not exist on 2025-03-09; fired at the end of the gap`. */
export function explainWhy({ local, why }: Pick<Fire, 'local' | 'why'>): string {
  switch (why.kind) {
    case 'wall':
      return 'wall time'
    case 'elapsed':
      return 'elapsed time: every hour matches'
    case 'interval':
      return 'elapsed time: interval'
    case 'overlapFirst':
      return `${timeOf(local)} comes twice on ${dateText(local)}; this is the first`
    case 'overlapSecond':
      return `${timeOf(local)} comes twice on ${dateText(local)}; this is the second`
    case 'gapEnd':
      return `${timeOf(why.nominal)} does not exist on ${dateText(why.nominal)}; fires when the gap ends`
    case 'gapShifted':
      return `${timeOf(why.nominal)} does not exist on ${dateText(why.nominal)}; shifted by the length of the gap`
  }
}

const timeOf = (at: LocalMs): string => formatLocal(at).slice(11)
const dateText = (at: LocalMs): string => formatLocal(at).slice(0, 10)

interface Place {
  readonly zone: Zone
  readonly span: Span
  /** A whole second in the span; fires before it are not wanted. */
  readonly cursor: WallMs
}

/** The first kept match in the span, or the first match beyond it. */
function firstInSpan(
  rule: LocalRule,
  { zone, span, cursor }: Place,
  policy: DstPolicy,
): { fire?: Fire; beyond?: LocalMs | undefined } {
  let local = rule.next(toLocal(cursor, span.offsetMs))
  while (local !== undefined) {
    const at = toInstant(local, span.offsetMs)
    if (at >= span.end) return { beyond: local }
    const kind = rule.elapsed ? 'elapsed' : wallKind(zone, span, local, policy.dstOverlap)
    if (kind) return { fire: { at, local, offsetMs: span.offsetMs, why: { kind } } }
    local = rule.next(localPlus(local, SECOND_MS))
  }
  return {}
}

type WallKind = 'wall' | 'overlapFirst' | 'overlapSecond'

/** Undefined: this pass of the wall time is not the one wanted. */
function wallKind(zone: Zone, span: Span, local: LocalMs, policy: DstOverlap): WallKind | undefined {
  if (shows(zone, span, local, 'before')) return policy === 'first' ? undefined : 'overlapSecond'
  if (shows(zone, span, local, 'after')) return policy === 'second' ? undefined : 'overlapFirst'
  return 'wall'
}

/** Does a span before or after this one show the same wall time? */
function shows(zone: Zone, span: Span, local: LocalMs, side: 'before' | 'after'): boolean {
  const at = toInstant(local, span.offsetMs)
  const near = (other: Span): boolean =>
    side === 'before' ? other.start > at - CHANGE_MS_MAX : other.end < at + CHANGE_MS_MAX
  for (let other = span; near(other); ) {
    other = neighbour(zone, other, side)
    const there = toInstant(local, other.offsetMs)
    if (other.start <= there && there < other.end) return true
  }
  return false
}

const neighbour = (zone: Zone, span: Span, side: 'before' | 'after'): Span =>
  zone.spanAt((side === 'before' ? span.start - SECOND_MS : span.end) as WallMs)

/** The first fire in this span that stands for wall times which a gap at its start, or shortly before, left out. */
function firstFromGaps(rule: LocalRule, { zone, span, cursor }: Place, { dstGap }: DstPolicy): Fire | undefined {
  if (dstGap === 'skip') return undefined
  let best: Fire | undefined
  for (let later = span; later.start > cursor - CHANGE_MS_MAX; ) {
    const earlier = neighbour(zone, later, 'before')
    const found = fromGap(rule, { earlier, later, cursor }, dstGap)
    if (found !== undefined && found.at < span.end && (!best || found.at < best.at)) {
      const { at, nominal, kind } = found
      best = {
        at,
        local: toLocal(at, span.offsetMs),
        offsetMs: span.offsetMs,
        why: { kind, nominal },
      }
    }
    later = earlier
  }
  return best
}

function fromGap(
  rule: LocalRule,
  { earlier, later, cursor }: { earlier: Span; later: Span; cursor: WallMs },
  dstGap: 'fireAtGapEnd' | 'shift',
): { at: WallMs; nominal: LocalMs; kind: 'gapEnd' | 'gapShifted' } | undefined {
  const gapStart = toLocal(later.start, earlier.offsetMs)
  const gapEnd = toLocal(later.start, later.offsetMs)
  if (gapEnd <= gapStart) return undefined
  const atEnd = dstGap === 'fireAtGapEnd'
  if (atEnd && later.start < cursor) return undefined
  const from = atEnd ? gapStart : (Math.max(gapStart, toLocal(cursor, earlier.offsetMs)) as LocalMs)
  const nominal = rule.next(from)
  if (nominal === undefined || nominal >= gapEnd) return undefined
  return atEnd
    ? { at: later.start, nominal, kind: 'gapEnd' }
    : { at: toInstant(nominal, earlier.offsetMs), nominal, kind: 'gapShifted' }
}
