// db.ts — `fairlead db migrate|status|copy`: the scheduler's own code, run by path as a child (we may not import it).
//
// The URL travels in the environment, not on a command line that others can read; it is never printed.

import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { type ErrorCode, FairleadError } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { type DbCopy, type DbStatus, parseDbCopy, parseDbMigrate, parseDbStatus } from './contract.ts'
import { EXIT } from './exit.ts'
import { DATA_DIR_DEFAULT } from './up/data-dir.ts'

const MAIN = join(resolve(import.meta.dirname, '..'), 'scheduler', 'store', 'db-main.ts')

export interface DbFlags {
  /** A URL, or `env`. */
  readonly database: string
}

export interface CopyFlags extends DbFlags {
  readonly from?: string
}

export async function dbMigrate(context: Context, flags: DbFlags): Promise<number> {
  const done = parseDbMigrate(await ask(context, flags, ['migrate']))
  if (context.json) context.terminal.json(done)
  else if (done.applied.length === 0) context.terminal.say(`Schema ${done.version}: nothing to do.`)
  else for (const { version, name } of done.applied) context.terminal.say(`Applied ${version} ${name}.`)
  return EXIT.ok
}

/** Exit 1 when migrations are missing. */
export async function dbStatus(context: Context, flags: DbFlags): Promise<number> {
  const status = parseDbStatus(await ask(context, flags, ['status']))
  if (context.json) context.terminal.json(status)
  else for (const line of statusLines(status)) context.terminal.say(line)
  return status.pending.length === 0 ? EXIT.ok : EXIT.negative
}

export async function dbCopy(context: Context, flags: CopyFlags): Promise<number> {
  const from = flags.from ?? join(context.dataDir ?? DATA_DIR_DEFAULT, 'scheduler')
  const copied = parseDbCopy(await ask(context, flags, ['copy', '--from', resolve(from)]))
  if (context.json) context.terminal.json(copied)
  else for (const line of copyLines(copied)) context.terminal.say(line)
  return EXIT.ok
}

/** `env` or a URL → URL. @throws INVALID_INPUT */
export function databaseUrl(flag: string, env: Context['env']): string {
  const url = flag === 'env' ? env['DATABASE_URL'] : flag
  if (!url) throw new FairleadError('INVALID_INPUT', '--database env: DATABASE_URL is not set.')
  return url
}

/** Can a scheduler start on it? @throws what the scheduler would say */
export async function assertDatabase(context: Context, database: string): Promise<void> {
  await ask(context, { database }, ['check'])
}

async function ask(context: Context, flags: DbFlags, args: readonly string[]): Promise<unknown> {
  const env = { ...context.env, DATABASE_URL: databaseUrl(flags.database, context.env) }
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'inherit'], env })
  const answer: unknown = JSON.parse(await text(child.stdout))
  const { error } = answer as { error?: { code: ErrorCode; message: string } }
  if (error) throw new FairleadError(error.code, error.message)
  return answer
}

function statusLines(status: DbStatus): string[] {
  const settings = Object.entries(status.settings).map(([name, value]) => `${name}=${value}`)
  return [
    `PostgreSQL ${status.server}, ${settings.join(', ')}`,
    `Schema ${status.schema} of ${status.needed}${status.pending.length > 0 ? '; run `fairlead db migrate`' : ''}`,
    `About ${status.jobsAbout} jobs, ${(status.bytes / 1024 / 1024).toFixed(1)} MiB`,
    ...status.sessions.map(({ id, shards, leftMs }) =>
      leftMs > 0 ? `Scheduler ${id} leads ${shards} shards` : `Scheduler ${id} is gone (${shards} shards to take)`,
    ),
  ]
}

function copyLines({ tables }: DbCopy): string[] {
  const rows = Object.entries(tables).map(
    ([name, { rows, checksum }]) => `${name.padEnd(12)} ${String(rows).padStart(9)} rows  ${checksum.slice(0, 16)}`,
  )
  return [...rows, 'Counts and checksums are equal on both sides.']
}
