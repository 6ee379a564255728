// status.ts — what `fairlead db status` tells: settings, migrations, who leads, how much there is. Reads only.

import type pg from 'pg'
import { appliedMigrations, knownMigrations, pendingMigrations } from './migrate.ts'
import { SESSION_TTL_MS } from './session.ts'

export interface DatabaseStatus {
  readonly server: string
  readonly settings: Readonly<Record<string, string>>
  readonly schema: number
  readonly needed: number
  readonly pending: readonly string[]
  readonly sessions: readonly { readonly id: string; readonly shards: number; readonly leftMs: number }[]
  readonly sessionTtlMs: number
  /** By the statistics of the last ANALYZE: near enough, and quick at any depth. */
  readonly jobsAbout: number
  readonly bytes: number
}

export async function databaseStatus(client: pg.Client): Promise<DatabaseStatus> {
  const applied = await appliedMigrations(client)
  const { rows } = await client.query<Record<string, string>>(
    `SELECT current_setting('server_version') AS server, current_setting('fsync') AS fsync,
     current_setting('synchronous_commit') AS synchronous_commit, current_setting('full_page_writes') AS full_page_writes`,
  )
  const { server, ...settings } = rows[0]! as Record<string, string> & { server: string }
  return {
    server,
    settings,
    schema: applied.at(-1)?.version ?? 0,
    needed: knownMigrations().at(-1)!.version,
    pending: pendingMigrations(applied).map(({ version, name }) => `${version} ${name}`),
    sessionTtlMs: SESSION_TTL_MS,
    ...(applied.length > 0 ? await contents(client) : { sessions: [], jobsAbout: 0, bytes: 0 }),
  }
}

async function contents(client: pg.Client): Promise<Pick<DatabaseStatus, 'sessions' | 'jobsAbout' | 'bytes'>> {
  const sessions = await client.query<DatabaseStatus['sessions'][number]>(
    `SELECT s.id, count(h.id)::int AS shards,
       round(extract(epoch FROM s.expires - clock_timestamp()) * 1000)::float8 AS "leftMs"
     FROM fairlead.scheduler_session s LEFT JOIN fairlead.shard h ON h.owner_session = s.id GROUP BY s.id ORDER BY s.id`,
  )
  const sizes = await client.query<{ jobs: number; bytes: number }>(
    `SELECT (SELECT greatest(reltuples, 0)::float8 FROM pg_class WHERE oid = 'fairlead.jobs'::regclass) AS jobs,
     (SELECT sum(pg_total_relation_size(oid))::float8 FROM pg_class
      WHERE relnamespace = 'fairlead'::regnamespace AND relkind = 'r') AS bytes`,
  )
  return { sessions: sessions.rows, jobsAbout: sizes.rows[0]!.jobs, bytes: sizes.rows[0]!.bytes }
}
