// reader.ts — every question that the store answers, on a read-only connection of its own thread.
//
// Each statement is its own read transaction: it sees all commits that returned before it began (contract P4).

import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { isoTime, type WallMs } from '../../../kernel/clock.ts'
import type { Attempt, Job } from '../../contract.ts'
import { isTerminal } from '../../states.ts'
import type { AttemptRow, JobRow, ListQuery, SessionRow, StoredBody, StoredLog } from '../contract.ts'
import { ATTEMPT_COLUMNS, attempt, attemptRow, body, JOB_COLUMNS, job, jobRow, payload, type Row } from './rows.ts'
import { STATE_CODE } from './schema.ts'

export class Reader {
  readonly #db: DatabaseSync
  readonly #cache = new Map<string, ReturnType<DatabaseSync['prepare']>>()

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  pending(after: number, limit: number): readonly JobRow[] {
    const sql = `SELECT ${JOB_COLUMNS} FROM jobs j INDEXED BY jobs_open WHERE j.state < 5 AND j.seq > ? ORDER BY j.seq LIMIT ?`
    return this.#all(sql, after, limit).map(jobRow)
  }

  running(): readonly AttemptRow[] {
    const sql = `SELECT j.id AS job, ${ATTEMPT_COLUMNS} FROM jobs j INDEXED BY jobs_open
      JOIN attempts a ON a.seq = j.seq AND a.token = j.token
      WHERE j.state < 5 AND j.state IN (${STATE_CODE.leased}, ${STATE_CODE.cancelling}) ORDER BY j.seq`
    return this.#all(sql).map(attemptRow)
  }

  sessions(): readonly SessionRow[] {
    return this.#all('SELECT row FROM sessions ORDER BY session').map(
      (r) => JSON.parse(r['row'] as string) as SessionRow,
    )
  }

  highest(): { readonly token: bigint; readonly seq: number } {
    const of = (key: string): string =>
      this.#one('SELECT CAST(value AS TEXT) AS value FROM meta WHERE key = ?', key)!['value'] as string
    return { token: BigInt(of('token')), seq: Number(of('seq')) }
  }

  bodies(ids: readonly string[]): ReadonlyMap<string, StoredBody> {
    const sql = 'SELECT j.spec, b.kind, b.payload, b.env FROM jobs j LEFT JOIN bodies b ON b.seq = j.seq WHERE j.id = ?'
    const found = new Map<string, StoredBody>()
    for (const id of ids) {
      const row = this.#one(sql, id)
      if (row) found.set(id, body(row))
    }
    return found
  }

  rows(ids: readonly string[]): readonly JobRow[] {
    return ids.flatMap((id) => this.#all(`SELECT ${JOB_COLUMNS} FROM jobs j WHERE j.id = ?`, id).map(jobRow))
  }

  get(tenant: string, id: string): Job | undefined {
    const row = this.#one(
      `SELECT ${JOB_COLUMNS}, b.kind, b.payload, b.env, r.kind AS result_kind, r.value AS result FROM jobs j
       LEFT JOIN bodies b ON b.seq = j.seq LEFT JOIN results r ON r.seq = j.seq WHERE j.id = ? AND j.tenant = ?`,
      id,
      tenant,
    )
    return row ? whole(row) : undefined
  }

  attempts(tenant: string, id: string): readonly Attempt[] {
    const sql = `SELECT ${ATTEMPT_COLUMNS} FROM jobs j JOIN attempts a ON a.seq = j.seq
      WHERE j.id = ? AND j.tenant = ? ORDER BY a.token`
    return this.#all(sql, id, tenant).map(attempt)
  }

  logs(tenant: string, id: string, after: number, limit: number): readonly StoredLog[] {
    const sql = `SELECT l.id, a.attempt, l.n, l.stream, l.text, l.at FROM jobs j JOIN logs l ON l.seq = j.seq
      JOIN attempts a ON a.seq = l.seq AND a.token = l.token
      WHERE j.id = ? AND j.tenant = ? AND l.id > ? ORDER BY l.id LIMIT ?`
    return this.#all(sql, id, tenant, after, limit).map((r) => ({
      id: r['id'] as number,
      attempt: r['attempt'] as number,
      seq: r['n'] as number,
      stream: r['stream'] as string,
      text: r['text'] as string,
      at: isoTime(r['at'] as WallMs),
    }))
  }

  /** Newest first; the cursor is the last row's place. */
  list(query: ListQuery): { readonly jobs: readonly Job[]; readonly cursor: string | null } {
    const { sql, values } = listSql(query)
    const rows = this.#all(sql, ...values)
    const page = rows.slice(0, query.limit)
    const last = page[page.length - 1]
    return { jobs: page.map(job), cursor: rows.length > query.limit && last ? String(last['seq']) : null }
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#all(sql, ...values)
  }

  #all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepare(sql).all(...values)
  }

  #one(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#prepare(sql).get(...values)
  }

  /** Texts come from a handful of shapes; past 200 the cache starts again. */
  #prepare(sql: string): ReturnType<DatabaseSync['prepare']> {
    let statement = this.#cache.get(sql)
    if (!statement) {
      if (this.#cache.size >= 200) this.#cache.clear()
      statement = this.#db.prepare(sql)
      this.#cache.set(sql, statement)
    }
    return statement
  }
}

function whole(row: Row): Job {
  const { payloadKind, payload: bytes } = payload(row['kind'], row['payload'])
  const result = payload(row['result_kind'], row['result']).payload
  return {
    ...job(row),
    ...(payloadKind === 'json' ? { payload: JSON.parse(bytes as string) as unknown } : {}),
    ...(payloadKind === 'bytes' ? { payloadBase64: Buffer.from(bytes as Uint8Array).toString('base64') } : {}),
    env: row['env'] == null ? {} : (JSON.parse(row['env'] as string) as Record<string, string>),
    ...(result === null ? {} : { result: JSON.parse(result as string) as unknown }),
  }
}

function listSql(query: ListQuery): { sql: string; values: SQLInputValue[] } {
  const where = ['j.tenant = ?']
  const values: SQLInputValue[] = []
  let from = 'jobs j'
  const states = query.states ?? []
  const [label, ...others] = query.labels ?? []
  if (label) {
    from = 'labels l JOIN jobs j ON j.seq = l.seq'
    where.unshift('l.tenant = ? AND l.key = ? AND l.value = ?')
    values.push(query.tenant, label.key, label.value)
  } else if (states.length > 0) {
    from += stateIndex(states)
  }
  values.push(query.tenant)
  if (states.length > 0) where.push(`${stateTerm(states)} j.state IN (${states.map((s) => STATE_CODE[s]).join(',')})`)
  for (const [column, value] of [
    ['type', query.type],
    ['queue', query.queue],
  ] as const) {
    if (value === undefined) continue
    where.push(`j.${column} = ?`)
    values.push(value)
  }
  for (const { key, value } of others) {
    where.push(
      'EXISTS (SELECT 1 FROM labels o WHERE o.tenant = j.tenant AND o.key = ? AND o.value = ? AND o.seq = j.seq)',
    )
    values.push(key, value)
  }
  const seq = label ? 'l.seq' : 'j.seq'
  if (query.cursor !== undefined) {
    where.push(`${seq} < ?`)
    values.push(Number(query.cursor))
  }
  values.push(query.limit + 1)
  const sql = `SELECT ${JOB_COLUMNS} FROM ${from} WHERE ${where.join(' AND ')} ORDER BY ${seq} DESC LIMIT ?`
  return { sql, values }
}

type States = NonNullable<ListQuery['states']>
const allOpen = (states: States): boolean => states.every((s) => !isTerminal(s))
const allBad = (states: States): boolean => states.every((s) => isTerminal(s) && s !== 'succeeded')

/** The partial indexes serve a list only when its states lie inside one of them. */
function stateIndex(states: States): string {
  if (allOpen(states)) return ' INDEXED BY jobs_open'
  return allBad(states) ? ' INDEXED BY jobs_bad' : ''
}

function stateTerm(states: States): string {
  if (allOpen(states)) return 'j.state < 5 AND'
  return allBad(states) ? 'j.state > 5 AND' : ''
}
