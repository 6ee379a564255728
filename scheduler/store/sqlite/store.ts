// store.ts — the embedded job store: SQLite in WAL mode with synchronous=FULL, one data directory, one process.
//
// Threads: one that writes, one that the leader reads with (bodies, recovery), one for users' questions, so a long
// report delays neither commits nor dispatch. Measured against PostgreSQL in reference figures: docs/decisions.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { FairleadError } from '../../../kernel/errors.ts'
import { Lifetime } from '../../../kernel/lifetime.ts'
import { LOG_BYTES_MAX } from '../../../workers/contract.ts'
import type { Change, ChangeResult, JobRow, JobStore, ListQuery } from '../contract.ts'
import { GroupCommit } from '../group-commit.ts'
import { startThread, type ThreadClient } from './client.ts'
import { type Cell, encode } from './codec.ts'
import { lockDir } from './lock.ts'
import type { ThreadData } from './wire.ts'
import type { Applied } from './writer.ts'

export interface SqliteOptions {
  readonly dir: string
  /** A thread died or a COMMIT's outcome is unknown: the process must restart and rebuild from rows. */
  readonly onFatal: (error: FairleadError) => void
  /** Told when a transaction starts with how many changes; returns what to call at its end. */
  readonly onCommit?: (changes: number) => () => void
}

const PAGE_ROWS = 5_000

/** @throws FairleadError STORE_LOCKED, SCHEMA_TOO_NEW, STORE_UNAVAILABLE */
export async function startSqliteStore(options: SqliteOptions): Promise<JobStore> {
  mkdirSync(options.dir, { recursive: true, mode: 0o700 })
  const life = new Lifetime()
  try {
    const lock = lockDir(options.dir)
    life.onClose(() => lock.release())
    const file = join(options.dir, 'jobs.db')
    const start = (role: ThreadData['role']): Promise<ThreadClient> =>
      startThread({ role, file, logBytesMax: LOG_BYTES_MAX }, options.onFatal)
    const writer = life.own(await start('write'))
    const readers = await Promise.all([start('read'), start('read')])
    const [leaderReads, userReads] = readers.map((reader) => life.own(reader)) as [ThreadClient, ThreadClient]
    return sqliteStore(life, writer, leaderReads, userReads, options)
  } catch (error) {
    await life.close()
    throw error
  }
}

function sqliteStore(
  life: Lifetime,
  writer: ThreadClient,
  leaderReads: ThreadClient,
  userReads: ThreadClient,
  options: SqliteOptions,
): JobStore {
  const commits = new GroupCommit({ apply: (calls) => apply(writer, calls, options.onFatal) }, options.onCommit)
  life.onClose(() => commits.idle())
  return {
    commit: (changes) => commits.commit(changes),
    loadPending: (page) => loadPending(leaderReads, page),
    loadRunning: () => leaderReads.call('running'),
    loadSessions: () => leaderReads.call('sessions'),
    highest: () => leaderReads.call('highest'),
    bodyOf: (jobs) => leaderReads.call('bodies', jobs),
    rowsOf: (jobs) => leaderReads.call('rows', jobs),
    get: (tenant, id) => userReads.call('get', tenant, id),
    attempts: (tenant, id) => userReads.call('attempts', tenant, id),
    logs: (tenant, id, after, limit) => userReads.call('logs', tenant, id, after, limit),
    list: (query: ListQuery) => userReads.call('list', query),
    summary: (tenant, label) => userReads.call('summary', tenant, label),
    close: () => life.close(),
  }
}

async function apply(
  writer: ThreadClient,
  calls: readonly (readonly Change[])[],
  onFatal: (error: FairleadError) => void,
): Promise<readonly (readonly [number, ChangeResult])[]> {
  const cells: Cell[] = []
  for (const changes of calls) encode(changes, cells)
  try {
    return (await writer.call<Applied>('apply', cells)).special
  } catch (error) {
    const failure = error as FairleadError
    if (failure.log['unknown'] === true) onFatal(failure)
    throw error
  }
}

async function loadPending(reads: ThreadClient, page: (rows: readonly JobRow[]) => void): Promise<void> {
  let after = -1
  for (;;) {
    const rows = await reads.call<readonly JobRow[]>('pending', after, PAGE_ROWS)
    if (rows.length > 0) page(rows)
    if (rows.length < PAGE_ROWS) return
    after = rows[rows.length - 1]!.seq
  }
}
