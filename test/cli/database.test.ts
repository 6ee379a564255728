// `fairlead db …` and `up --database`: as a user runs them, on a real PostgreSQL.

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { EXIT } from '../../cli/exit.ts'
import { systemClock } from '../../kernel/clock.ts'
import { createLog } from '../../kernel/log.ts'
import { systemRandom } from '../../kernel/random.ts'
import type { Change } from '../../scheduler/store/contract.ts'
import { startPostgresStore } from '../../scheduler/store/postgres/store.ts'
import { startSqliteStore } from '../../scheduler/store/sqlite/store.ts'
import { at, attemptRow, insert, sessionRow } from '../scheduler/rows.ts'
import { startUp, tempDir } from '../support/fairlead.ts'
import { noPostgres, type Postgres, startPostgres } from '../support/postgres.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const MAIN = join(ROOT, 'cli/main.ts')

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

function fairlead(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const { DATABASE_URL: _, ...rest } = process.env
  return new Promise((done) => {
    execFile(process.execPath, [MAIN, ...args], { env: { ...rest, NO_COLOR: '1', ...env } }, (error, out, err) =>
      done({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    )
  })
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url)
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

const rowsOf = async (url: string): Promise<number> =>
  Number((await query(url, 'SELECT count(*) AS n FROM fairlead.jobs'))[0]!['n'])

const parts = {
  clock: systemClock,
  random: systemRandom,
  log: createLog({ process: 'test', level: 'silent' }),
  onFatal: (error: Error): void => {
    throw error
  },
}

/** Jobs in many states, with everything that a store keeps. */
const CONTENTS: readonly Change[] = [
  insert({ id: 'plain', seq: 1 }),
  insert(
    { id: 'json', seq: 2, labels: { team: 'ä"\\', 'odd\u0000': '\u0001' } },
    { payloadKind: 'json', payload: '{"a":1}', env: { A: 'b' } },
  ),
  insert({ id: 'big', seq: 3 }, { payloadKind: 'json', payload: JSON.stringify('☃'.repeat(5_000)), env: {} }),
  insert(
    { id: 'bytes', seq: 4 },
    { payloadKind: 'bytes', payload: Uint8Array.from({ length: 9_000 }, (_, i) => i % 256), env: {} },
  ),
  insert({ id: 'keyed', seq: 5, idempotencyKey: 'k', orderingKey: 'o' }, undefined, 'hash'),
  { t: 'lease', attempt: attemptRow('plain', 7n) },
  { t: 'started', job: 'plain', token: 7n, at: at(3_000) },
  { t: 'log', job: 'plain', token: 7n, seq: 0, stream: 'stdout', text: 'hello\nworld', at: at(3_100) },
  {
    t: 'end',
    job: 'plain',
    token: 7n,
    outcome: 'succeeded',
    to: 'succeeded',
    at: at(4_000),
    startedAt: at(3_000),
    charge: true,
    result: '{"n":1}',
  },
  { t: 'lease', attempt: attemptRow('json', 8n) },
  { t: 'progress', job: 'json', token: 8n, pct: 33.5 },
  { t: 'session', row: sessionRow() },
]

async function embedded(changes: readonly Change[]): Promise<string> {
  const dir = tempDir('copy', onTestFinished)
  const store = await startSqliteStore({ dir, onFatal: parts.onFatal })
  await store.commit(changes)
  await store.close()
  return dir
}

describe.skipIf(noPostgres)(`postgres${noPostgres ? ` (skipped: ${noPostgres})` : ''}`, { timeout: 60_000 }, () => {
  let server: Postgres
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server?.close())

  test('db migrate and status: make the schema once, say what is there, print no password', async () => {
    const url = await server.database({ migrated: false })
    const before = await fairlead(['db', 'status', '--database', url])
    expect([before.code, before.out]).toEqual([EXIT.negative, expect.stringContaining('Schema 0 of 1; run')])
    const first = await fairlead(['db', 'migrate', '--json'], { DATABASE_URL: url })
    expect([first.code, JSON.parse(first.out)]).toEqual([0, { applied: [{ version: 1, name: 'jobs' }], version: 1 }])
    expect((await fairlead(['db', 'migrate', '--database', url])).out).toBe('Schema 1: nothing to do.\n')
    const status = await fairlead(['db', 'status', '--database', url, '--json'])
    expect(JSON.parse(status.out)).toMatchObject({ schema: 1, needed: 1, pending: [], sessions: [] })
    expect(status.code).toBe(0)
  })

  test.each([
    ['no address', [], 'DATABASE_URL is not set'],
    ['another scheme', ['--database', 'mysql://u:secret@h/d'], 'expected postgresql://'],
    ['nothing listening', ['--database', 'postgresql://u:secret@127.0.0.1:9/d'], 'STORE_UNAVAILABLE'],
  ])('db migrate: refused without repeating the password when there is %s', async (_name, flags, said) => {
    const ran = await fairlead(['db', 'migrate', ...flags])
    expect([ran.code, ran.err]).toEqual([EXIT.negative, expect.stringContaining(said)])
    expect(ran.out + ran.err).not.toContain('secret')
  })

  test('db copy: brings every row, and the jobs go on there', async () => {
    const dir = await embedded(CONTENTS)
    const url = await server.database()
    const ran = await fairlead(['db', 'copy', '--from', dir, '--database', url, '--json'])
    expect(ran.err).toBe('')
    const { tables } = JSON.parse(ran.out) as { tables: Record<string, { rows: number }> }
    expect(Object.fromEntries(Object.entries(tables).map(([name, { rows }]) => [name, rows]))).toEqual({
      ...{ jobs: 5, bodies: 3, results: 1, labels: 2, idempotency: 1, attempts: 2, logs: 1, sessions: 1 },
    })
    const from = await startSqliteStore({ dir, onFatal: parts.onFatal })
    onTestFinished(() => from.close())
    const to = await startPostgresStore({ ...parts, url })
    onTestFinished(() => to.close())
    const ids = ['plain', 'json', 'big', 'bytes', 'keyed']
    expect(await to.rowsOf(ids)).toEqual(await from.rowsOf(ids))
    for (const id of ids) {
      expect(await to.get('default', id)).toEqual(await from.get('default', id))
      expect(await to.attempts('default', id)).toEqual(await from.attempts('default', id))
      expect(await to.logs('default', id, 0, 9)).toEqual(await from.logs('default', id, 0, 9))
    }
    expect(await to.summary('default')).toEqual(await from.summary('default'))
    expect([await to.highest(), await to.loadRunning(), await to.loadSessions()]).toEqual([
      ...[await from.highest(), await from.loadRunning(), await from.loadSessions()],
    ])
    const more = await to.commit([
      insert({ id: 'again', seq: 6, idempotencyKey: 'k' }, undefined, 'hash'),
      { t: 'log', job: 'json', token: 8n, seq: 0, stream: 'stdout', text: 'more', at: at(9_000) },
      {
        t: 'end',
        job: 'json',
        token: 8n,
        outcome: 'succeeded',
        to: 'succeeded',
        at: at(9_000),
        startedAt: null,
        charge: true,
      },
    ])
    expect(more).toEqual([{ ok: true, existing: { id: 'keyed', state: 'ready' } }, { ok: true }, { ok: true }])
  })

  test('db copy: refuses a target with rows, a target with a scheduler, and a source in use; and writes nothing', async () => {
    const dir = await embedded([insert({ id: 'a' })])
    const url = await server.database()
    const store = await startPostgresStore({ ...parts, url })
    const copy = (): Promise<Ran> => fairlead(['db', 'copy', '--from', dir, '--database', url])
    expect((await copy()).err).toContain('STORE_LOCKED: A scheduler runs on the target')
    await store.commit([insert({ id: 'other' })])
    await store.close()
    expect((await copy()).err).toContain('DATABASE_NOT_EMPTY')
    expect(await rowsOf(url)).toBe(1)
    const empty = await server.database()
    const source = await startSqliteStore({ dir, onFatal: parts.onFatal })
    onTestFinished(() => source.close())
    expect((await fairlead(['db', 'copy', '--from', dir, '--database', empty])).err).toContain('STORE_LOCKED')
    expect((await fairlead(['db', 'copy', '--from', `${dir}/none`, '--database', empty])).err).toContain('no job store')
    expect(await rowsOf(empty)).toBe(0)
  })

  test('db copy: leaves nothing when what arrived is not what was sent', async () => {
    const dir = await embedded(CONTENTS)
    const url = await server.database()
    await query(
      url,
      `CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.text := ''other''; RETURN NEW; END';
       CREATE TRIGGER spoil BEFORE INSERT ON fairlead.logs FOR EACH ROW EXECUTE FUNCTION public.spoil()`,
    )
    const ran = await fairlead(['db', 'copy', '--from', dir, '--database', url])
    expect([ran.code, ran.err]).toEqual([EXIT.negative, expect.stringContaining('logs: 1 of 1 rows arrived, checksum')])
    expect(await rowsOf(url)).toBe(0)
  })

  test('up: refuses a database without schema before it starts anything, and says what to run', async () => {
    const url = await server.database({ migrated: false })
    const dataDir = join(tempDir('up', onTestFinished), 'data')
    const ran = await fairlead(['up', '--port-base', '0', '--data-dir', dataDir, '--database', url])
    expect(ran.code).toBe(EXIT.negative)
    expect(ran.err).toContain('SCHEMA_NOT_READY: The database has no schema of Fairlead')
    expect(ran.err).toContain('fairlead db migrate --database URL')
    expect(existsSync(join(dataDir, 'logs'))).toBe(false)
  })

  test('up --demo --exit: the audit succeeds on it, and its jobs stand there', { timeout: 150_000 }, async () => {
    const url = await server.database()
    const root = join(tempDir('tree', onTestFinished), 'node_modules')
    for (let i = 0; i < 40; i++) {
      mkdirSync(join(root, `p${i}`), { recursive: true })
      writeFileSync(
        join(root, `p${i}`, 'package.json'),
        JSON.stringify({ name: `p${i}`, version: '1.0.0', license: 'MIT' }),
      )
    }
    const flags = ['--exit', '--port-base', '0', '--dir', root, '--database', 'env']
    const up = startUp(flags, { later: onTestFinished, env: { DATABASE_URL: url } })
    expect(await up.exited, up.output()).toBe(EXIT.ok)
    expect(up.report()).toMatchObject({ jobs: 40, succeeded: 40, failed: 0, lost: 0, executions: 40 })
    expect(await query(url, 'SELECT state, count(*)::int AS n FROM fairlead.jobs GROUP BY state')).toEqual([
      { state: 5, n: 40 },
    ])
    expect(await query(url, 'SELECT FROM fairlead.scheduler_session')).toEqual([])
    expect(existsSync(join(up.dataDir, 'scheduler', 'jobs.db'))).toBe(false)
  })
})
