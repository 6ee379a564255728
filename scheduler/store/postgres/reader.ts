// reader.ts — every question that the store answers, from the primary: each statement sees all commits that returned
// before it began (contract P4). Rows come out by store/sqlite/rows.ts: both engines name their columns alike.

import type pg from 'pg'
import { isoTime, type WallMs } from '../../../kernel/clock.ts'
import type { Attempt, Job } from '../../contract.ts'
import type { AttemptRow, JobRow, Label, ListQuery, SessionRow, StoredBody, StoredLog } from '../contract.ts'
import {
  ATTEMPT_COLUMNS,
  attempt,
  attemptRow,
  body,
  JOB_COLUMNS,
  job,
  jobRow,
  payload,
  type Row,
} from '../sqlite/rows.ts'
import { BODY_KIND, STATE_CODE } from '../sqlite/schema.ts'
import { failure } from './connection.ts'
import { listSql } from './list.ts'
import { summarize } from './summary.ts'
import { escapeText, unescapeText } from './text.ts'

export class Reader {
  readonly #pool: pg.Pool

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  async pending(after: number, limit: number): Promise<readonly JobRow[]> {
    const sql = `SELECT ${JOB_COLUMNS} FROM fairlead.jobs j WHERE j.state < 5 AND j.seq > $1 ORDER BY j.seq LIMIT $2`
    return (await this.all(sql, after, limit)).map(jobRow)
  }

  async running(): Promise<readonly AttemptRow[]> {
    const sql = `SELECT j.id AS job, ${ATTEMPT_COLUMNS} FROM fairlead.jobs j
      JOIN fairlead.attempts a ON a.seq = j.seq AND a.token = j.token
      WHERE j.state < 5 AND j.state IN (${STATE_CODE.leased}, ${STATE_CODE.cancelling}) ORDER BY j.seq`
    return (await this.all(sql)).map(attemptRow)
  }

  async sessions(): Promise<readonly SessionRow[]> {
    const rows = await this.all('SELECT s.row FROM fairlead.sessions s ORDER BY s.session')
    return rows.map((r) => JSON.parse(r['row'] as string) as SessionRow)
  }

  async highest(): Promise<{ readonly token: bigint; readonly seq: number }> {
    const [row] = await this.all('SELECT token::text AS token, seq FROM fairlead.mark')
    return { token: BigInt(row!['token'] as string), seq: row!['seq'] as number }
  }

  async bodies(ids: readonly string[]): Promise<ReadonlyMap<string, StoredBody>> {
    const sql = `SELECT j.id, j.spec, b.kind, b.payload_text, b.payload_bytes, b.env FROM fairlead.jobs j
      LEFT JOIN fairlead.bodies b ON b.seq = j.seq WHERE j.id = ANY($1)`
    const found = new Map((await this.all(sql, ids)).map((row) => [row['id'] as string, body(withPayload(row))]))
    return inOrder(ids, found)
  }

  async rows(ids: readonly string[]): Promise<readonly JobRow[]> {
    const rows = await this.all(`SELECT ${JOB_COLUMNS} FROM fairlead.jobs j WHERE j.id = ANY($1)`, ids)
    return [...inOrder(ids, new Map(rows.map((row) => [row['id'] as string, jobRow(row)]))).values()]
  }

  async get(tenant: string, id: string): Promise<Job | undefined> {
    const [row] = await this.all(
      `SELECT ${JOB_COLUMNS}, b.kind, b.payload_text, b.payload_bytes, b.env, r.value AS result FROM fairlead.jobs j
       LEFT JOIN fairlead.bodies b ON b.seq = j.seq LEFT JOIN fairlead.results r ON r.seq = j.seq
       WHERE j.id = $1 AND j.tenant = $2`,
      escapeText(id),
      escapeText(tenant),
    )
    return row ? whole(withPayload(row)) : undefined
  }

  async attempts(tenant: string, id: string): Promise<readonly Attempt[]> {
    const sql = `SELECT ${ATTEMPT_COLUMNS} FROM fairlead.jobs j JOIN fairlead.attempts a ON a.seq = j.seq
      WHERE j.id = $1 AND j.tenant = $2 ORDER BY a.token`
    return (await this.all(sql, escapeText(id), escapeText(tenant))).map(attempt)
  }

  async logs(tenant: string, id: string, after: number, limit: number): Promise<readonly StoredLog[]> {
    const sql = `SELECT l.id, a.attempt, l.n, l.stream, l.text, l.at FROM fairlead.jobs j
      JOIN fairlead.logs l ON l.seq = j.seq JOIN fairlead.attempts a ON a.seq = l.seq AND a.token = l.token
      WHERE j.id = $1 AND j.tenant = $2 AND l.id > $3 ORDER BY l.id LIMIT $4`
    return (await this.all(sql, escapeText(id), escapeText(tenant), after, limit)).map((r) => ({
      id: r['id'] as number,
      attempt: r['attempt'] as number,
      seq: r['n'] as number,
      stream: r['stream'] as string,
      text: r['text'] as string,
      at: isoTime(r['at'] as WallMs),
    }))
  }

  /** Newest first; the cursor is the last row's place. */
  async list(query: ListQuery): Promise<{ readonly jobs: readonly Job[]; readonly cursor: string | null }> {
    const { sql, values } = listSql(query)
    const rows = await this.all(sql, ...values)
    const page = rows.slice(0, query.limit)
    const last = page.at(-1)
    return { jobs: page.map(job), cursor: rows.length > query.limit && last ? String(last['seq']) : null }
  }

  summary(tenant: string, label?: Label): ReturnType<typeof summarize> {
    return summarize((sql, ...values) => this.all(sql, ...values), tenant, label)
  }

  async all(sql: string, ...values: readonly unknown[]): Promise<Row[]> {
    try {
      const { rows } = await this.#pool.query<Row>(sql, [...values])
      for (const row of rows) unescapeRow(row)
      return rows
    } catch (cause) {
      throw failure(cause)
    }
  }
}

function unescapeRow(row: Row): void {
  for (const name in row) {
    const value = row[name]
    if (typeof value === 'string' && value.includes('\u0001')) row[name] = unescapeText(value)
  }
}

const withPayload = (row: Row): Row => ({ ...row, payload: row['payload_text'] ?? row['payload_bytes'] })

function inOrder<T>(ids: readonly string[], found: ReadonlyMap<string, T>): Map<string, T> {
  const ordered = new Map<string, T>()
  for (const id of ids) {
    const one = found.get(id)
    if (one !== undefined) ordered.set(id, one)
  }
  return ordered
}

function whole(row: Row): Job {
  const { payloadKind, payload: bytes } = payload(row['kind'] ?? BODY_KIND.none, row['payload'])
  return {
    ...job(row),
    ...(payloadKind === 'json' ? { payload: JSON.parse(bytes as string) as unknown } : {}),
    ...(payloadKind === 'bytes' ? { payloadBase64: Buffer.from(bytes as Uint8Array).toString('base64') } : {}),
    env: row['env'] == null ? {} : (JSON.parse(row['env'] as string) as Record<string, string>),
    ...(row['result'] == null ? {} : { result: JSON.parse(row['result'] as string) as unknown }),
  }
}
