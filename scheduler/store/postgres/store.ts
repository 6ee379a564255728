// store.ts — the job store in PostgreSQL: every scheduler of a database may start, one leads (session.ts).
//
// Connections: one that writes, one that renews the session, two for the leader's reads, four for users' questions, so
// that a long report delays neither commits nor dispatch. The schema is made by `fairlead db migrate` only.

import type { Clock } from '../../../kernel/clock.ts'
import type { FairleadError } from '../../../kernel/errors.ts'
import { Lifetime } from '../../../kernel/lifetime.ts'
import type { Log } from '../../../kernel/log.ts'
import type { Random } from '../../../kernel/random.ts'
import type { JobRow, JobStore } from '../contract.ts'
import { GroupCommit } from '../group-commit.ts'
import { assertDurable, connect, failure, openPool, sqlstate } from './connection.ts'
import { assertSchema } from './migrate.ts'
import { Reader } from './reader.ts'
import { startSession } from './session.ts'
import { Writer } from './writer.ts'

export interface PostgresOptions {
  readonly url: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** The lead is lost or a commit's outcome is unknown: the process must restart and rebuild from rows. */
  readonly onFatal: (error: FairleadError) => void
  /** Told when a transaction starts with how many changes; returns what to call at its end. */
  readonly onCommit?: (changes: number) => () => void
  /** Gives up waiting for the lead. */
  readonly signal?: AbortSignal
}

const LEADER_CONNECTIONS = 2
const USER_CONNECTIONS = 4
const PAGE_ROWS = 5_000

/** Resolves when this process leads. @throws SCHEMA_NOT_READY, SCHEMA_TOO_NEW, STORE_UNSAFE, STORE_UNAVAILABLE */
export async function startPostgresStore(options: PostgresOptions): Promise<JobStore> {
  const { url, log, onFatal } = options
  await assertUsable(url)
  const life = new Lifetime()
  try {
    const session = life.own(await startSession({ ...options, onLost: onFatal }))
    const pool = (name: string, max: number, probesOnly: boolean): Reader => {
      const opened = openPool({ url, name, max, log, probesOnly })
      life.onClose(() => opened.end())
      return new Reader(opened)
    }
    const leaderReads = pool('leader', LEADER_CONNECTIONS, true)
    const userReads = pool('users', USER_CONNECTIONS, false)
    const writer = life.own(new Writer(url, session))
    const commits = new GroupCommit(writer, options.onCommit)
    life.onClose(() => commits.idle())
    return storeOf(life, commits, leaderReads, userReads)
  } catch (error) {
    await life.close()
    throw sqlstate(error) === undefined ? error : failure(error)
  }
}

async function assertUsable(url: string): Promise<void> {
  const client = await connect(url, 'check')
  try {
    await assertDurable(client)
    await assertSchema(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}

function storeOf(life: Lifetime, commits: GroupCommit, leaderReads: Reader, userReads: Reader): JobStore {
  return {
    commit: (changes) => commits.commit(changes),
    loadPending: (page) => loadPending(leaderReads, page),
    loadRunning: () => leaderReads.running(),
    loadSessions: () => leaderReads.sessions(),
    highest: () => leaderReads.highest(),
    bodyOf: (jobs) => leaderReads.bodies(jobs),
    rowsOf: (jobs) => leaderReads.rows(jobs),
    get: (tenant, id) => userReads.get(tenant, id),
    attempts: (tenant, id) => userReads.attempts(tenant, id),
    logs: (tenant, id, after, limit) => userReads.logs(tenant, id, after, limit),
    list: (query) => userReads.list(query),
    summary: (tenant, label) => userReads.summary(tenant, label),
    close: () => life.close(),
  }
}

async function loadPending(reads: Reader, page: (rows: readonly JobRow[]) => void): Promise<void> {
  let after = -1
  for (;;) {
    const rows = await reads.pending(after, PAGE_ROWS)
    if (rows.length > 0) page(rows)
    if (rows.length < PAGE_ROWS) return
    after = rows[rows.length - 1]!.seq
  }
}
