// holdback.ts — when instances vanish, is it them or is it the registry?
//
// Owns: what was published, per service. The rule (DESIGN.md §7): for 2 × TTL after our own restart, and for 2 × TTL
// after most of a service vanished at once, nothing is taken away. A sidecar that still stands refuses or fails and is
// passed over by the data path; an instance taken away by mistake is an outage.
// An instance that says itself that it is not ready is believed at once: only silence is doubted.

import type { MonotonicMs } from '../../kernel/clock.ts'
import { CHECK_TTL_MS, type Instance } from '../contract.ts'

export const HOLD_MS = 2 * CHECK_TTL_MS

/** What the registry says now. */
export interface Seen {
  readonly instance: Instance
  /** It is not passing, and it said so itself (its check did not just run out). */
  readonly deliberate: boolean
}

type Named = Map<string, Instance>

export class Holdback {
  readonly #published = new Map<string, Named>()
  readonly #holds = new Map<string, MonotonicMs>()
  readonly #startHoldUntil: MonotonicMs

  constructor(known: readonly Instance[], now: MonotonicMs) {
    // A first start has nothing to lose; a restart knows what it published before.
    this.#startHoldUntil = (known.length === 0 ? now : now + HOLD_MS) as MonotonicMs
    for (const [service, instances] of byService(known)) this.#published.set(service, instances)
  }

  /** The set to publish; `again` is when to ask once more although nothing changed. */
  next(seen: readonly Seen[], now: MonotonicMs): { instances: Instance[]; again: MonotonicMs | undefined } {
    const current = byService(seen.map((one) => one.instance))
    const said = new Set(seen.filter((one) => one.deliberate).map((one) => one.instance.instance))
    const ends: MonotonicMs[] = []
    for (const service of new Set([...this.#published.keys(), ...current.keys()])) {
      const held = this.#hold(service, current.get(service) ?? new Map(), said, now)
      if (held !== undefined) ends.push(held)
    }
    const instances = [...this.#published.values()].flatMap((named) => [...named.values()])
    return { instances: instances.sort(byKey), again: ends.length === 0 ? undefined : earliest(ends) }
  }

  /** Publishes one service; returns until when something of it is held back. */
  #hold(service: string, current: Named, said: ReadonlySet<string>, now: MonotonicMs): MonotonicMs | undefined {
    const before = this.#published.get(service) ?? new Map<string, Instance>()
    const passing = [...before.values()].filter((instance) => instance.passing)
    const lost = passing.filter(({ instance }) => !current.get(instance)?.passing && !said.has(instance))
    const until = this.#until(service, lost.length, passing.length, now)
    if (until === undefined) {
      this.#holds.delete(service)
      if (current.size === 0) this.#published.delete(service)
      else this.#published.set(service, current)
      return undefined
    }
    this.#published.set(service, new Map([...current, ...lost.map((kept) => [kept.instance, kept] as const)]))
    return until
  }

  /** End of the hold that applies, or undefined when what vanished may go. */
  #until(service: string, lost: number, passing: number, now: MonotonicMs): MonotonicMs | undefined {
    if (lost === 0) return undefined
    if (now < this.#startHoldUntil) return this.#startHoldUntil
    const running = this.#holds.get(service)
    if (running !== undefined) return now < running ? running : undefined
    if (lost * 2 <= passing) return undefined
    const until = (now + HOLD_MS) as MonotonicMs
    this.#holds.set(service, until)
    return until
  }
}

function byService(instances: readonly Instance[]): Map<string, Named> {
  const services = new Map<string, Named>()
  for (const instance of instances) {
    const key = `${instance.namespace}/${instance.service}`
    const named = services.get(key) ?? new Map<string, Instance>()
    services.set(key, named.set(instance.instance, instance))
  }
  return services
}

const earliest = (ends: readonly MonotonicMs[]): MonotonicMs => Math.min(...ends) as MonotonicMs
const keyOf = (one: Instance): string => `${one.namespace}/${one.service}/${one.instance}`
const byKey = (a: Instance, b: Instance): number => (keyOf(a) < keyOf(b) ? -1 : 1)
