// postgres.ts — a real PostgreSQL for tests: a cluster in a temporary directory, on a unix socket, as user `postgres`
// (it refuses to run as root). Settings are those of production: fsync on, synchronous_commit on.
//
// `noPostgres` says why there can be none; tests that need one carry the reason in their name.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { knownMigrations, migrate } from '../../scheduler/store/postgres/migrate.ts'

interface Owner {
  readonly uid?: number
  readonly gid?: number
}

/** Name of the superuser; connections are trusted. */
const USER = 'postgres'
const READY_MS = 30_000

const bin = binaries()
const owner = ownerOf()
export const noPostgres: string | undefined =
  bin === undefined
    ? 'no PostgreSQL binaries on this machine'
    : owner === undefined
      ? 'root without a user `postgres` to run PostgreSQL as'
      : undefined

export interface Postgres {
  /** A new database, migrated unless told otherwise; its URL. */
  database(options?: { readonly migrated?: boolean }): Promise<string>
  /** `pg_ctl stop -m immediate`: as a crash. */
  crash(): Promise<void>
  start(settings?: readonly string[]): Promise<void>
  readonly socketDir: string
  readonly pid: number
  /** Ends it and removes its directory. */
  close(): Promise<void>
}

export async function startPostgres(): Promise<Postgres> {
  if (noPostgres !== undefined) throw new Error(noPostgres)
  const dir = mkdtempSync(join(tmpdir(), 'fl-pg-'))
  if (owner!.uid !== undefined) chownSync(dir, owner!.uid, owner!.gid!)
  const data = join(dir, 'data')
  const flags = ['-D', data, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync', '--no-instructions']
  execFileSync(join(bin!, 'initdb'), flags, { ...owner, cwd: dir, stdio: 'pipe' })
  const server = new Server(dir, data)
  await server.start()
  return server
}

class Server implements Postgres {
  readonly socketDir: string
  readonly #data: string
  #child: ChildProcess | undefined
  #databases = 0

  constructor(socketDir: string, data: string) {
    this.socketDir = socketDir
    this.#data = data
  }

  get pid(): number {
    return this.#child!.pid!
  }

  async start(settings: readonly string[] = []): Promise<void> {
    const flags = ['-D', this.#data, '-k', this.socketDir, '-h', '', '-p', '5432', '-c', 'max_connections=200']
    const more = settings.flatMap((setting) => ['-c', setting])
    const stdio = ['ignore', 'ignore', 'ignore'] as const
    this.#child = spawn(join(bin!, 'postgres'), [...flags, ...more], {
      ...owner,
      cwd: this.socketDir,
      stdio: [...stdio],
    })
    const end = performance.now() + READY_MS
    for (;;) {
      if (await this.#answers()) return
      if (performance.now() > end || this.#child.exitCode !== null) throw new Error('PostgreSQL did not start')
      await delay(50)
    }
  }

  async crash(): Promise<void> {
    await this.#end('SIGQUIT')
  }

  async database({ migrated = true } = {}): Promise<string> {
    const name = `t${++this.#databases}`
    await this.#as('postgres', (client) => client.query(`CREATE DATABASE ${name}`))
    if (migrated) await this.#as(name, (client) => migrate(client, knownMigrations()))
    return this.#url(name)
  }

  async close(): Promise<void> {
    await this.#end('SIGQUIT')
    rmSync(this.socketDir, { recursive: true, force: true })
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  #url(database: string): string {
    return `postgresql:///${database}?host=${encodeURIComponent(this.socketDir)}&user=${USER}`
  }

  async #answers(): Promise<boolean> {
    return this.#as('postgres', (client) => client.query('SELECT 1')).then(
      () => true,
      () => false,
    )
  }

  async #as(database: string, run: (client: pg.Client) => Promise<unknown>): Promise<void> {
    const client = new pg.Client({ connectionString: this.#url(database) })
    client.on('error', () => undefined)
    try {
      await client.connect()
      await run(client)
    } finally {
      await client.end().catch(() => undefined)
    }
  }
}

function binaries(): string | undefined {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const places = [...versions.map((version) => join(debian, version, 'bin')), ...(process.env['PATH'] ?? '').split(':')]
  return places.find((place) => existsSync(join(place, 'initdb')) && existsSync(join(place, 'postgres')))
}

function ownerOf(): Owner | undefined {
  if (process.getuid?.() !== 0) return {}
  try {
    const id = (flag: string): number => Number(execFileSync('id', [flag, USER], { stdio: 'pipe' }).toString())
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    return undefined
  }
}
