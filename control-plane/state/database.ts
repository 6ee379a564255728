// database.ts — the control plane's own memory: one SQLite file, mode 0600, one process at a time.
//
// Owns: schema and durability (WAL, synchronous=FULL: a consumed join token stays consumed after a power cut).
// The exclusive lock is SQLite's own and dies with the process, so kill -9 leaves nothing to clean up.

import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'

const SCHEMA_VERSION = 2
const SCHEMA = `
  CREATE TABLE authority (name TEXT PRIMARY KEY, certificate TEXT NOT NULL, sealed_key BLOB NOT NULL,
    created_at INTEGER NOT NULL) STRICT;
  CREATE TABLE certificate (serial TEXT PRIMARY KEY, spiffe_id TEXT NOT NULL, key_hash TEXT NOT NULL,
    proof TEXT NOT NULL, issued_at INTEGER NOT NULL, not_after INTEGER NOT NULL) STRICT;
  CREATE INDEX certificate_key ON certificate (key_hash);
  CREATE TABLE consumed_token (jti_hash TEXT PRIMARY KEY, spiffe_id TEXT NOT NULL, consumed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL) STRICT;
  CREATE TABLE config (seq INTEGER PRIMARY KEY AUTOINCREMENT, version TEXT NOT NULL, applied_at INTEGER NOT NULL,
    author TEXT NOT NULL, files TEXT NOT NULL) STRICT;
  CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, action TEXT NOT NULL,
    actor TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
  CREATE TABLE sidecar (instance TEXT PRIMARY KEY, service TEXT NOT NULL, namespace TEXT NOT NULL,
    version TEXT NOT NULL, acked TEXT NOT NULL, leaf_not_after INTEGER NOT NULL) STRICT;
  CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
`

/** Since schema 2; a build that does not know it must not run on this state, or the revoked would be back. */
const REVOCATION = `
  CREATE TABLE revocation (kind TEXT NOT NULL, value TEXT NOT NULL, spiffe_id TEXT NOT NULL, reason TEXT NOT NULL,
    author TEXT NOT NULL, revoked_at INTEGER NOT NULL, ends_at INTEGER NOT NULL, PRIMARY KEY (kind, value)) STRICT;
`

export interface Database extends Closable {
  readonly sql: DatabaseSync
}

/** Creates `directory` (0700) and the file when missing. @throws FairleadError DATA_DIR_IN_USE, SCHEMA_TOO_NEW */
export function openDatabase(directory: string): Database {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  chmodSync(directory, 0o700)
  const path = join(directory, 'control-plane.db')
  const sql = new DatabaseSync(path)
  try {
    // 0600 before the first page is written; SQLite gives -wal the mode of the file.
    chmodSync(path, 0o600)
    prepare(sql, directory)
  } catch (error) {
    sql.close()
    throw error
  }
  let open = true
  const close = async (): Promise<void> => {
    if (open) sql.close()
    open = false
  }
  return { sql, close }
}

/** Runs `work` in one immediate transaction. */
export function transact<T>(sql: DatabaseSync, work: () => T): T {
  sql.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    sql.exec('COMMIT')
    return result
  } catch (error) {
    if (sql.isTransaction) sql.exec('ROLLBACK')
    throw error
  }
}

function prepare(sql: DatabaseSync, directory: string): void {
  try {
    sql.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;')
    sql.exec('PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;')
    transact(sql, () => migrate(sql))
  } catch (cause) {
    if (!/locked|busy/i.test(cause instanceof Error ? cause.message : '')) throw cause
    const text = `Another control plane uses the state directory ${directory}.`
    throw new FairleadError('DATA_DIR_IN_USE', text, { cause })
  }
}

function migrate(sql: DatabaseSync): void {
  const { user_version: version } = sql.prepare('PRAGMA user_version').get() as { user_version: number }
  if (version > SCHEMA_VERSION) {
    throw new FairleadError('SCHEMA_TOO_NEW', `The state has schema ${version}; this build knows ${SCHEMA_VERSION}.`)
  }
  if (version === 0) sql.exec(SCHEMA)
  if (version < 2) sql.exec(REVOCATION)
  sql.exec(`PRAGMA user_version = ${SCHEMA_VERSION};`)
}
