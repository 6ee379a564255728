// tables.ts — each table of the job store as a list of columns, with the same meaning on both sides of a copy.
//
// A row is normalised to plain values (bytes as base64 after inflating) before it is written and before it is summed, so
// the two sides' checksums speak of contents, not of how an engine stores them.

import { shardOf } from '../postgres/shards.ts'
import { escapeText, unescapeText } from '../postgres/text.ts'
import { payload, type Row } from '../sqlite/rows.ts'
import { BODY_KIND } from '../sqlite/schema.ts'

export type Value = string | number | null

export interface Table {
  readonly name: string
  /** Column → its PostgreSQL type. */
  readonly columns: Readonly<Record<string, string>>
  /** 64-bit values that JavaScript's numbers cannot hold: text on both sides. */
  readonly wide?: readonly string[]
  /** Row of SQLite → row with our columns. */
  readonly from?: (row: Row) => Row
}

const job = (row: Row): Row => {
  const { okey = null, ckey = null } = JSON.parse(row['spec'] as string) as { okey?: string; ckey?: string }
  const facts = { tenant: row['tenant'] as string, orderingKey: okey, concurrencyKey: ckey }
  return { ...row, shard: shardOf(facts, Number(row['seq']) % 64) }
}

const bodyRow = (row: Row): Row => {
  const { payloadKind, payload: whole } = payload(row['kind'], row['payload'])
  const text = payloadKind === 'json' ? (whole as string) : null
  const bytes = payloadKind === 'bytes' ? Buffer.from(whole as Uint8Array).toString('base64') : null
  return { seq: row['seq'], kind: BODY_KIND[payloadKind], payload_text: text, payload_bytes: bytes, env: row['env'] }
}

const resultRow = (row: Row): Row => ({ seq: row['seq'], value: payload(row['kind'], row['value']).payload })

export const TABLES: readonly Table[] = [
  {
    name: 'jobs',
    wide: ['token'],
    from: job,
    columns: {
      ...{ seq: 'bigint', id: 'text', shard: 'smallint', tenant: 'text', type: 'text', queue: 'text' },
      ...{ priority: 'smallint', state: 'smallint', version: 'integer', created_at: 'bigint', run_at: 'bigint' },
      ...{ started_at: 'bigint', finished_at: 'bigint', attempts: 'integer', lost: 'integer', token: 'bigint' },
      ...{ progress: 'double precision', spec: 'text', error: 'text' },
    },
  },
  {
    name: 'bodies',
    from: bodyRow,
    columns: { seq: 'bigint', kind: 'smallint', payload_text: 'text', payload_bytes: 'bytea', env: 'text' },
  },
  { name: 'results', from: resultRow, columns: { seq: 'bigint', value: 'text' } },
  {
    name: 'labels',
    columns: { tenant: 'text', key: 'text', value: 'text', seq: 'bigint' },
  },
  {
    name: 'idempotency',
    columns: { tenant: 'text', key: 'text', seq: 'bigint', hash: 'text', at: 'bigint' },
  },
  {
    name: 'attempts',
    wide: ['token'],
    columns: {
      ...{ seq: 'bigint', token: 'bigint', attempt: 'integer', instance: 'text', session: 'text', backend: 'text' },
      ...{ version: 'text', leased_at: 'bigint', started_at: 'bigint', finished_at: 'bigint', outcome: 'smallint' },
      ...{ refusal: 'text', error: 'text', log_bytes: 'bigint' },
    },
  },
  {
    name: 'logs',
    wide: ['token'],
    columns: {
      ...{ id: 'bigint', seq: 'bigint', token: 'bigint', n: 'bigint', stream: 'text', text: 'text', at: 'bigint' },
    },
  },
  { name: 'sessions', columns: { session: 'text', row: 'text' } },
]

/** Values in the order of the columns, as they go over the wire. */
export function normalised(table: Table, source: Row): Value[] {
  const row = table.from ? table.from(source) : source
  return Object.keys(table.columns).map((column) => {
    const value = row[column]
    return value === undefined ? null : (value as Value)
  })
}

export const escaped = (values: readonly Value[]): Value[] =>
  values.map((value) => (typeof value === 'string' ? escapeText(value) : value))
export const unescaped = (values: readonly Value[]): Value[] =>
  values.map((value) => (typeof value === 'string' ? unescapeText(value) : value))
