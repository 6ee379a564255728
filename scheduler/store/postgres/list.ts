// list.ts — the query behind a list of jobs. Pure.
//
// The terms `state < 5` and `state > 5` are spelled out where they hold, so that the partial indexes serve the list.

import { isTerminal } from '../../states.ts'
import type { ListQuery } from '../contract.ts'
import { JOB_COLUMNS } from '../sqlite/rows.ts'
import { STATE_CODE } from '../sqlite/schema.ts'
import { escapeText } from './text.ts'

export function listSql(query: ListQuery): { sql: string; values: unknown[] } {
  const values: unknown[] = []
  const value = (of: unknown): string => `$${values.push(of)}`
  const tenant = value(escapeText(query.tenant))
  const where = [`j.tenant = ${tenant}`]
  const [label, ...others] = query.labels ?? []
  const is = (alias: string, { key, value: text }: { key: string; value: string }): string =>
    `${alias}.tenant = ${tenant} AND ${alias}.key = ${value(escapeText(key))} AND ${alias}.value = ${value(escapeText(text))}`
  const from = label ? 'fairlead.labels l JOIN fairlead.jobs j ON j.seq = l.seq' : 'fairlead.jobs j'
  const seq = label ? 'l.seq' : 'j.seq'
  if (label) where.push(is('l', label))
  for (const other of others) {
    where.push(`EXISTS (SELECT FROM fairlead.labels o WHERE ${is('o', other)} AND o.seq = j.seq)`)
  }
  where.push(...stateTerms(query.states ?? []))
  if (query.type !== undefined) where.push(`j.type = ${value(escapeText(query.type))}`)
  if (query.queue !== undefined) where.push(`j.queue = ${value(escapeText(query.queue))}`)
  if (query.cursor !== undefined) where.push(`${seq} < ${value(Number(query.cursor))}`)
  const limit = value(query.limit + 1)
  return {
    sql: `SELECT ${JOB_COLUMNS} FROM ${from} WHERE ${where.join(' AND ')} ORDER BY ${seq} DESC LIMIT ${limit}`,
    values,
  }
}

function stateTerms(states: NonNullable<ListQuery['states']>): string[] {
  if (states.length === 0) return []
  const terms = [`j.state IN (${states.map((state) => STATE_CODE[state]).join(',')})`]
  if (states.every((state) => !isTerminal(state))) terms.push('j.state < 5')
  if (states.every((state) => isTerminal(state) && state !== 'succeeded')) terms.push('j.state > 5')
  return terms
}
