// The embedded engine: conformance, and what only it promises (one process, schema version, death of a thread).

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { FairleadError } from '../../../kernel/errors.ts'
import type { ThreadClient } from '../../../scheduler/store/sqlite/client.ts'
import { OUTCOME_CODE, STATE_CODE } from '../../../scheduler/store/sqlite/schema.ts'
import { startSqliteStore } from '../../../scheduler/store/sqlite/store.ts'
import { insert } from '../rows.ts'
import { conformance } from '../store-conformance.ts'

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-store-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const onFatal = (error: FairleadError): void => {
  throw error
}

/** The writer thread dies when it has committed and before anybody heard of it. */
const fault = vi.hoisted(() => ({ loseNext: false }))
vi.mock('../../../scheduler/store/sqlite/client.ts', async (original) => {
  const real = await original<typeof import('../../../scheduler/store/sqlite/client.ts')>()
  const losing = (client: ThreadClient): ThreadClient => ({
    async call<T>(op: string, ...args: readonly unknown[]): Promise<T> {
      const value = await client.call<T>(op, ...args)
      if (op !== 'apply' || !fault.loseNext) return value
      fault.loseNext = false
      await client.kill()
      return client.call<T>(op, ...args)
    },
    kill: () => client.kill(),
    close: () => client.close(),
  })
  return {
    ...real,
    startThread: async (...args: Parameters<typeof real.startThread>) => losing(await real.startThread(...args)),
  }
})

conformance('sqlite', async () => {
  const dir = tempDir()
  return {
    open: () => startSqliteStore({ dir, onFatal }),
    openLosing: async (told) => ({
      store: await startSqliteStore({ dir, onFatal: told }),
      lose: () => {
        fault.loseNext = true
      },
    }),
  }
})

test('sqlite: STORE_LOCKED with the pid when the directory is in use', async () => {
  const dir = tempDir()
  const store = await startSqliteStore({ dir, onFatal })
  onTestFinished(() => store.close())
  await expect(startSqliteStore({ dir, onFatal })).rejects.toMatchObject({
    code: 'STORE_LOCKED',
    message: expect.stringContaining(String(process.pid)),
  })
  await store.close()
  const next = await startSqliteStore({ dir, onFatal })
  await next.close()
})

test('sqlite: SCHEMA_TOO_NEW when a newer build wrote the file', async () => {
  const dir = tempDir()
  await (await startSqliteStore({ dir, onFatal })).close()
  const db = new DatabaseSync(join(dir, 'jobs.db'))
  db.exec('PRAGMA user_version = 99')
  db.close()
  await expect(startSqliteStore({ dir, onFatal })).rejects.toMatchObject({ code: 'SCHEMA_TOO_NEW' })
  // The refusal released the lock.
  await expect(startSqliteStore({ dir, onFatal })).rejects.toMatchObject({ code: 'SCHEMA_TOO_NEW' })
})

test('sqlite: a transaction that the engine refuses leaves nothing, and later commits stand', async () => {
  const dir = tempDir()
  const store = await startSqliteStore({ dir, onFatal })
  onTestFinished(() => store.close())
  await store.commit([insert({ id: 'a', seq: 10 })])
  // Two rows with one seq: the engine refuses the second, so the transaction falls as a whole.
  await expect(store.commit([insert({ id: 'b', seq: 11 }), insert({ id: 'c', seq: 11 })])).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    log: { unknown: false },
  })
  expect(await store.rowsOf(['b', 'c'])).toEqual([])
  expect(await store.commit([insert({ id: 'd', seq: 12 })])).toEqual([{ ok: true }])
})

test('sqlite: a closed store refuses commits', async () => {
  const store = await startSqliteStore({ dir: tempDir(), onFatal })
  await store.close()
  await store.close()
  await expect(store.commit([insert()])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
})

test('sqlite: codes stay what they were written as', () => {
  expect(STATE_CODE).toEqual({
    blocked: 0,
    deferred: 1,
    ready: 2,
    leased: 3,
    cancelling: 4,
    succeeded: 5,
    failed: 6,
    cancelled: 7,
    timedOut: 8,
    expired: 9,
    deadLettered: 10,
    skipped: 11,
  })
  expect(Object.values(OUTCOME_CODE)).toEqual([0, 1, 2, 3, 4, 5, 6])
})

test('sqlite: the database file is in WAL mode once a commit was made', async () => {
  const dir = tempDir()
  const store = await startSqliteStore({ dir, onFatal })
  onTestFinished(() => store.close())
  await store.commit([insert()])
  const header = readFileSync(join(dir, 'jobs.db')).subarray(18, 20)
  expect([...header]).toEqual([2, 2]) // WAL, in the file format itself
})
