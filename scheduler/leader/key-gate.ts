// key-gate.ts — one job at a time per ordering or concurrency key.
//
// The holder of a key is offered to workers; the others wait here, outside the lanes, in (runAt, seq). An ordered job
// keeps its key through back-off and put-backs (the head blocks); a concurrency key is let go while nothing runs.
// A job that is not due yet has not come to the gate, so it does not block its key.

import type { Entry } from './entry.ts'
import { Heap } from './heap.ts'

interface Key {
  holder: Entry | undefined
  readonly waiting: Heap<Entry>
}

/** For sort: (runAt, seq). */
export const byRunAt = (a: Entry, b: Entry): number => a.runAt - b.runAt || a.seq - b.seq

const RULES = {
  before: (a: Entry, b: Entry): boolean => byRunAt(a, b) < 0,
  indexOf: (entry: Entry): number => entry.gateIndex,
  setIndex: (entry: Entry, index: number): void => {
    entry.gateIndex = index
  },
}

export class KeyGate {
  readonly #keys = new Map<string, Key>()

  /** True when the job may be offered now; otherwise it waits. */
  enter(entry: Entry): boolean {
    if (entry.gateKey === undefined) return true
    const key = this.#key(entry.gateKey)
    key.holder ??= entry
    if (key.holder === entry) return true
    if (entry.gateIndex < 0) key.waiting.push(entry)
    return false
  }

  /** The job lets go of its key or stops waiting; the job that holds the key now, when that changed. */
  leave(entry: Entry): Entry | undefined {
    const key = entry.gateKey === undefined ? undefined : this.#keys.get(entry.gateKey)
    if (!key) return undefined
    key.waiting.remove(entry)
    if (key.holder !== entry) return undefined
    key.holder = key.waiting.pop()
    if (!key.holder) this.#keys.delete(entry.gateKey!)
    return key.holder
  }

  #key(name: string): Key {
    let key = this.#keys.get(name)
    if (!key) {
      key = { holder: undefined, waiting: new Heap(RULES) }
      this.#keys.set(name, key)
    }
    return key
  }
}
