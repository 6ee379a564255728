// endpoint-set.ts — the endpoints of one backend: load, ejections, and who is picked next.
//
// Owns: active counts and verdicts, kept across snapshots by instance and address (a restarted instance on another port
// starts clean). Endpoint objects live on while requests hold them, also after they left the set.
// The cap holds at any time: when the set shrinks, those whose ejection ends first come back.

import type { Clock } from '../../kernel/clock.ts'
import type { Random } from '../../kernel/random.ts'
import type { Endpoint, Policy } from '../../mesh-config/snapshot.ts'
import type { EndpointState } from '../exchange.ts'
import { pickLeastRequest, pickRoundRobin } from './balance.ts'
import { eject, ejectionsMax, freshHealth, type Health, isEjected, settleHealth } from './outlier.ts'

export interface EndpointSetParts {
  readonly clock: Clock
  readonly random: Random
  /** An endpoint was ejected; for log and metric. */
  readonly onEject?: (endpoint: Endpoint, untilMs: number) => void
}

export class EndpointSet {
  readonly #parts: EndpointSetParts
  #members: TrackedEndpoint[] = []
  #policy: Policy
  #cursor = 0
  ejections = 0

  constructor(parts: EndpointSetParts, policy: Policy) {
    this.#parts = parts
    this.#policy = policy
  }

  get members(): readonly TrackedEndpoint[] {
    return this.#members
  }

  update(endpoints: readonly Endpoint[], policy: Policy): void {
    const before = new Map(this.#members.map((member) => [identityOf(member.endpoint), member]))
    this.#policy = policy
    this.#members = endpoints.map((endpoint) => {
      const known = before.get(identityOf(endpoint))
      if (known) known.endpoint = endpoint
      return known ?? new TrackedEndpoint(endpoint, this)
    })
    this.#holdCap()
  }

  pick(tried: ReadonlySet<EndpointState>): TrackedEndpoint | undefined {
    const usable = this.#parts.clock.now()
    const members = this.#members
    if (this.#policy.balance === 'roundRobin') {
      this.#cursor = (this.#cursor + 1) % Math.max(1, members.length)
      return pickRoundRobin(members, this.#cursor, tried, usable)
    }
    return pickLeastRequest(members, tried, usable, this.#parts.random)
  }

  settle(member: TrackedEndpoint, ok: boolean): void {
    if (ok && member.health.failures === 0) return
    const now = this.#parts.clock.now()
    if (!settleHealth(member.health, ok, now, this.#policy.outlier)) return
    if (!this.#members.includes(member)) return
    const out = this.#members.filter((other) => isEjected(other.health, now)).length
    if (out >= ejectionsMax(this.#members.length, this.#policy.outlier)) return
    eject(member.health, now, this.#policy.outlier)
    this.ejections++
    this.#parts.onEject?.(member.endpoint, member.health.until - now)
  }

  isEjected(member: TrackedEndpoint): boolean {
    return isEjected(member.health, this.#parts.clock.now())
  }

  #holdCap(): void {
    const now = this.#parts.clock.now()
    const out = this.#members.filter((member) => isEjected(member.health, now))
    const surplus = out.length - ejectionsMax(this.#members.length, this.#policy.outlier)
    out.sort((a, b) => a.health.until - b.health.until)
    for (const member of out.slice(0, Math.max(0, surplus))) member.health.until = now
  }
}

export class TrackedEndpoint implements EndpointState {
  endpoint: Endpoint
  readonly key: string
  readonly health: Health = freshHealth()
  active = 0
  readonly #set: EndpointSet

  constructor(endpoint: Endpoint, set: EndpointSet) {
    this.endpoint = endpoint
    this.key = endpoint.address.includes(':')
      ? `[${endpoint.address}]:${endpoint.port}`
      : `${endpoint.address}:${endpoint.port}`
    this.#set = set
  }

  get ejected(): boolean {
    return this.#set.isEjected(this)
  }

  settle(ok: boolean): void {
    this.#set.settle(this, ok)
  }
}

const identityOf = (endpoint: Endpoint): string => `${endpoint.instance} ${endpoint.address} ${endpoint.port}`
