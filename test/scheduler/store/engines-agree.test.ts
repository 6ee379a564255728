// Any commits, on both engines: the same answers and the same rows. SQLite applies change by change, PostgreSQL stage by
// stage (plan.ts): this is the proof that the stages mean the same. fast-check prints seed and smallest case.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import { createLog } from '../../../kernel/log.ts'
import { systemRandom } from '../../../kernel/random.ts'
import { ATTEMPT_OUTCOMES, JOB_STATES } from '../../../scheduler/states.ts'
import type { Change, JobStore } from '../../../scheduler/store/contract.ts'
import { startPostgresStore } from '../../../scheduler/store/postgres/store.ts'
import { startSqliteStore } from '../../../scheduler/store/sqlite/store.ts'
import { noPostgres, type Postgres, startPostgres } from '../../support/postgres.ts'
import { at, attemptRow, insert, noBody } from '../rows.ts'

const RUNS = 100
const IDS = ['a', 'b', 'c', 'd'] as const
const onFatal = (error: Error): void => {
  throw error
}

/** A change without its run's prefix; `n` numbers inserts. */
type Draft = (prefix: string, seq: () => number) => Change

const id = fc.constantFrom(...IDS)
const token = fc.integer({ min: 1, max: 6 }).map(BigInt)
const time = fc.integer({ min: 1, max: 9_000 }).map(at)
const state = fc.constantFrom(...JOB_STATES)
const error = fc.constantFrom(undefined, { code: 'X', class: 'transient' as const, message: 'm' })

const single: fc.Arbitrary<Draft> = fc.oneof(
  fc.record({ id, key: fc.constantFrom(null, null, 'k', 'l'), hash: fc.constantFrom('h', 'i'), old: fc.boolean() }).map(
    ({ id, key, hash, old }): Draft =>
      (p, seq) => {
        const createdAt = at(old ? 1_000 : 1_000 + 25 * 3600 * 1000)
        const idempotencyKey = key === null ? null : p + key
        return insert({ id: p + id, seq: seq(), idempotencyKey, createdAt }, noBody, hash)
      },
  ),
  fc
    .record({
      id,
      from: state,
      to: state,
      at: time,
      resetAttempts: fc.boolean(),
      version: fc.option(fc.nat(4), { nil: undefined }),
      error,
    })
    .map(
      ({ id, version, error, ...rest }): Draft =>
        (p) => {
          const extra = { ...(version === undefined ? {} : { version }), ...(error ? { error } : {}) }
          return { t: 'move', job: p + id, ...rest, ...extra }
        },
    ),
  fc.record({ id, token }).map(
    ({ id, token }): Draft =>
      (p) => ({ t: 'lease', attempt: attemptRow(p + id, token) }),
  ),
  fc
    .record({
      ...{ id, token, to: state, at: time, outcome: fc.constantFrom(...ATTEMPT_OUTCOMES), charge: fc.boolean() },
      ...{ startedAt: fc.option(time), result: fc.constantFrom(null, '1', '{"a":2}'), error },
    })
    .map(
      ({ id, error, ...rest }): Draft =>
        (p) => ({ t: 'end', job: p + id, ...rest, error: error ?? null }),
    ),
  fc.record({ id, token, at: time }).map(
    ({ id, ...rest }): Draft =>
      (p) => ({ t: 'started', job: p + id, ...rest }),
  ),
  fc.record({ id, token, pct: fc.nat(100) }).map(
    ({ id, ...rest }): Draft =>
      (p) => ({ t: 'progress', job: p + id, ...rest }),
  ),
  fc.record({ id, token, seq: fc.nat(2), size: fc.constantFrom(1, 200_000), at: time }).map(
    ({ id, size, ...rest }): Draft =>
      (p) => ({ t: 'log', job: p + id, stream: 'stdout', text: 'x'.repeat(size), ...rest }),
  ),
)
/** A run of changes, alone or as one atomic group. */
const piece: fc.Arbitrary<Draft[]> = fc.oneof(
  { weight: 3, arbitrary: fc.array(single, { minLength: 1, maxLength: 4 }) },
  {
    weight: 1,
    arbitrary: fc
      .array(single, { minLength: 1, maxLength: 3 })
      .map((members): Draft[] => [() => ({ t: 'atomic', count: members.length }), ...members]),
  },
)
const commit = fc.array(piece, { minLength: 1, maxLength: 3 }).map((pieces) => pieces.flat())
const start: Draft[] = IDS.slice(0, 2).map((name) => (p, seq) => insert({ id: p + name, seq: seq() }))

describe.skipIf(noPostgres)(`engines${noPostgres ? ` (skipped: ${noPostgres})` : ''}`, () => {
  let server: Postgres
  let stores: readonly [JobStore, JobStore]
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-agree-'))
  beforeAll(async () => {
    server = await startPostgres()
    const parts = { clock: systemClock, random: systemRandom, log: createLog({ process: 'test', level: 'silent' }) }
    const url = await server.database()
    stores = [await startSqliteStore({ dir, onFatal }), await startPostgresStore({ ...parts, url, onFatal })]
  })
  afterAll(async () => {
    for (const store of stores ?? []) await store.close()
    await server?.close()
    rmSync(dir, { recursive: true, force: true })
  })

  test('any commits: give the same answers and rows on both', { timeout: 120_000 }, async () => {
    let runs = 0
    let seq = 0
    const property = fc.asyncProperty(fc.array(commit, { minLength: 1, maxLength: 6 }), async (commits) => {
      const prefix = `${++runs}-`
      for (const drafts of [start, ...commits]) {
        const changes = drafts.map((draft) => draft(prefix, () => ++seq))
        const [sqlite, postgres] = await Promise.all(stores.map((store) => answers(store, changes)))
        expect(postgres).toEqual(sqlite)
      }
      const [sqlite, postgres] = await Promise.all(stores.map((store) => contents(store, prefix)))
      expect(postgres).toEqual(sqlite)
    })
    await fc.assert(property, { numRuns: RUNS })
  })
})

/** An id that is there already fails the commit as a whole: in both alike. */
async function answers(store: JobStore, changes: readonly Change[]): Promise<unknown> {
  return store
    .commit(changes)
    .catch((error: { code?: string; log?: { unknown?: boolean } }) => [error.code, error.log?.unknown])
}

async function contents(store: JobStore, prefix: string): Promise<unknown> {
  const ids = IDS.map((name) => prefix + name)
  const rows = await store.rowsOf(ids)
  const rest = await Promise.all(
    ids.map(async (one) => {
      const logs = await store.logs('default', one, 0, 100)
      const lines = logs.map(({ id: _, ...line }) => line)
      return [await store.get('default', one), await store.attempts('default', one), lines]
    }),
  )
  return { rows, rest }
}
