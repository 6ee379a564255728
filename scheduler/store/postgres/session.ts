// session.ts — this process's right to write: a row in scheduler_session, renewed, and the shards that it owns.
//
// Modes: waiting (another session lives) → leading → lost or released. Lost is for ever: memory is rebuilt from rows by
// starting again. A renewal that fails for want of a connection loses nothing: only a taker deletes our row, and the
// guard of every commit would notice.

import type pg from 'pg'
import type { Clock } from '../../../kernel/clock.ts'
import { FairleadError } from '../../../kernel/errors.ts'
import type { Closable } from '../../../kernel/lifetime.ts'
import type { Log } from '../../../kernel/log.ts'
import { type Random, uuidv7 } from '../../../kernel/random.ts'
import { connect, said } from './connection.ts'
import { SHARDS } from './shards.ts'

export const SESSION_TTL_MS = 6_000
export const RENEW_MS = 2_000
const TAKE_RETRY_MS = 250
const TELL_EVERY_MS = 10_000

export interface SessionOptions {
  readonly url: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Another scheduler may lead: this process must start again from rows. */
  readonly onLost: (error: FairleadError) => void
  /** Gives up waiting for another session. */
  readonly signal?: AbortSignal
}

export interface LeaderSession extends Closable {
  readonly id: string
  /** By shard. */
  readonly epochs: readonly number[]
  /** Nothing more may be written: give back, then tell `onLost`. */
  lost(error: FairleadError): void
}

interface ShardRow {
  readonly shard: number
  readonly epoch: number
  readonly owner: string
  readonly owner_left_ms: number
}

/** Waits until all shards are ours. @throws the signal's reason, STORE_UNAVAILABLE */
export async function startSession(options: SessionOptions): Promise<LeaderSession> {
  const { clock, random, log } = options
  const id = uuidv7(clock.wall(), random)
  const client = await connect(options.url, 'session', RENEW_MS * 2)
  try {
    const epochs = await takeAll(client, id, options)
    log.info({ session: id, epoch: Math.max(...epochs) }, 'leading all shards')
    return new Session(id, epochs, client, options)
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
}

async function takeAll(client: pg.Client, id: string, { clock, log, signal }: SessionOptions): Promise<number[]> {
  let toldAt = -Infinity
  for (;;) {
    const { rows } = await client.query<ShardRow>('SELECT * FROM fairlead.take_shards($1, $1, $2)', [
      id,
      SESSION_TTL_MS,
    ])
    if (rows.length !== SHARDS) {
      const text = `The database has ${rows.length} shards; this build works with ${SHARDS}.`
      throw new FairleadError('SCHEMA_CHANGED', text)
    }
    const other = rows.find(({ owner }) => owner !== id)
    if (!other) return rows.map(({ epoch }) => epoch)
    if (clock.now() - toldAt >= TELL_EVERY_MS) {
      log.warn({ session: other.owner, leftMs: Math.round(other.owner_left_ms) }, 'another scheduler leads; waiting')
      toldAt = clock.now()
    }
    await clock.sleep(TAKE_RETRY_MS, signal)
  }
}

class Session implements LeaderSession {
  readonly id: string
  readonly epochs: readonly number[]
  readonly #options: SessionOptions
  readonly #timer: { cancel(): void }
  #client: pg.Client | undefined
  #renewing: Promise<void> | undefined
  #over = false

  constructor(id: string, epochs: readonly number[], client: pg.Client, options: SessionOptions) {
    this.id = id
    this.epochs = epochs
    this.#client = client
    this.#options = options
    this.#timer = options.clock.every(RENEW_MS, () => {
      this.#renewing ??= this.#renew().then((ours) => {
        this.#renewing = undefined
        if (!ours) this.lost(fenced())
      })
    })
  }

  /** What we hold is given back first, so that the next process waits for nothing; that also fences what we sent. */
  lost(error: FairleadError): void {
    if (this.#over) return
    this.#end()
    void this.#release().finally(() => this.#options.onLost(error))
  }

  /** Gives the shards back, so that the next scheduler leads at once. */
  async close(): Promise<void> {
    if (this.#over) return
    this.#end()
    await this.#release()
  }

  async #release(): Promise<void> {
    await this.#renewing
    // The connection at hand may have died unnoticed: then once more on a new one.
    if (await this.#tryRelease()) return
    if (await this.#tryRelease()) return
    this.#options.log.warn('shards not given back; they are free when the session ends')
  }

  async #tryRelease(): Promise<boolean> {
    try {
      this.#client ??= await connect(this.#options.url, 'session', RENEW_MS * 2)
      await this.#client.query('SELECT fairlead.release_shards($1)', [this.id])
      return true
    } catch (error) {
      this.#options.log.warn({ error: said(error) }, 'the database did not take the shards back')
      return false
    } finally {
      void this.#client?.end().catch(() => undefined)
      this.#client = undefined
    }
  }

  #end(): void {
    this.#over = true
    this.#timer.cancel()
  }

  /** False only when the database says that the session is gone. */
  async #renew(): Promise<boolean> {
    try {
      this.#client ??= await connect(this.#options.url, 'session', RENEW_MS * 2)
      const sql = 'SELECT fairlead.renew_session($1, $2) AS ours'
      const { rows } = await this.#client.query<{ ours: boolean }>(sql, [this.id, SESSION_TTL_MS])
      return rows[0]!.ours
    } catch (error) {
      this.#options.log.warn({ error: said(error) }, 'the session was not renewed; trying again')
      void this.#client?.end().catch(() => undefined)
      this.#client = undefined
      return true
    }
  }
}

export const fenced = (cause?: unknown): FairleadError =>
  new FairleadError('SHARD_UNAVAILABLE', 'Another scheduler leads now.', { cause, log: { unknown: false } })
