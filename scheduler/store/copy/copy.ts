// copy.ts — `fairlead db copy`: the embedded store → PostgreSQL, in one transaction: all of it or nothing.
//
// Holds the data directory (no scheduler runs on it) and the target's shards (none may start there). Every table is
// read back inside the transaction; counts and checksums of contents must be equal before it commits.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type pg from 'pg'
import { FairleadError } from '../../../kernel/errors.ts'
import { lockDir } from '../sqlite/lock.ts'
import type { Row } from '../sqlite/rows.ts'
import { SCHEMA_VERSION } from '../sqlite/schema.ts'
import { escaped, normalised, TABLES, type Table, unescaped, type Value } from './tables.ts'

export interface Copied {
  readonly tables: Readonly<Record<string, { readonly rows: number; readonly checksum: string }>>
}

const BATCH_ROWS = 2_000
const BATCH_CHARS = 8 * 1024 * 1024

/** @throws STORE_LOCKED, DATABASE_NOT_EMPTY, SCHEMA_TOO_NEW; after any failure the target is as it was */
export async function copyStore(dir: string, client: pg.Client): Promise<Copied> {
  const file = join(dir, 'jobs.db')
  if (!existsSync(file)) throw new FairleadError('INVALID_INPUT', `${dir} holds no job store (jobs.db).`)
  const lock = lockDir(dir)
  try {
    const db = new DatabaseSync(file, { readOnly: true })
    try {
      assertVersion(db)
      return await inTransaction(client, () => copyAll(db, client))
    } finally {
      db.close()
    }
  } finally {
    lock.release()
  }
}

function assertVersion(db: DatabaseSync): void {
  const found = Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0)
  if (found === SCHEMA_VERSION) return
  throw new FairleadError('SCHEMA_TOO_NEW', `The job store has schema ${found}; this build knows ${SCHEMA_VERSION}.`)
}

async function inTransaction<T>(client: pg.Client, run: () => Promise<T>): Promise<T> {
  await client.query('BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0')
  try {
    const result = await run()
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw error
  }
}

async function copyAll(db: DatabaseSync, client: pg.Client): Promise<Copied> {
  await assertTarget(client)
  const tables: Record<string, { rows: number; checksum: string }> = {}
  for (const table of TABLES) {
    const written = await write(db, client, table)
    const read = await readBack(client, table)
    if (written.rows !== read.rows || written.text !== read.text) {
      const text = `${table.name}: ${read.rows} of ${written.rows} rows arrived, checksum ${read.text} for ${written.text}.`
      throw new FairleadError('INTERNAL', text, { cause: new Error(text) })
    }
    tables[table.name] = { rows: read.rows, checksum: read.text }
  }
  await copyMarks(db, client)
  return { tables }
}

async function assertTarget(client: pg.Client): Promise<void> {
  await client.query('LOCK TABLE fairlead.shard IN SHARE ROW EXCLUSIVE MODE')
  const live = await client.query('SELECT FROM fairlead.scheduler_session WHERE expires > clock_timestamp()')
  if (live.rows.length > 0) throw new FairleadError('STORE_LOCKED', 'A scheduler runs on the target database.')
  for (const { name } of TABLES) {
    const { rows } = await client.query(`SELECT FROM fairlead.${name} LIMIT 1`)
    if (rows.length > 0) throw new FairleadError('DATABASE_NOT_EMPTY', `The target has rows in fairlead.${name}.`)
  }
}

async function write(db: DatabaseSync, client: pg.Client, table: Table): Promise<Sum> {
  const sum = new Sum()
  const insert = insertSql(table)
  let batch: Value[][] = []
  let chars = 0
  const flush = async (): Promise<void> => {
    if (batch.length > 0) await client.query(insert, [JSON.stringify(batch.map((values) => escaped(values)))])
    batch = []
    chars = 0
  }
  for (const row of db.prepare(selectSql(table)).iterate() as Iterable<Row>) {
    const values = normalised(table, row)
    sum.add(values)
    batch.push(values)
    chars += values.reduce((total: number, value) => total + (typeof value === 'string' ? value.length : 8), 0)
    if (batch.length >= BATCH_ROWS || chars >= BATCH_CHARS) await flush()
  }
  await flush()
  return sum
}

async function readBack(client: pg.Client, table: Table): Promise<Sum> {
  const sum = new Sum()
  const columns = Object.entries(table.columns).map(([column, type]) => {
    if (type === 'bytea') return `translate(encode(${column}, 'base64'), E'\\n', '') AS ${column}`
    return table.wide?.includes(column) ? `${column}::text AS ${column}` : column
  })
  await client.query(`DECLARE back NO SCROLL CURSOR FOR SELECT ${columns.join(', ')} FROM fairlead.${table.name}`)
  for (;;) {
    const { rows } = await client.query<Row>(`FETCH ${BATCH_ROWS} FROM back`)
    for (const row of rows) sum.add(unescaped(Object.keys(table.columns).map((column) => row[column] as Value)))
    if (rows.length === 0) break
  }
  await client.query('CLOSE back')
  return sum
}

/** Rows arrive as arrays: cheaper than names, and the columns stand here once. */
function insertSql({ name, columns }: Table): string {
  const values = Object.entries(columns).map(([, type], i) =>
    type === 'bytea' ? `decode(r.value->>${i}, 'base64')` : `(r.value->>${i})::${type}`,
  )
  const into = `fairlead.${name}(${Object.keys(columns).join(', ')})`
  return `INSERT INTO ${into} SELECT ${values.join(', ')} FROM json_array_elements($1::json) AS r(value)`
}

function selectSql({ name, wide = [] }: Table): string {
  const texts = wide.map((column) => `, CAST(s.${column} AS TEXT) AS ${column}`).join('')
  return `SELECT s.*${texts} FROM ${name} s`
}

async function copyMarks(db: DatabaseSync, client: pg.Client): Promise<void> {
  const of = (key: string): string =>
    db.prepare('SELECT CAST(value AS TEXT) AS value FROM meta WHERE key = ?').get(key)!['value'] as string
  await client.query('UPDATE fairlead.mark SET token = $1, seq = $2', [of('token'), of('seq')])
  await client.query(
    `SELECT setval(pg_get_serial_sequence('fairlead.logs', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM fairlead.logs), false)`,
  )
}

/** Of a set of rows, whatever their order: the sum of their SHA-256, modulo 2^256. */
class Sum {
  rows = 0
  #total = 0n

  add(values: readonly Value[]): void {
    this.rows++
    const hex = createHash('sha256').update(JSON.stringify(values)).digest('hex')
    this.#total = BigInt.asUintN(256, this.#total + BigInt(`0x${hex}`))
  }

  get text(): string {
    return this.#total.toString(16).padStart(64, '0')
  }
}
