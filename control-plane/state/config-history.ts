// config-history.ts — every config that was applied, with who and when; the newest one is what runs.

import { createHash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { type Clock, isoTime, type WallMs } from '../../kernel/clock.ts'
import { z } from '../../kernel/parse.ts'

export const CONFIG_HISTORY_MAX = 200

export interface ConfigText {
  readonly name: string
  readonly text: string
}

export interface AppliedConfig {
  readonly seq: number
  /** Hash of the files: the same text has the same version on every control plane. */
  readonly version: string
  readonly appliedAt: string
  readonly author: string
  readonly files: readonly ConfigText[]
}

const Files = z.array(z.strictObject({ name: z.string(), text: z.string() }))
const COLUMNS = 'seq, version, applied_at, author, files'

export class ConfigHistory {
  readonly #sql: DatabaseSync
  readonly #clock: Clock

  constructor(sql: DatabaseSync, clock: Clock) {
    this.#sql = sql
    this.#clock = clock
  }

  current(): AppliedConfig | undefined {
    const row = this.#sql.prepare(`SELECT ${COLUMNS} FROM config ORDER BY seq DESC LIMIT 1`).get()
    return row && applied(row)
  }

  /** Newest first. */
  list(): AppliedConfig[] {
    return this.#sql.prepare(`SELECT ${COLUMNS} FROM config ORDER BY seq DESC`).all().map(applied)
  }

  record(files: readonly ConfigText[], author: string): AppliedConfig {
    const values = [configVersion(files), this.#clock.wall(), author, JSON.stringify(files)] as const
    const insert = 'INSERT INTO config (version, applied_at, author, files) VALUES (?, ?, ?, ?)'
    const { lastInsertRowid } = this.#sql.prepare(insert).run(...values)
    this.#sql.prepare('DELETE FROM config WHERE seq <= ?').run(Number(lastInsertRowid) - CONFIG_HISTORY_MAX)
    return this.current()!
  }
}

/** 16 hex digits over names and texts, independent of the order in which files were named. */
export function configVersion(files: readonly ConfigText[]): string {
  const sorted = [...files].sort((a, b) => (a.name < b.name ? -1 : 1))
  const hash = createHash('sha256').update(JSON.stringify(sorted.map(({ name, text }) => [name, text])))
  return hash.digest('hex').slice(0, 16)
}

function applied(row: Record<string, unknown>): AppliedConfig {
  return {
    seq: Number(row['seq']),
    version: String(row['version']),
    appliedAt: isoTime(Number(row['applied_at']) as WallMs),
    author: String(row['author']),
    files: Files.parse(JSON.parse(String(row['files']))),
  }
}
