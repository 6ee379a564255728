// connection.ts — connections to PostgreSQL: how they are made, what they assert, and what their failures mean.
//
// A failure is one of three: the server refused and rolled back (nothing happened), no connection could be made
// (nothing happened), or the connection broke while a statement ran (its outcome is not known).

import pg from 'pg'
import { FairleadError } from '../../../kernel/errors.ts'
import type { Log } from '../../../kernel/log.ts'

const CONNECT_MS_MAX = 5_000
/** A commit that takes longer is given up with unknown outcome. */
export const WRITE_MS_MAX = 15_000
export const READ_MS_MAX = 60_000
const INT8 = 20

const types: pg.CustomTypesConfig = {
  // seq, counts and times are below 2^53; tokens are selected as text.
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as pg.CustomTypesConfig['getTypeParser'],
}

function settings(url: string, name: string, ms: number): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: `fairlead ${name}`,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    keepAlive: true,
    query_timeout: ms,
    idle_in_transaction_session_timeout: 1_000,
    types,
  }
}

export async function connect(url: string, name: string, ms: number = WRITE_MS_MAX): Promise<pg.Client> {
  const client = new pg.Client(settings(url, name, ms))
  // An idle connection that breaks tells it here; the next statement on it fails and says so.
  client.on('error', () => undefined)
  try {
    await client.connect()
    return client
  } catch (cause) {
    void client.end().catch(() => undefined)
    throw new FairleadError('STORE_UNAVAILABLE', 'The database cannot be reached.', {
      cause,
      log: { message: said(cause), unknown: false },
    })
  }
}

export interface PoolOptions {
  readonly url: string
  readonly name: string
  readonly max: number
  readonly log: Log
  /** For lookups by id: index probes even while statistics still say that the tables are small. */
  readonly probesOnly?: boolean
}

const PROBES_ONLY = '-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off'

export function openPool({ url, name, max, log, probesOnly = false }: PoolOptions): pg.Pool {
  const planner = probesOnly ? { options: PROBES_ONLY } : {}
  const pool = new pg.Pool({ ...settings(url, name, READ_MS_MAX), ...planner, max, idleTimeoutMillis: 60_000 })
  pool.on('error', (error) => log.warn({ error: said(error) }, 'an idle database connection broke'))
  return pool
}

/** What a user may see of a failed statement, and for the log whether its outcome is known. */
export function failure(cause: unknown): FairleadError {
  return new FairleadError('STORE_UNAVAILABLE', 'The job store could not do that.', {
    cause,
    log: { message: said(cause), sqlstate: sqlstate(cause), unknown: !rolledBack(cause) },
  })
}

/** The server itself said ERROR: the statement, which was the whole transaction, did not happen. */
function rolledBack(cause: unknown): boolean {
  return cause instanceof pg.DatabaseError && cause.severity === 'ERROR' && cause.code !== '40003'
}

export const sqlstate = (cause: unknown): string | undefined =>
  cause instanceof pg.DatabaseError ? cause.code : undefined
export const said = (cause: unknown): string =>
  cause instanceof AggregateError && cause.message === ''
    ? cause.errors.map(said).join('; ')
    : cause instanceof Error
      ? cause.message
      : String(cause)

/** @throws STORE_UNSAFE when a commit would return before it is on disk, or on a standby */
export async function assertDurable(client: pg.Client): Promise<void> {
  const { rows } = await client.query<Record<string, string>>(
    `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
     current_setting('full_page_writes') AS full_page_writes, pg_is_in_recovery()::text AS standby`,
  )
  const found = rows[0]!
  if (found['standby'] === 'true') throw unsafe('This is a standby; give the address of the primary.')
  for (const name of ['fsync', 'synchronous_commit', 'full_page_writes']) {
    if (found[name] === 'off') throw unsafe(`PostgreSQL runs with ${name} = off.`)
  }
}

const unsafe = (text: string): FairleadError => new FairleadError('STORE_UNSAFE', text)
