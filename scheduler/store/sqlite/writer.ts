// writer.ts — applies encoded changes to the tables: one call, one transaction, one fsync.
//
// Runs in the writer thread, on the only connection that writes. A guard that fails is an answer (`ok: false`), the
// other changes stand; an error of the engine rolls everything back. An error of COMMIT itself leaves the outcome
// unknown: the caller must rebuild from rows (contract P1).

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { deflateRawSync } from 'node:zlib'
import type { ErrorCode } from '../../../kernel/errors.ts'
import type { ChangeResult } from '../contract.ts'
import { type Cell, IDEMPOTENCY_MS, OP } from './codec.ts'
import { BODY_KIND, STATE_CODE, stateOf } from './schema.ts'

/** Payloads and results above this are deflated. */
export const COMPRESS_ABOVE_BYTES = 4096
const OK: ChangeResult = { ok: true }
const LEASED = STATE_CODE.leased
const CANCELLING = STATE_CODE.cancelling
const SUCCEEDED = STATE_CODE.succeeded

/** `failed`: index and result of each change that was not simply ok. */
export interface Applied {
  readonly special: readonly (readonly [number, ChangeResult])[]
}

export class UnknownOutcome extends Error {}

export class Writer {
  readonly #db: DatabaseSync
  readonly #sql: ReturnType<typeof statements>
  readonly #logBytesMax: number
  #cells: readonly Cell[] = []
  #at = 0
  #token = 0n
  #seq = 0

  constructor(db: DatabaseSync, logBytesMax: number) {
    this.#logBytesMax = logBytesMax
    this.#db = db
    this.#sql = statements(db)
  }

  apply(cells: readonly Cell[]): Applied {
    this.#cells = cells
    this.#at = 0
    this.#token = 0n
    this.#seq = 0
    this.#sql.begin.run()
    let special: [number, ChangeResult][]
    try {
      special = this.#all()
      if (this.#token > 0n) this.#sql.meta.run(this.#token, 'token', this.#token)
      if (this.#seq > 0) this.#sql.meta.run(this.#seq, 'seq', this.#seq)
    } catch (error) {
      if (this.#db.isTransaction) this.#sql.rollback.run()
      throw error
    }
    this.#commit()
    return { special }
  }

  #commit(): void {
    try {
      this.#sql.commit.run()
    } catch (error) {
      if (this.#db.isTransaction) this.#sql.rollback.run()
      // A failed fsync may still have left a valid commit frame behind; a full disk has not.
      if (isIoError(error)) throw new UnknownOutcome('COMMIT failed', { cause: error })
      throw error
    }
  }

  #all(): [number, ChangeResult][] {
    const special: [number, ChangeResult][] = []
    let index = 0
    while (this.#at < this.#cells.length) {
      if (this.#cells[this.#at] === OP.atomic) {
        index = this.#atomic(index, special)
        continue
      }
      const result = this.#one()
      if (result !== OK) special.push([index, result])
      index++
    }
    return special
  }

  /** Applies the next `count` changes; when one is refused, none of them stands. */
  #atomic(index: number, special: [number, ChangeResult][]): number {
    const count = Number(this.#cells[this.#at + 1])
    this.#at += 2
    this.#sql.savepoint.run()
    const results: ChangeResult[] = []
    for (let i = 0; i < count; i++) results.push(this.#one())
    const refused = results.find((result) => !result.ok)
    if (refused) this.#sql.rollbackTo.run()
    this.#sql.release.run()
    results.forEach((result, i) => {
      const final: ChangeResult = refused && result.ok ? { ok: false, code: 'ATOMIC_REFUSED' } : result
      if (final !== OK) special.push([index + 1 + i, final])
    })
    return index + 1 + count
  }

  #one(): ChangeResult {
    switch (this.#next()) {
      case OP.insert:
        return this.#insert()
      case OP.move:
        return this.#move()
      case OP.lease:
        return this.#lease()
      case OP.end:
        return this.#end()
      case OP.started:
        return this.#started()
      case OP.progress:
        return this.#progress()
      case OP.log:
        return this.#log()
      case OP.session:
        this.#sql.session.run(this.#text(), this.#text())
        return OK
      case OP.sessionEnd:
        this.#sql.sessionEnd.run(this.#text())
        return OK
      default:
        throw new Error('assertion failed: unknown operation in a commit')
    }
  }

  #insert(): ChangeResult {
    const seq = this.#number()
    const [id, tenant, type, queue] = [this.#text(), this.#text(), this.#text(), this.#text()]
    const [priority, state, createdAt, runAt] = [this.#number(), this.#number(), this.#number(), this.#number()]
    const spec = this.#text()
    const [key, hash] = [this.#next() as string | null, this.#text()]
    const [kind, payload, env] = [this.#number(), this.#next(), this.#next()]
    const labels = this.#number()
    const labelsAt = this.#at
    this.#at += labels * 2
    if (key !== null) {
      const known = this.#knownKey(tenant, key, seq, hash, createdAt)
      if (known) return known
    }
    this.#sql.insert.run(seq, id, tenant, type, queue, priority, state, createdAt, runAt, spec)
    if (kind !== BODY_KIND.none || env !== null) this.#body(seq, kind, payload, env)
    for (let i = 0; i < labels; i++) {
      this.#sql.label.run(tenant, this.#cells[labelsAt + 2 * i]!, this.#cells[labelsAt + 2 * i + 1]!, seq)
    }
    if (seq > this.#seq) this.#seq = seq
    return OK
  }

  #body(seq: number, kind: number, payload: Cell, env: Cell): void {
    const packed = pack(payload)
    const marked = packed === undefined ? kind : kind + (BODY_KIND.zjson - BODY_KIND.json)
    this.#sql.body.run(seq, marked, packed ?? payload, env)
  }

  /** Claims the key for `seq`; when another job holds it within its window, says which. */
  #knownKey(tenant: string, key: string, seq: number, hash: string, at: number): ChangeResult | undefined {
    const claimed = this.#sql.claimKey.run(tenant, key, seq, hash, at, at - IDEMPOTENCY_MS)
    if (claimed.changes === 1) return undefined
    const held = this.#sql.keyHolder.get(tenant, key)!
    if (held['hash'] !== hash) return refuse('IDEMPOTENCY_CONFLICT')
    return { ok: true, existing: { id: String(held['id']), state: stateOf(held['state']) } }
  }

  #move(): ChangeResult {
    const id = this.#text()
    const [from, to, at] = [this.#number(), this.#number(), this.#number()]
    const [runAt, reset, error, version] = [this.#next(), this.#number(), this.#next(), this.#next()]
    const finishedAt = to >= SUCCEEDED ? at : null
    const row = this.#sql.move.get(to, runAt, finishedAt, reset, reset, reset, reset, reset, error, id, from, version)
    if (!row) return this.#moveRefusal(id, from)
    if (reset === 1) this.#sql.dropResult.run(row['seq'] as number)
    return OK
  }

  #moveRefusal(id: string, from: number): ChangeResult {
    const row = this.#sql.known.get(id)
    return this.#refusal(id, row?.['state'] === from ? 'JOB_VERSION_CONFLICT' : 'JOB_STATE_CONFLICT')
  }

  #lease(): ChangeResult {
    const id = this.#text()
    const token = this.#next() as bigint
    const attempt = this.#number()
    const [instance, session, backend, version] = [this.#text(), this.#text(), this.#text(), this.#text()]
    const leasedAt = this.#number()
    const row = this.#sql.lease.get(token, id, token)
    if (!row) return this.#refusal(id)
    this.#sql.attempt.run(row['seq'] as number, token, attempt, instance, session, backend, version, leasedAt)
    if (token > this.#token) this.#token = token
    return OK
  }

  #end(): ChangeResult {
    const id = this.#text()
    const token = this.#next() as bigint
    const [outcome, to, at] = [this.#number(), this.#number(), this.#number()]
    const [startedAt, runAt, charge] = [this.#next(), this.#next(), this.#number()]
    const [result, error, refusal] = [this.#next(), this.#next(), this.#next()]
    const lost = outcome === 6 ? 1 : 0
    const done = to === SUCCEEDED ? 100 : null
    const finishedAt = to >= SUCCEEDED ? at : null
    const row = this.#sql.end.get(to, charge, lost, runAt, finishedAt, startedAt, error, done, id, token)
    if (!row) return this.#refusal(id, 'TOKEN_STALE')
    const seq = row['seq'] as number
    this.#sql.endAttempt.run(at, startedAt, outcome, refusal, error, seq, token)
    if (result !== null) {
      const packed = pack(result)
      this.#sql.result.run(seq, packed === undefined ? BODY_KIND.json : BODY_KIND.zjson, packed ?? result)
    }
    return OK
  }

  #started(): ChangeResult {
    const [id, token, at] = [this.#text(), this.#next(), this.#number()]
    const row = this.#sql.started.get(at, id, token)
    if (!row) return this.#refusal(id, 'TOKEN_STALE')
    this.#sql.startAttempt.run(at, row['seq'] as number, token)
    return OK
  }

  #progress(): ChangeResult {
    const [id, token, pct] = [this.#text(), this.#next(), this.#number()]
    return this.#sql.progress.run(pct, id, token).changes === 1 ? OK : this.#refusal(id, 'TOKEN_STALE')
  }

  /** Lines past the attempt's bound are dropped behind one marker line; a line that came before is not kept twice. */
  #log(): ChangeResult {
    const [id, token, n] = [this.#text(), this.#next(), this.#number()]
    const [stream, text, at] = [this.#text(), this.#text(), this.#number()]
    const row = this.#sql.logBytes.get(id, token)
    if (!row) return this.#refusal(id, 'TOKEN_STALE')
    const seq = row['seq'] as number
    const used = row['log_bytes'] as number
    if (used > this.#logBytesMax) return OK
    const bytes = Buffer.byteLength(text)
    const full = used + bytes > this.#logBytesMax
    const line = full ? `… log cut: more than ${this.#logBytesMax} bytes in this attempt` : text
    if (this.#sql.log.run(seq, token, n, full ? 'log' : stream, line, at).changes === 0) return OK
    this.#sql.addLogBytes.run(full ? this.#logBytesMax + 1 : used + bytes, seq, token)
    return OK
  }

  #refusal(id: string, code: ErrorCode = 'JOB_STATE_CONFLICT'): ChangeResult {
    return refuse(this.#sql.known.get(id) === undefined ? 'JOB_NOT_FOUND' : code)
  }

  #next(): Cell {
    return this.#cells[this.#at++]!
  }

  #text(): string {
    return this.#cells[this.#at++] as string
  }

  #number(): number {
    return this.#cells[this.#at++] as number
  }
}

const isIoError = (error: unknown): boolean => ((error as { errcode?: number }).errcode ?? 0) % 256 === 10

const refuse = (code: ErrorCode): ChangeResult => ({ ok: false, code })

/** The deflated bytes when that is worth it. */
function pack(value: Cell): Uint8Array | undefined {
  if (value === null || typeof value === 'number' || typeof value === 'bigint') return undefined
  if ((typeof value === 'string' ? value.length : value.byteLength) <= COMPRESS_ABOVE_BYTES) return undefined
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  const packed = deflateRawSync(bytes, { level: 1 })
  return packed.byteLength < bytes.byteLength ? packed : undefined
}

function statements(db: DatabaseSync) {
  const sql = (text: string): StatementSync => db.prepare(text)
  return {
    begin: sql('BEGIN IMMEDIATE'),
    commit: sql('COMMIT'),
    rollback: sql('ROLLBACK'),
    savepoint: sql('SAVEPOINT atomic'),
    rollbackTo: sql('ROLLBACK TO atomic'),
    release: sql('RELEASE atomic'),
    meta: sql('UPDATE meta SET value = ? WHERE key = ? AND value < ?'),
    known: sql('SELECT state FROM jobs WHERE id = ?'),
    insert: sql(
      'INSERT INTO jobs(seq, id, tenant, type, queue, priority, state, created_at, run_at, spec) VALUES (?,?,?,?,?,?,?,?,?,?)',
    ),
    body: sql('INSERT INTO bodies(seq, kind, payload, env) VALUES (?,?,?,?)'),
    label: sql('INSERT INTO labels(tenant, key, value, seq) VALUES (?,?,?,?)'),
    claimKey: sql(
      `INSERT INTO idempotency(tenant, key, seq, hash, at) VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE
       SET seq = excluded.seq, hash = excluded.hash, at = excluded.at WHERE at <= ?`,
    ),
    keyHolder: sql(
      'SELECT i.hash, j.id, j.state FROM idempotency i JOIN jobs j ON j.seq = i.seq WHERE i.tenant = ? AND i.key = ?',
    ),
    move: sql(
      `UPDATE jobs SET state = ?, version = version + 1, run_at = coalesce(?, run_at), finished_at = ?,
       attempts = iif(?, 0, attempts), lost = iif(?, 0, lost), progress = iif(?, 0, progress),
       started_at = iif(?, NULL, started_at), error = iif(?, NULL, coalesce(?, error))
       WHERE id = ? AND state = ? AND version = coalesce(?, version) RETURNING seq`,
    ),
    dropResult: sql('DELETE FROM results WHERE seq = ?'),
    lease: sql(
      `UPDATE jobs SET state = ${LEASED}, version = version + 1, token = ?
       WHERE id = ? AND state = ${STATE_CODE.ready} AND token < ? RETURNING seq`,
    ),
    attempt: sql(
      'INSERT INTO attempts(seq, token, attempt, instance, session, backend, version, leased_at) VALUES (?,?,?,?,?,?,?,?)',
    ),
    end: sql(
      `UPDATE jobs SET state = ?, version = version + 1, attempts = attempts + ?, lost = lost + ?,
       run_at = coalesce(?, run_at), finished_at = ?, started_at = coalesce(started_at, ?), error = ?,
       progress = coalesce(?, progress) WHERE id = ? AND token = ? AND state IN (${LEASED}, ${CANCELLING}) RETURNING seq`,
    ),
    endAttempt: sql(
      `UPDATE attempts SET finished_at = ?, started_at = coalesce(started_at, ?), outcome = ?, refusal = ?, error = ?
       WHERE seq = ? AND token = ?`,
    ),
    result: sql('INSERT OR REPLACE INTO results(seq, kind, value) VALUES (?,?,?)'),
    started: sql(
      `UPDATE jobs SET started_at = coalesce(started_at, ?) WHERE id = ? AND token = ?
       AND state IN (${LEASED}, ${CANCELLING}) RETURNING seq`,
    ),
    startAttempt: sql('UPDATE attempts SET started_at = coalesce(started_at, ?) WHERE seq = ? AND token = ?'),
    progress: sql(`UPDATE jobs SET progress = ? WHERE id = ? AND token = ? AND state IN (${LEASED}, ${CANCELLING})`),
    logBytes: sql(
      'SELECT a.seq, a.log_bytes FROM jobs j JOIN attempts a ON a.seq = j.seq WHERE j.id = ? AND a.token = ?',
    ),
    addLogBytes: sql('UPDATE attempts SET log_bytes = ? WHERE seq = ? AND token = ?'),
    log: sql('INSERT OR IGNORE INTO logs(seq, token, n, stream, text, at) VALUES (?,?,?,?,?,?)'),
    session: sql('INSERT OR REPLACE INTO sessions(session, row) VALUES (?,?)'),
    sessionEnd: sql('DELETE FROM sessions WHERE session = ?'),
  }
}
