// floor.ts — where each open job stands: in a lane, at a key's gate, in the dispatcher's hands, running, or waiting for
// an alarm. Memory only; nothing here writes.
//
// `settle` is the one way to move a job: it reads the job's state and puts it where it belongs, so it may be called at
// any time and twice (STYLE §11).

import type { Clock, MonotonicMs } from '../../kernel/clock.ts'
import { isTerminal } from '../states.ts'
import { Alarms } from './alarms.ts'
import { type Entry, expireAt, onMonotonic } from './entry.ts'
import { byRunAt, KeyGate } from './key-gate.ts'
import { Lanes } from './lanes.ts'

export interface FloorEvents {
  /** Look at these jobs: something of theirs is due. */
  ring(entries: readonly Entry[]): void
  ready(): void
}

export class Floor {
  readonly jobs = new Map<string, Entry>()
  /** In the dispatcher's hands or running. */
  readonly out = new Set<Entry>()
  readonly #clock: Clock
  readonly #events: FloorEvents
  readonly #lanes = new Lanes()
  readonly #gate = new KeyGate()
  readonly #alarms: Alarms
  #criticalOut = 0

  constructor(clock: Clock, events: FloorEvents) {
    this.#clock = clock
    this.#events = events
    this.#alarms = new Alarms(clock, (entries) => events.ring(entries))
  }

  get readyCount(): number {
    return this.#lanes.size
  }

  /** After a start. Heads of keys first: what runs, then what was tried, then by (runAt, seq). */
  recover(entries: readonly Entry[]): void {
    for (const entry of entries) this.jobs.set(entry.id, entry)
    for (const entry of entries) {
      if (entry.attempt === undefined) continue
      this.#gate.enter(entry)
      this.#goOut(entry)
    }
    const keyed = entries.filter((entry) => entry.gateKey !== undefined && entry.attempt === undefined)
    for (const entry of keyed) if (entry.ordered && entry.token > 0n) this.#gate.enter(entry)
    for (const entry of keyed.sort(byRunAt)) this.settle(entry)
    for (const entry of entries) this.settle(entry)
  }

  add(entry: Entry): void {
    this.jobs.set(entry.id, entry)
    this.settle(entry)
  }

  settle(entry: Entry): void {
    if (isTerminal(entry.state)) {
      this.#forget(entry)
      return
    }
    if (entry.state === 'ready' && entry.place === 'none') this.#offer(entry)
    this.#alarms.set(entry, this.#nextLook(entry))
  }

  lookAt(entry: Entry, at: MonotonicMs): void {
    this.#alarms.set(entry, at)
  }

  take(types: ReadonlySet<string>, max: number): Entry[] {
    const load = { critical: this.#criticalOut, capacity: this.out.size + max }
    const taken = this.#lanes.take(types, max, load)
    for (const entry of taken) {
      entry.place = 'taken'
      this.#goOut(entry)
    }
    return taken
  }

  /** Takes the job out of the dispatcher's hands; `settle` decides what is next. */
  comeBack(entry: Entry, heldMs = 0): void {
    entry.place = 'none'
    entry.heldUntil = (heldMs > 0 ? this.#clock.now() + heldMs : 0) as MonotonicMs
    if (!this.out.delete(entry)) return
    if (entry.class === 'critical') this.#criticalOut--
    if (!entry.ordered) this.#letGo(entry)
  }

  close(): void {
    this.#alarms.close()
  }

  #offer(entry: Entry): void {
    if (entry.heldUntil > this.#clock.now()) return
    if (!this.#gate.enter(entry)) {
      entry.place = 'gate'
      return
    }
    entry.place = 'lane'
    this.#lanes.push(entry)
    this.#events.ready()
  }

  #forget(entry: Entry): void {
    if (this.jobs.get(entry.id) === entry) this.jobs.delete(entry.id)
    this.#lanes.remove(entry)
    this.#alarms.set(entry, Infinity)
    if (this.out.delete(entry) && entry.class === 'critical') this.#criticalOut--
    this.#letGo(entry)
  }

  #letGo(entry: Entry): void {
    const holder = this.#gate.leave(entry)
    if (!holder) return
    holder.place = 'none'
    this.settle(holder)
  }

  #goOut(entry: Entry): void {
    if (this.out.has(entry)) return
    this.out.add(entry)
    if (entry.class === 'critical') this.#criticalOut++
  }

  #nextLook(entry: Entry): number {
    switch (entry.state) {
      case 'ready': {
        const held = entry.place === 'none' ? entry.heldUntil : Infinity
        return Math.min(held, onMonotonic(this.#clock, expireAt(entry)))
      }
      case 'blocked':
        return onMonotonic(this.#clock, expireAt(entry))
      case 'deferred':
        return onMonotonic(this.#clock, Math.min(entry.runAt, expireAt(entry)))
      default:
        return stopAt(entry, this.#clock)
    }
  }
}

/** When a running attempt must be told to stop (again). */
export function stopAt(entry: Entry, clock: Clock): number {
  if (entry.stopping !== undefined) return entry.stopBy
  const deadline = entry.deadline === null ? Infinity : onMonotonic(clock, entry.deadline)
  const silent = entry.heartbeatTimeoutMs === null ? Infinity : entry.signAt + entry.heartbeatTimeoutMs
  return Math.min(entry.stopBy, deadline, silent)
}
