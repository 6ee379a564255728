// lanes.ts — ready jobs by type and class; within a lane by priority, then sequence.
//
// `take` looks only at lanes of the types asked for: a million jobs that nobody can run cost it nothing. A type's lanes
// go when the last of its jobs does, so the map is bounded by the backlog.

import { CLASSES, type JobClass } from '../contract.ts'
import type { Entry } from './entry.ts'
import { Heap } from './heap.ts'
import { type Load, ServiceOrder } from './order.ts'

type TypeLanes = Record<JobClass, Heap<Entry>>

const RULES = {
  before: (a: Entry, b: Entry): boolean => (a.priority === b.priority ? a.seq < b.seq : a.priority > b.priority),
  indexOf: (entry: Entry): number => entry.laneIndex,
  setIndex: (entry: Entry, index: number): void => {
    entry.laneIndex = index
  },
}

export class Lanes {
  readonly #types = new Map<string, TypeLanes>()
  readonly #order = new ServiceOrder()
  #size = 0

  get size(): number {
    return this.#size
  }

  push(entry: Entry): void {
    let lanes = this.#types.get(entry.type)
    if (!lanes) {
      lanes = newLanes()
      this.#types.set(entry.type, lanes)
    }
    lanes[entry.class].push(entry)
    this.#size++
  }

  remove(entry: Entry): void {
    const lanes = this.#types.get(entry.type)
    if (!lanes || entry.laneIndex < 0) return
    lanes[entry.class].remove(entry)
    this.#size--
    if (CLASSES.every((name) => lanes[name].size === 0)) this.#types.delete(entry.type)
  }

  /** Up to `max` jobs of these types in order of service. */
  take(types: ReadonlySet<string>, max: number, load: Load): Entry[] {
    const taken: Entry[] = []
    const open = this.#openLanes(types)
    let critical = load.critical
    while (taken.length < max) {
      const name = this.#order.next((c) => open[c].length > 0, { critical, capacity: load.capacity })
      if (name === undefined) break
      const entry = first(open[name])
      this.remove(entry)
      if (open[name].some((lane) => lane.size === 0)) open[name] = open[name].filter((lane) => lane.size > 0)
      if (name === 'critical') critical++
      taken.push(entry)
    }
    return taken
  }

  #openLanes(types: ReadonlySet<string>): Record<JobClass, Heap<Entry>[]> {
    const open: Record<JobClass, Heap<Entry>[]> = { critical: [], high: [], normal: [], low: [] }
    for (const type of types) {
      const lanes = this.#types.get(type)
      if (!lanes) continue
      for (const name of CLASSES) if (lanes[name].size > 0) open[name].push(lanes[name])
    }
    return open
  }
}

function newLanes(): TypeLanes {
  return { critical: new Heap(RULES), high: new Heap(RULES), normal: new Heap(RULES), low: new Heap(RULES) }
}

function first(lanes: readonly Heap<Entry>[]): Entry {
  let best = lanes[0]!.peek()!
  for (let i = 1; i < lanes.length; i++) {
    const head = lanes[i]!.peek()!
    if (RULES.before(head, best)) best = head
  }
  return best
}
