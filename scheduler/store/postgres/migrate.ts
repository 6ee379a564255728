// migrate.ts — the schema `fairlead`: numbered files, applied in order, each once, each with its checksum.
//
// Applied only by `fairlead db migrate`; a scheduler checks and refuses. A file that was applied is never changed.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type pg from 'pg'
import { FairleadError } from '../../../kernel/errors.ts'

export interface Migration {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly sql: string
}

export interface Applied {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly appliedAt: string
}

const DIR = join(import.meta.dirname, 'migrations')
/** Any number that is ours alone: one migrator at a time. */
const LOCK = 7_122_140_313

export function knownMigrations(): readonly Migration[] {
  return readdirSync(DIR)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => {
      const sql = readFileSync(join(DIR, file), 'utf8').replaceAll('\r\n', '\n')
      const checksum = createHash('sha256').update(sql).digest('hex')
      return { version: Number(file.slice(0, 4)), name: file.slice(5, -4), checksum, sql }
    })
}

/** Empty when the schema was never made. */
export async function appliedMigrations(client: pg.Client): Promise<readonly Applied[]> {
  const { rows: found } = await client.query<{ found: boolean }>(
    `SELECT to_regclass('fairlead.migration') IS NOT NULL AS found`,
  )
  if (!found[0]!.found) return []
  const { rows } = await client.query<{ version: number; name: string; checksum: string; applied_at: Date }>(
    'SELECT version, name, checksum, applied_at FROM fairlead.migration ORDER BY version',
  )
  return rows.map(({ version, name, checksum, applied_at }) => ({
    ...{ version, name, checksum },
    appliedAt: applied_at.toISOString(),
  }))
}

/** Migrations that are still to be applied. @throws SCHEMA_TOO_NEW, SCHEMA_CHANGED */
export function pendingMigrations(applied: readonly Applied[], known = knownMigrations()): readonly Migration[] {
  const newest = applied.at(-1)?.version ?? 0
  const ours = known.at(-1)!.version
  if (newest > ours) {
    throw new FairleadError('SCHEMA_TOO_NEW', `The database has schema ${newest}; this build knows ${ours}.`)
  }
  for (const { version, name, checksum } of applied) {
    if (known.find((one) => one.version === version)?.checksum === checksum) continue
    throw new FairleadError('SCHEMA_CHANGED', `Migration ${version} (${name}) of the database is not the one we have.`)
  }
  return known.filter(({ version }) => version > newest)
}

/** @throws SCHEMA_NOT_READY, SCHEMA_TOO_NEW, SCHEMA_CHANGED */
export async function assertSchema(client: pg.Client): Promise<void> {
  const applied = await appliedMigrations(client)
  const pending = pendingMigrations(applied)
  if (pending.length === 0) return
  const found = applied.at(-1)?.version
  const has = found === undefined ? 'has no schema of Fairlead' : `has schema ${found}`
  throw new FairleadError('SCHEMA_NOT_READY', `The database ${has}; this build needs ${pending.at(-1)!.version}.`)
}

/** Applies what is missing, each in a transaction of its own; returns what it applied. */
export async function migrate(client: pg.Client, known = knownMigrations()): Promise<readonly Migration[]> {
  await client.query('SELECT pg_advisory_lock($1)', [LOCK])
  try {
    const pending = pendingMigrations(await appliedMigrations(client), known)
    for (const migration of pending) await apply(client, migration)
    return pending
  } finally {
    await client.query('SELECT pg_advisory_unlock($1)', [LOCK])
  }
}

const TABLE = `CREATE SCHEMA IF NOT EXISTS fairlead;
CREATE TABLE IF NOT EXISTS fairlead.migration(version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now());`

async function apply(client: pg.Client, { version, name, checksum, sql }: Migration): Promise<void> {
  try {
    await client.query(`BEGIN; ${TABLE} ${sql}`)
    await client.query('INSERT INTO fairlead.migration(version, name, checksum) VALUES ($1, $2, $3)', [
      version,
      name,
      checksum,
    ])
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  }
}
