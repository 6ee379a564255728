// revocations.ts — certificates (by serial) and identities (by SPIFFE ID) that count no more; who said so, when and why.
//
// A serial is forgotten when its certificate has ended; an identity stays barred until it is restored.

import type { DatabaseSync } from 'node:sqlite'
import { type Revoked, serialText } from '../../certs/revoked.ts'
import { type Clock, isoTime, type WallMs } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'

/** All of them travel in each snapshot. */
export const REVOCATIONS_MAX = 10_000

export interface Revocation {
  readonly kind: 'serial' | 'id'
  readonly value: string
  /** Of the certificate, or the id itself. */
  readonly spiffeId: string
  readonly reason: string
  readonly author: string
  readonly revokedAt: string
  /** End of the certificate: after it nothing needs to be remembered; '' for an id. */
  readonly endsAt: string
}

const COLUMNS = 'kind, value, spiffe_id, reason, author, revoked_at, ends_at'

export class Revocations {
  readonly #sql: DatabaseSync
  readonly #clock: Clock
  #list: Revoked | undefined

  constructor(sql: DatabaseSync, clock: Clock) {
    this.#sql = sql
    this.#clock = clock
    this.#read()
  }

  /** For snapshots and for peers; undefined when nothing is revoked. The same object until something changes. */
  get current(): Revoked | undefined {
    return this.#list
  }

  list(): Revocation[] {
    return this.#sql.prepare(`SELECT ${COLUMNS} FROM revocation ORDER BY revoked_at DESC, value`).all().map(revocation)
  }

  /** False when it stands already. @throws FairleadError INVALID_INPUT when the list is full */
  add(one: {
    kind: 'serial' | 'id'
    value: string
    spiffeId: string
    reason: string
    author: string
    endsAt: WallMs | undefined
  }): boolean {
    const { n } = this.#sql.prepare('SELECT count(*) AS n FROM revocation').get() as { n: number }
    if (n >= REVOCATIONS_MAX) {
      throw new FairleadError('INVALID_INPUT', `At most ${REVOCATIONS_MAX} revocations; revoke the identity instead.`)
    }
    const insert = `INSERT OR IGNORE INTO revocation (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`
    const values = [
      one.kind,
      one.value,
      one.spiffeId,
      one.reason,
      one.author,
      this.#clock.wall(),
      one.endsAt ?? 0,
    ] as const
    const { changes } = this.#sql.prepare(insert).run(...values)
    this.#read()
    return Number(changes) === 1
  }

  /** False when it does not stand. */
  remove(kind: 'serial' | 'id', value: string): boolean {
    const { changes } = this.#sql.prepare('DELETE FROM revocation WHERE kind = ? AND value = ?').run(kind, value)
    this.#read()
    return Number(changes) === 1
  }

  /** Certificates that ended need no revocation. True when the list changed. */
  prune(): boolean {
    const gone = "DELETE FROM revocation WHERE kind = 'serial' AND ends_at < ?"
    const { changes } = this.#sql.prepare(gone).run(this.#clock.wall())
    if (Number(changes) > 0) this.#read()
    return Number(changes) > 0
  }

  #read(): void {
    const rows = this.#sql.prepare('SELECT kind, value FROM revocation ORDER BY value').all()
    const of = (kind: string): string[] => rows.filter((row) => row['kind'] === kind).map((row) => String(row['value']))
    this.#list = rows.length === 0 ? undefined : { serials: of('serial').map(serialText), ids: of('id') }
  }
}

function revocation(row: Record<string, unknown>): Revocation {
  const time = (name: string): string => (Number(row[name]) === 0 ? '' : isoTime(Number(row[name]) as WallMs))
  return {
    kind: row['kind'] === 'id' ? 'id' : 'serial',
    value: String(row['value']),
    spiffeId: String(row['spiffe_id']),
    reason: String(row['reason']),
    author: String(row['author']),
    revokedAt: time('revoked_at'),
    endsAt: time('ends_at'),
  }
}
