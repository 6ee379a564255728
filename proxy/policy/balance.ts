// balance.ts — which endpoint takes the next request: power of two choices on least requests, or round robin.
//
// Pure. Ejected and already tried endpoints are passed over; when everything left is ejected, ejection is ignored
// (panic: a request to a doubtful instance beats a certain 503). Undefined = every endpoint was tried, or none exists.

import type { MonotonicMs } from '../../kernel/clock.ts'
import type { Random } from '../../kernel/random.ts'
import type { EndpointState } from '../exchange.ts'
import { type Health, isEjected } from './outlier.ts'

export interface Candidate extends EndpointState {
  readonly health: Health
}

/** Random draws before the scan: keeps the draw uniform while few sit out. */
const DRAWS_MAX = 4

export function pickLeastRequest<T extends Candidate>(
  members: readonly T[],
  tried: ReadonlySet<EndpointState>,
  now: MonotonicMs,
  random: Random,
): T | undefined {
  const first = draw(members, tried, now, random, undefined)
  if (!first) return panic(members, tried, random)
  const second = members.length > 1 ? draw(members, tried, now, random, first) : undefined
  return second && second.active < first.active ? second : first
}

export function pickRoundRobin<T extends Candidate>(
  members: readonly T[],
  cursor: number,
  tried: ReadonlySet<EndpointState>,
  now: MonotonicMs,
): T | undefined {
  let doubtful: T | undefined
  for (let step = 0; step < members.length; step++) {
    const member = members[(cursor + step) % members.length]!
    if (tried.has(member)) continue
    if (!isEjected(member.health, now)) return member
    doubtful ??= member
  }
  return doubtful
}

function draw<T extends Candidate>(
  members: readonly T[],
  tried: ReadonlySet<EndpointState>,
  now: MonotonicMs,
  random: Random,
  except: T | undefined,
): T | undefined {
  if (members.length === 0) return undefined
  const fits = (member: T): boolean => member !== except && !tried.has(member) && !isEjected(member.health, now)
  let at = 0
  for (let attempt = 0; attempt < DRAWS_MAX; attempt++) {
    at = random.int(members.length)
    if (fits(members[at]!)) return members[at]
  }
  for (let step = 1; step < members.length; step++) {
    const member = members[(at + step) % members.length]!
    if (fits(member)) return member
  }
  return undefined
}

function panic<T extends Candidate>(
  members: readonly T[],
  tried: ReadonlySet<EndpointState>,
  random: Random,
): T | undefined {
  const left = members.filter((member) => !tried.has(member))
  return left.length === 0 ? undefined : left[random.int(left.length)]
}
