// audit.ts — who did what, one row each, in the order it happened. Bounded: the oldest rows go first.

import type { DatabaseSync } from 'node:sqlite'
import { type Clock, isoTime, type WallMs } from '../../kernel/clock.ts'

export const AUDIT_ROWS_MAX = 100_000
export const AUDIT_ANSWER_MAX = 1_000

export type AuditAction =
  | 'authority.create'
  | 'certificate.issue'
  | 'certificate.refuse'
  | 'certificate.revoke'
  | 'certificate.restore'
  | 'join-token.create'
  | 'config.apply'
  | 'config.refuse'
  | 'config.rollback'

export interface AuditRow {
  readonly seq: number
  readonly at: string
  readonly action: string
  readonly actor: string
  readonly subject: string
  readonly detail: unknown
}

export class Audit {
  readonly #sql: DatabaseSync
  readonly #clock: Clock

  constructor(sql: DatabaseSync, clock: Clock) {
    this.#sql = sql
    this.#clock = clock
  }

  /** Never secrets: no tokens, keys or certificates' private parts in `detail`. */
  record(action: AuditAction, actor: string, subject: string, detail: Readonly<Record<string, unknown>> = {}): void {
    const insert = this.#sql.prepare('INSERT INTO audit (at, action, actor, subject, detail) VALUES (?, ?, ?, ?, ?)')
    const { lastInsertRowid } = insert.run(this.#clock.wall(), action, actor, subject, JSON.stringify(detail))
    this.#sql.prepare('DELETE FROM audit WHERE seq <= ?').run(Number(lastInsertRowid) - AUDIT_ROWS_MAX)
  }

  /** Newest first, older than `before`. */
  recent(limit: number, before: number = Number.MAX_SAFE_INTEGER): AuditRow[] {
    const select = 'SELECT seq, at, action, actor, subject, detail FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?'
    const rows = this.#sql.prepare(select).all(before, Math.min(limit, AUDIT_ANSWER_MAX))
    return rows.map((row) => ({
      seq: Number(row['seq']),
      at: isoTime(Number(row['at']) as WallMs),
      action: String(row['action']),
      actor: String(row['actor']),
      subject: String(row['subject']),
      detail: JSON.parse(String(row['detail'])) as unknown,
    }))
  }
}
