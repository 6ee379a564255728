// The PostgreSQL engine: conformance, and what only it promises (schema, settings, fencing, broken connections).

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import type { FairleadError } from '../../../kernel/errors.ts'
import { createLog } from '../../../kernel/log.ts'
import { systemRandom } from '../../../kernel/random.ts'
import type { JobStore } from '../../../scheduler/store/contract.ts'
import { knownMigrations, migrate, pendingMigrations } from '../../../scheduler/store/postgres/migrate.ts'
import { startPostgresStore } from '../../../scheduler/store/postgres/store.ts'
import { startLosingProxy } from '../../support/losing-proxy.ts'
import { noPostgres, type Postgres, startPostgres } from '../../support/postgres.ts'
import { until } from '../../support/until.ts'
import { attemptRow, insert } from '../rows.ts'
import { conformance } from '../store-conformance.ts'

const log = createLog({ process: 'test', level: 'silent' })
const parts = { clock: systemClock, random: systemRandom, log }
const onFatal = (error: FairleadError): void => {
  throw error
}

describe.skipIf(noPostgres)(`postgres${noPostgres ? ` (skipped: ${noPostgres})` : ''}`, () => {
  let server: Postgres
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server?.close())

  const open = async (url: string, told: (error: FairleadError) => void = onFatal): Promise<JobStore> => {
    const store = await startPostgresStore({ ...parts, url, onFatal: told })
    onTestFinished(() => store.close())
    return store
  }
  const sql = async (url: string, text: string): Promise<pg.QueryResult> => {
    const client = new pg.Client(url)
    client.on('error', () => undefined)
    await client.connect()
    try {
      return await client.query(text)
    } finally {
      await client.end()
    }
  }

  conformance('postgres', async () => {
    const url = await server.database()
    return {
      open: () => startPostgresStore({ ...parts, url, onFatal }),
      async openLosing(told) {
        const proxy = await startLosingProxy(server.socketDir)
        onTestFinished(() => proxy.close())
        const store = await startPostgresStore({ ...parts, url: proxy.url(url), onFatal: told })
        return { store, lose: () => proxy.lose() }
      },
    }
  })

  describe('schema', () => {
    test('a database without it is refused, and told what to do', async () => {
      const url = await server.database({ migrated: false })
      await expect(open(url)).rejects.toMatchObject({ code: 'SCHEMA_NOT_READY' })
      expect((await sql(url, `SELECT to_regnamespace('fairlead') AS found`)).rows).toEqual([{ found: null }])
    })

    test('a newer one is refused', async () => {
      const url = await server.database()
      await sql(url, `INSERT INTO fairlead.migration(version, name, checksum) VALUES (99, 'later', 'x')`)
      await expect(open(url)).rejects.toMatchObject({ code: 'SCHEMA_TOO_NEW' })
    })

    test('a migration with another checksum is refused', async () => {
      const url = await server.database()
      await sql(url, `UPDATE fairlead.migration SET checksum = 'x' WHERE version = 1`)
      await expect(open(url)).rejects.toMatchObject({ code: 'SCHEMA_CHANGED' })
    })

    test('another number of shards is refused', async () => {
      const url = await server.database()
      await sql(url, 'DELETE FROM fairlead.shard WHERE id > 31')
      await expect(open(url)).rejects.toMatchObject({ code: 'SCHEMA_CHANGED' })
    })

    test('a migration that fails half way leaves nothing; two migrators at once apply each once', async () => {
      const url = await server.database({ migrated: false })
      const clients = [new pg.Client(url), new pg.Client(url)]
      for (const client of clients) await client.connect()
      onTestFinished(async () => void (await Promise.all(clients.map((client) => client.end()))))
      const bad = { version: 2, name: 'bad', checksum: 'x', sql: 'CREATE TABLE fairlead.half(); SELECT 1 / 0' }
      await expect(migrate(clients[0]!, [...knownMigrations(), bad])).rejects.toThrow('division by zero')
      const { rows } = await clients[0]!.query(`SELECT to_regclass('fairlead.half') AS half`)
      expect(rows).toEqual([{ half: null }])
      const good = { ...bad, sql: 'CREATE TABLE fairlead.whole()' }
      const both = await Promise.all(clients.map((client) => migrate(client, [...knownMigrations(), good])))
      expect(both.map((applied) => applied.length).sort()).toEqual([0, 1])
    })

    test('an older one has its missing migrations named', () => {
      const [first] = knownMigrations()
      const later = { ...first!, version: 2, name: 'later' }
      const applied = [{ ...first!, appliedAt: '' }]
      expect(pendingMigrations(applied, [first!, later])).toEqual([later])
    })
  })

  describe('settings', () => {
    test.each([
      ['synchronous_commit = off', 'STORE_UNSAFE'],
      ['default_transaction_read_only = on', 'STORE_UNAVAILABLE'],
    ])('a database with %s is refused', async (setting, code) => {
      const url = await server.database()
      await sql(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET ${setting}`)
      await expect(open(url)).rejects.toMatchObject({ code })
    })

    test('a server without fsync is refused', { timeout: 60_000 }, async () => {
      const url = await server.database()
      await server.crash()
      await server.start(['fsync=off'])
      await expect(open(url)).rejects.toMatchObject({ code: 'STORE_UNSAFE', message: expect.stringContaining('fsync') })
      await server.crash()
      await server.start()
    })

    test('no server: STORE_UNAVAILABLE, nothing happened', async () => {
      await expect(open('postgresql://nobody@127.0.0.1:9/none')).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        log: { unknown: false },
      })
    })
  })

  describe('lead', () => {
    test('a second store waits and leads at once when the first closes', async () => {
      const url = await server.database()
      const first = await open(url)
      await first.commit([insert({ id: 'a' })])
      let leads = false
      const second = open(url).then((store) => {
        leads = true
        return store
      })
      await until(async () => (await sql(url, 'SELECT FROM fairlead.scheduler_session')).rows.length === 2)
      expect(leads).toBe(false)
      await first.close()
      const closedAt = performance.now()
      expect((await (await second).rowsOf(['a'])).length).toBe(1)
      expect(performance.now() - closedAt).toBeLessThan(2_000)
    })

    test('a leader whose epoch is over is refused, tells it once, and writes nothing', async () => {
      const url = await server.database()
      const told: FairleadError[] = []
      const store = await open(url, (error) => told.push(error))
      await store.commit([insert({ id: 'a' })])
      await sql(url, 'UPDATE fairlead.shard SET epoch = epoch + 1')
      const refused = { code: 'SHARD_UNAVAILABLE', log: { unknown: false } }
      await expect(store.commit([insert({ id: 'b' })])).rejects.toMatchObject(refused)
      await expect(store.commit([{ t: 'lease', attempt: attemptRow('a', 1n) }])).rejects.toMatchObject(refused)
      await expect(store.commit([{ t: 'sessionEnd', session: 's' }])).rejects.toMatchObject(refused)
      await until(() => told.length > 0)
      expect(told).toHaveLength(1)
      expect((await sql(url, 'SELECT id, state FROM fairlead.jobs')).rows).toEqual([{ id: 'a', state: 2 }])
    })

    test('only the shards that a commit writes are held', async () => {
      const url = await server.database()
      const store = await open(url, () => undefined)
      const keyed = insert({ id: 'a', orderingKey: 'k' })
      await store.commit([keyed])
      const [{ shard }] = (await sql(url, 'SELECT shard FROM fairlead.jobs')).rows as [{ shard: number }]
      await sql(url, `UPDATE fairlead.shard SET epoch = epoch + 1 WHERE id <> ${shard} AND id <> 1`)
      // Home shard of the second commit is 1.
      expect(await store.commit([{ t: 'lease', attempt: attemptRow('a', 1n) }])).toEqual([{ ok: true }])
      await expect(store.commit([insert({ id: 'b' })])).rejects.toMatchObject({ code: 'SHARD_UNAVAILABLE' })
    })

    test('a session that another one ended is noticed without a commit', { timeout: 30_000 }, async () => {
      const url = await server.database()
      const told: FairleadError[] = []
      await open(url, (error) => told.push(error))
      await sql(url, 'DELETE FROM fairlead.scheduler_session')
      await until(() => told.length === 1, 10_000)
      expect(told[0]).toMatchObject({ code: 'SHARD_UNAVAILABLE' })
    })
  })

  describe('broken connections', () => {
    test('idle ones are made again', async () => {
      const url = await server.database()
      const store = await open(url)
      await store.commit([insert({ id: 'a' })])
      expect(await store.rowsOf(['a'])).toHaveLength(1)
      await sql(
        url,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name IN ('fairlead writer', 'fairlead leader') AND datname = current_database()`,
      )
      await until(async () => (await store.rowsOf(['a'])).length === 1)
      await until(async () => (await store.commit([insert()]))[0]!.ok)
    })

    test('stop -m immediate under load: everything accepted is there, once', { timeout: 60_000 }, async () => {
      const url = await server.database()
      const told: FairleadError[] = []
      const store = await open(url, (error) => told.push(error))
      const accepted: string[] = []
      let asked = 0
      let over = false
      const submit = async (lane: number): Promise<void> => {
        for (let i = 0; !over; i++) {
          const id = `${lane}-${i}`
          asked++
          await store.commit([insert({ id })]).then(
            () => accepted.push(id),
            () => {
              over = true
            },
          )
        }
      }
      const lanes = Array.from({ length: 16 }, (_, lane) => submit(lane))
      await until(() => accepted.length > 200)
      await server.crash()
      await Promise.all(lanes)
      await server.start()
      await store.close()
      const again = await open(url)
      const found = (await again.rowsOf(accepted)).map(({ id }) => id)
      expect(found).toEqual(accepted)
      const { rows } = await sql(url, 'SELECT count(*)::int AS n FROM fairlead.jobs')
      expect(rows[0].n).toBeGreaterThanOrEqual(accepted.length)
      expect(rows[0].n).toBeLessThanOrEqual(asked)
      expect(told.length).toBeLessThanOrEqual(1)
    })

    test('a commit that the server refuses leaves nothing, and later commits stand', async () => {
      const store = await open(await server.database())
      await store.commit([insert({ id: 'a', seq: 10 })])
      await expect(store.commit([insert({ id: 'b', seq: 11 }), insert({ id: 'c', seq: 11 })])).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        log: { unknown: false },
      })
      expect(await store.rowsOf(['b', 'c'])).toEqual([])
      expect(await store.commit([insert({ id: 'd', seq: 12 })])).toEqual([{ ok: true }])
    })
  })
})
