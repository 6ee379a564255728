// sessions.ts — the workers that are there: sessions, their windows, their end (docs/dispatch.md §5).
//
// Owns: every session and when it ends: another boot of the same instance, `leave`, or no heartbeat for its TTL.
// Nobody ends sessions by time within one TTL of our start, nor right after we ourselves stood still: heartbeats that
// wait in our sockets count.
// Never: touches attempts; `onEnd` does.

import { type Clock, type MonotonicMs, plus, type Timer } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import { type Random, uuidv7 } from '../../kernel/random.ts'
import {
  DISPATCH_PROTOCOL,
  HEARTBEAT_MS,
  type Heartbeat,
  SESSION_TTL_MS,
  type SessionGrant,
  type SessionRequest,
} from '../../workers/contract.ts'
import type { Leader } from '../leader/port.ts'
import type { SessionRow } from '../store/contract.ts'
import type { Peer } from './peer.ts'
import type { Candidate } from './placement.ts'
import { meshAuthority } from './sidecar.ts'
import { grow, halve, resize, startWindow, type Window } from './window.ts'

export const SESSIONS_MAX = 10_000
const CHECK_MS = 1_000
/** A check that comes this late means that we were paused, not that the workers are gone. */
const PAUSED_MS = 5_000

export type SessionEnd = 'replaced' | 'left' | 'expired'

export class WorkerSession implements Candidate {
  row: SessionRow
  types: ReadonlySet<string>
  status: Heartbeat['status'] = 'healthy'
  lastSeen: MonotonicMs
  ended = false
  /** Attempts on their way or running, by key. */
  readonly attempts = new Set<string>()
  readonly #clock: Clock
  #window: Window
  #pausedUntil: MonotonicMs

  constructor(row: SessionRow, clock: Clock) {
    this.row = row
    this.types = new Set(row.types)
    this.lastSeen = clock.now()
    this.#clock = clock
    this.#window = startWindow(row.slots)
    this.#pausedUntil = clock.now()
  }

  get version(): string {
    return this.row.version
  }

  get plain(): boolean {
    return this.row.labels['mode'] === 'plain'
  }

  get authority(): string {
    return meshAuthority(this.row.service, this.row.namespace)
  }

  get live(): boolean {
    return !this.ended && this.status !== 'draining'
  }

  get open(): boolean {
    return this.live && this.#clock.now() >= this.#pausedUntil
  }

  get held(): number {
    return this.attempts.size
  }

  get window(): number {
    return this.#window.size
  }

  succeeded(): void {
    this.#window = grow(this.#window)
  }

  refused(pauseMs: number): void {
    this.#window = halve(this.#window)
    this.#pausedUntil = plus(this.#clock.now(), pauseMs)
  }

  update(row: SessionRow): void {
    this.row = row
    this.types = new Set(row.types)
    this.#window = resize(this.#window, row.slots)
  }
}

export interface SessionsOptions {
  readonly leader: Leader
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Attempts of the session become lost; called once, after the end is durable. */
  onEnd(session: WorkerSession, why: SessionEnd): Promise<void>
  /** Capacity may have changed. */
  onChange(): void
}

export class Sessions implements Closable {
  readonly #options: SessionsOptions
  readonly #byId = new Map<string, WorkerSession>()
  readonly #byInstance = new Map<string, WorkerSession>()
  readonly #timer: Timer
  #graceUntil: MonotonicMs
  #lastCheck: MonotonicMs
  #queue: Promise<unknown> = Promise.resolve()

  constructor(options: SessionsOptions) {
    const { clock, leader } = options
    this.#options = options
    this.#lastCheck = clock.now()
    this.#graceUntil = plus(clock.now(), SESSION_TTL_MS)
    for (const row of leader.sessions()) this.#add(new WorkerSession(row, clock))
    this.#timer = clock.every(CHECK_MS, () => this.#check())
  }

  get(session: string): WorkerSession | undefined {
    return this.#byId.get(session)
  }

  all(): WorkerSession[] {
    return [...this.#byId.values()]
  }

  /** Same instance and boot: the same session, renewed. Another boot: the old session ends first. */
  register(request: SessionRequest, peer: Peer): Promise<SessionGrant> {
    checkIdentity(request, peer)
    return this.#inTurn(() => this.#register(request))
  }

  /** @throws FairleadError SESSION_UNKNOWN, FORBIDDEN */
  heartbeat(beat: Heartbeat, peer: Peer): WorkerSession {
    const session = this.known(beat.session, peer)
    const wasOpen = session.open
    session.lastSeen = this.#options.clock.now()
    session.status = beat.status
    if (session.open !== wasOpen) this.#options.onChange()
    return session
  }

  leave(id: string, peer: Peer): Promise<void> {
    const session = this.known(id, peer)
    return this.#inTurn(() => this.#end(session, 'left'))
  }

  async close(): Promise<void> {
    this.#timer.cancel()
    await this.#queue
  }

  async #register(request: SessionRequest): Promise<SessionGrant> {
    const { leader, clock, random, log, onChange } = this.#options
    const before = this.#byInstance.get(instanceKey(request))
    const same = before !== undefined && before.row.boot === request.boot
    if (before && !same) await this.#end(before, 'replaced')
    if (!same && this.#byId.size >= SESSIONS_MAX) {
      throw new FairleadError('OVERLOADED', `${SESSIONS_MAX} worker sessions are open; no more are taken.`)
    }
    const id = same ? before.row.session : uuidv7(clock.wall(), random)
    const row = rowOf(request, id)
    await leader.saveSession(row)
    if (same) before.update(row)
    const session = same ? before : this.#add(new WorkerSession(row, clock))
    session.lastSeen = clock.now()
    session.status = 'healthy'
    const { instance, version } = row
    log.info({ worker_id: instance, version, session: id, slots: row.slots }, 'worker registered')
    onChange()
    return { session: id, ttlMs: SESSION_TTL_MS, heartbeatMs: HEARTBEAT_MS }
  }

  #add(session: WorkerSession): WorkerSession {
    this.#byId.set(session.row.session, session)
    this.#byInstance.set(instanceKey(session.row), session)
    return session
  }

  async #end(session: WorkerSession, why: SessionEnd): Promise<void> {
    if (session.ended) return
    const { leader, log, onEnd, onChange } = this.#options
    session.ended = true
    const { instance, session: id } = session.row
    log.info({ worker_id: instance, session: id, why, attempts: session.held }, 'worker session ended')
    this.#byId.delete(id)
    if (this.#byInstance.get(instanceKey(session.row)) === session) this.#byInstance.delete(instanceKey(session.row))
    await onEnd(session, why)
    await leader.endSession(id)
    onChange()
  }

  #check(): void {
    const { clock, log } = this.#options
    const now = clock.now()
    if (now - this.#lastCheck > PAUSED_MS) {
      log.warn(
        { duration_ms: Math.round(now - this.#lastCheck) },
        'this process stood still; sessions get one more TTL',
      )
      this.#graceUntil = plus(now, SESSION_TTL_MS)
    }
    this.#lastCheck = now
    if (now < this.#graceUntil) return
    for (const session of this.all()) {
      if (now - session.lastSeen <= SESSION_TTL_MS) continue
      this.#inTurn(() => this.#end(session, 'expired')).catch((error: unknown) =>
        log.error({ error, session: session.row.session }, 'the end of a session could not be stored'),
      )
    }
  }

  /** @throws FairleadError SESSION_UNKNOWN, FORBIDDEN */
  known(id: string, peer: Peer): WorkerSession {
    const session = this.#byId.get(id)
    if (!session) throw new FairleadError('SESSION_UNKNOWN', 'No such worker session.')
    checkIdentity(session.row, peer)
    return session
  }

  /** Registrations and ends one after the other: two of one instance must not cross. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(run)
    this.#queue = turn.catch(() => undefined) // the caller hears of it; the next one goes on
    return turn
  }
}

const instanceKey = (row: {
  readonly namespace: string
  readonly service: string
  readonly instance: string
}): string => `${row.namespace}/${row.service}/${row.instance}`

function checkIdentity(claim: { readonly service: string; readonly namespace: string }, peer: Peer): void {
  if (claim.service === peer.service && claim.namespace === peer.namespace) return
  throw new FairleadError(
    'FORBIDDEN',
    `The session names ${claim.namespace}/${claim.service}; the caller is ${peer.namespace}/${peer.service}.`,
  )
}

function rowOf(request: SessionRequest, session: string): SessionRow {
  if (request.protocol !== DISPATCH_PROTOCOL) {
    throw new FairleadError('INVALID_INPUT', `This scheduler speaks dispatch protocol ${DISPATCH_PROTOCOL}.`)
  }
  const { instance, service, namespace, version, boot, types, slots, labels } = request
  return { session, instance, service, namespace, version, boot, types, slots, labels }
}
