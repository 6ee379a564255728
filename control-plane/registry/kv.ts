// kv.ts — Consul's key/value store: check-and-set, locks held by sessions, prefixes.
//
// Owns: entries, lock delays and the tombstones that let a reader of a prefix see a deletion.
// Bounds: value 512 KiB (Consul's), keys and bytes in total; past them a write is refused, nothing is evicted.

import type { Clock } from '../../kernel/clock.ts'
import type { Changes } from './changes.ts'
import { Refusal } from './refusal.ts'
import type { Session, Sessions } from './sessions.ts'

export const VALUE_BYTES_MAX = 512 * 1024
export const KEYS_MAX = 20_000
export const TOTAL_BYTES_MAX = 64 * 1024 * 1024
const TOMBSTONES_MAX = 4_096
const KEY_BYTES_MAX = 1_024

export interface Entry {
  readonly key: string
  readonly value: Buffer
  readonly flags: number
  readonly session: string | undefined
  readonly lockIndex: number
  readonly createIndex: number
  readonly modifyIndex: number
}

export interface Put {
  readonly value: Buffer
  readonly flags: number
  readonly cas?: number | undefined
  readonly acquire?: string | undefined
  readonly release?: string | undefined
}

export class KeyValues {
  readonly #clock: Clock
  readonly #changes: Changes
  readonly #sessions: Sessions
  readonly #entries = new Map<string, Entry>()
  readonly #tombstones = new Map<string, number>()
  readonly #delays = new Map<string, number>()
  #bytes = 0
  #tableIndex: number
  #forgotten = 0

  constructor(clock: Clock, changes: Changes, sessions: Sessions) {
    this.#clock = clock
    this.#changes = changes
    this.#sessions = sessions
    this.#tableIndex = changes.index
    sessions.onEnd = (session) => this.#endOf(session)
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key)
  }

  under(prefix: string): Entry[] {
    const found = [...this.#entries.values()].filter((entry) => entry.key.startsWith(prefix))
    return found.sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  indexOf(key: string): number {
    return this.#entries.get(key)?.modifyIndex ?? this.#tableIndex
  }

  indexUnder(prefix: string): number {
    let index = 0
    for (const entry of this.#entries.values()) {
      if (entry.key.startsWith(prefix)) index = Math.max(index, entry.modifyIndex)
    }
    for (const [key, at] of this.#tombstones) if (key.startsWith(prefix)) index = Math.max(index, at)
    return index === 0 ? this.#tableIndex : Math.max(index, this.#forgotten)
  }

  /** True when it was written. @throws Refusal for an unknown session, conflicting flags or a limit. */
  put(key: string, put: Put): boolean {
    if (put.value.length > VALUE_BYTES_MAX) throw new Refusal(413, `Value exceeds ${VALUE_BYTES_MAX} byte limit`)
    if (Buffer.byteLength(key) > KEY_BYTES_MAX) throw new Refusal(400, `Key exceeds ${KEY_BYTES_MAX} byte limit`)
    const before = this.#entries.get(key)
    if (put.cas !== undefined && put.cas !== (before?.modifyIndex ?? 0)) return false
    if (put.acquire !== undefined) return this.#acquire(key, put, before, put.acquire)
    if (put.release !== undefined) {
      if (!before || before.session !== put.release) return false
      this.#write(key, put, before, undefined, before.lockIndex)
      return true
    }
    // Consul keeps the session of a plain write but starts its lock index anew.
    this.#write(key, put, before, before?.session, 0)
    return true
  }

  delete(key: string, cas?: number): boolean {
    const entry = this.#entries.get(key)
    if (!entry) return true
    if (cas !== undefined && cas !== entry.modifyIndex) return false
    this.#remove(entry, this.#changes.next())
    return true
  }

  deleteUnder(prefix: string): void {
    const found = this.under(prefix)
    if (found.length === 0) return
    const index = this.#changes.next()
    for (const entry of found) this.#remove(entry, index)
  }

  #acquire(key: string, put: Put, before: Entry | undefined, id: string): boolean {
    const session = this.#sessions.find(id)
    if (!session) throw new Refusal(500, `invalid session "${id}"`)
    if (before?.session !== undefined && before.session !== id) return false
    if ((this.#delays.get(key) ?? 0) > this.#clock.now()) return false
    const held = before?.session === id
    this.#write(key, put, before, id, (before?.lockIndex ?? 0) + (held ? 0 : 1))
    return true
  }

  #write(key: string, put: Put, before: Entry | undefined, session: string | undefined, lockIndex: number): void {
    const growth = put.value.length - (before?.value.length ?? 0)
    if (!before && this.#entries.size >= KEYS_MAX) throw new Refusal(500, `too many keys: at most ${KEYS_MAX}`)
    if (this.#bytes + growth > TOTAL_BYTES_MAX) throw new Refusal(500, `too many bytes: at most ${TOTAL_BYTES_MAX}`)
    const index = this.#changes.next()
    this.#bytes += growth
    this.#tableIndex = index
    const createIndex = before?.createIndex ?? index
    const entry = { key, value: put.value, flags: put.flags, session, lockIndex, createIndex, modifyIndex: index }
    this.#entries.set(key, entry)
  }

  #remove(entry: Entry, index: number): void {
    this.#entries.delete(entry.key)
    this.#bytes -= entry.value.length
    this.#tableIndex = index
    this.#tombstones.delete(entry.key)
    this.#tombstones.set(entry.key, index)
    if (this.#tombstones.size <= TOMBSTONES_MAX) return
    const [oldest, at] = this.#tombstones.entries().next().value!
    this.#tombstones.delete(oldest)
    this.#forgotten = Math.max(this.#forgotten, at) // readers of any prefix look once more instead of missing it
  }

  #endOf(session: Session): void {
    for (const entry of [...this.#entries.values()]) {
      if (entry.session !== session.id) continue
      if (session.lockDelayMs > 0) this.#delay(entry.key, session.lockDelayMs)
      if (session.behavior === 'delete') this.#remove(entry, this.#changes.next())
      else this.#release(entry)
    }
  }

  #release(entry: Entry): void {
    const index = this.#changes.next()
    this.#tableIndex = index
    this.#entries.set(entry.key, { ...entry, session: undefined, modifyIndex: index })
  }

  /** After a holder died, nobody else gets the lock for a while: it may still believe that it holds it. */
  #delay(key: string, ms: number): void {
    for (const [other, until] of this.#delays) if (until <= this.#clock.now()) this.#delays.delete(other)
    this.#delays.set(key, this.#clock.now() + ms)
  }
}

export function entryView(entry: Entry): Readonly<Record<string, unknown>> {
  return {
    LockIndex: entry.lockIndex,
    Key: entry.key,
    Flags: entry.flags,
    Value: entry.value.length === 0 ? null : entry.value.toString('base64'),
    ...(entry.session === undefined ? {} : { Session: entry.session }),
    CreateIndex: entry.createIndex,
    ModifyIndex: entry.modifyIndex,
  }
}
