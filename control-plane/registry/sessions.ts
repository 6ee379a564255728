// sessions.ts — Consul's sessions: a name that holds locks and dies when nobody renews it.
//
// Owns: the sessions and their timers. What a dying session does to its locks is kv.ts's business (`onEnd`).
// Like Consul, a session ends at twice its TTL: the TTL is the promise that it lives at least so long.

import type { Clock, Timer } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import { z } from '../../kernel/parse.ts'
import { type Random, uuidv7 } from '../../kernel/random.ts'
import type { Changes } from './changes.ts'
import { parseDuration } from './duration.ts'
import { Refusal } from './refusal.ts'

export const SESSIONS_MAX = 4_096
const TTL_MS_MIN = 10_000
const TTL_MS_MAX = 24 * 3_600_000
const TTL_FACTOR = 2
const LOCK_DELAY_MS_DEFAULT = 15_000
const LOCK_DELAY_MS_MAX = 60_000
export const SESSION_ID_LENGTH = 36

export interface Session {
  readonly id: string
  readonly name: string
  readonly behavior: 'release' | 'delete'
  /** As it was given; '' = lives until destroyed. */
  readonly ttl: string
  readonly ttlMs: number
  readonly lockDelayMs: number
  readonly index: number
}

const Body = z.strictObject({
  Name: z.string().max(256).optional(),
  Node: z.string().optional(),
  TTL: z.string().optional(),
  Behavior: z.string().optional(),
  LockDelay: z.union([z.string(), z.number()]).optional(),
  Checks: z.array(z.string()).nullish(),
  NodeChecks: z.array(z.string()).nullish(),
})

export class Sessions implements Closable {
  readonly #clock: Clock
  readonly #random: Random
  readonly #changes: Changes
  readonly #live = new Map<string, { session: Session; timer: Timer | undefined }>()
  #tableIndex: number
  onEnd: (session: Session) => void = () => undefined

  constructor(clock: Clock, random: Random, changes: Changes) {
    this.#clock = clock
    this.#random = random
    this.#changes = changes
    this.#tableIndex = changes.index
  }

  get tableIndex(): number {
    return this.#tableIndex
  }

  list(): Session[] {
    return [...this.#live.values()].map((entry) => entry.session).sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** @throws Refusal when it is no id at all (Consul answers 500). */
  find(id: string): Session | undefined {
    if (id.length !== SESSION_ID_LENGTH) {
      throw new Refusal(500, `failed session lookup: index error: UUID must be ${SESSION_ID_LENGTH} characters`)
    }
    return this.#live.get(id)?.session
  }

  create(value: unknown): Session {
    if (this.#live.size >= SESSIONS_MAX) throw new Refusal(500, `too many sessions: at most ${SESSIONS_MAX}`)
    const id = uuidv7(this.#clock.wall(), this.#random)
    const session = parseSession(value, id, () => this.#changes.next())
    this.#tableIndex = session.index
    this.#live.set(id, { session, timer: undefined })
    this.#start(session)
    return session
  }

  renew(id: string): Session {
    const session = this.find(id)
    if (!session) throw new Refusal(404, `Session id '${id}' not found`)
    this.#start(session)
    return session
  }

  destroy(id: string): void {
    const session = this.find(id)
    if (!session) return
    this.#live.get(id)?.timer?.cancel()
    this.#live.delete(id)
    this.#tableIndex = this.#changes.next()
    this.onEnd(session)
  }

  async close(): Promise<void> {
    for (const entry of this.#live.values()) entry.timer?.cancel()
  }

  #start(session: Session): void {
    const entry = this.#live.get(session.id)
    if (!entry || session.ttlMs === 0) return
    entry.timer?.cancel()
    entry.timer = this.#clock.after(session.ttlMs * TTL_FACTOR, () => this.destroy(session.id), true)
  }
}

function parseSession(value: unknown, id: string, index: () => number): Session {
  const result = Body.safeParse(value ?? {})
  if (!result.success) throw new Refusal(400, `Request decode failed: ${result.error.issues[0]!.message}`)
  const body = result.data
  const foreign = [...(body.Checks ?? []), ...(body.NodeChecks ?? [])].find((check) => check !== 'serfHealth')
  if (foreign !== undefined) throw new Refusal(500, `Missing check '${foreign}' registration`)
  const behavior = body.Behavior || 'release'
  if (behavior !== 'release' && behavior !== 'delete') {
    throw new Refusal(500, `Invalid Behavior setting '${behavior}'`)
  }
  const ttl = body.TTL ?? ''
  const ttlMs = ttl === '' ? 0 : parseDuration(ttl)
  if (ttlMs === undefined) throw new Refusal(500, `Session TTL '${ttl}' invalid: time: invalid duration "${ttl}"`)
  if (ttlMs !== 0 && (ttlMs < TTL_MS_MIN || ttlMs > TTL_MS_MAX)) {
    throw new Refusal(500, `Invalid Session TTL '${ttlMs * 1e6}', must be between [10s=24h0m0s]`)
  }
  return { id, name: body.Name ?? '', behavior, ttl, ttlMs, lockDelayMs: lockDelayOf(body.LockDelay), index: index() }
}

/** A bare number below 1000 is seconds, else nanoseconds (Consul's rule). */
function lockDelayOf(value: string | number | undefined): number {
  if (value === undefined) return LOCK_DELAY_MS_DEFAULT
  const ms = typeof value === 'string' ? parseDuration(value) : value < 1_000 ? value * 1_000 : value / 1e6
  if (ms === undefined) throw new Refusal(400, `Request decode failed: time: invalid duration "${value}"`)
  return Math.min(Math.max(0, ms), LOCK_DELAY_MS_MAX)
}

export function sessionView(session: Session, node: string): Readonly<Record<string, unknown>> {
  return {
    ID: session.id,
    Name: session.name,
    Node: node,
    LockDelay: session.lockDelayMs * 1e6,
    Behavior: session.behavior,
    TTL: session.ttl,
    NodeChecks: ['serfHealth'],
    ServiceChecks: null,
    CreateIndex: session.index,
    ModifyIndex: session.index,
  }
}
