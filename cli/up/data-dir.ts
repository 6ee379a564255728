// data-dir.ts — the directory that one running Fairlead owns: keys, state, logs, and the lock against a second `up`.
//
// Modes: 0700 for the directory, 0600 for what is secret. The lock is a SQLite file lock: the operating system takes
// it away when the process dies, however it dies, so there is no stale lock to argue about.
// Never: deletes anything of a directory that it did not make (ephemeral ones are its own).

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FairleadError } from '../../kernel/errors.ts'
import { secretToken } from '../../kernel/random.ts'

export const DATA_DIR_DEFAULT = '.fairlead'

/** Where things stand inside a data directory. */
export const pathsOf = (dir: string) => ({
  dir,
  apiKey: join(dir, 'api-key'),
  state: join(dir, 'up.json'),
  lock: join(dir, 'up.lock'),
  logs: join(dir, 'logs'),
  /** The handlers' sink: one line per execution. */
  executions: join(dir, 'executions.ndjson'),
  controlPlane: join(dir, 'control-plane'),
  trustBundle: join(dir, 'control-plane', 'trust-bundle.pem'),
  scheduler: join(dir, 'scheduler'),
  sidecar: (name: string) => join(dir, 'sidecars', name),
})
export type Paths = ReturnType<typeof pathsOf>

export interface DataDir {
  readonly paths: Paths
  readonly apiKey: string
  /** Frees the lock; removes the directory when it is ephemeral. */
  close(): void
}

export interface DataDirOptions {
  readonly dir: string
  /** Somebody named `dir`; then an ephemeral one stands there and not in the temporary directory. */
  readonly given: boolean
  readonly ephemeral: boolean
}

export function openDataDir(options: DataDirOptions): DataDir {
  const dir = options.ephemeral && !options.given ? mkdtempSync(join(tmpdir(), 'fairlead-')) : resolve(options.dir)
  const made = !options.given || !existsSync(dir)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  chmodSync(dir, 0o700)
  const paths = pathsOf(dir)
  const lock = takeLock(paths)
  for (const folder of [paths.logs, paths.controlPlane, paths.scheduler])
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  return {
    paths,
    apiKey: apiKeyOf(paths.apiKey),
    close() {
      lock.close()
      if (options.ephemeral && made) rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Whole content or none: written beside, then renamed. */
export function writeAtomic(file: string, text: string): void {
  const beside = `${file}.new`
  writeFileSync(beside, text, { mode: 0o600 })
  renameSync(beside, file)
}

/** @throws UNREACHABLE when the directory holds none: nothing was started there. */
export function readApiKey(file: string): string {
  if (existsSync(file)) return readFileSync(file, 'utf8').trim()
  throw new FairleadError('UNREACHABLE', `There is no API key at ${file}.`)
}

function apiKeyOf(file: string): string {
  if (!existsSync(file)) writeFileSync(file, `${secretToken()}\n`, { mode: 0o600, flag: 'wx' })
  chmodSync(file, 0o600)
  return readFileSync(file, 'utf8').trim()
}

function takeLock(paths: Paths): DatabaseSync {
  const lock = new DatabaseSync(paths.lock)
  try {
    chmodSync(paths.lock, 0o600)
    lock.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return lock
  } catch (cause) {
    lock.close()
    throw new FairleadError('DATA_DIR_IN_USE', `Another \`fairlead up\` runs in ${paths.dir}${holder(paths.state)}.`, {
      cause,
    })
  }
}

function holder(stateFile: string): string {
  const pid = existsSync(stateFile) ? /"supervisor":\s*(\d+)/.exec(readFileSync(stateFile, 'utf8'))?.[1] : undefined
  return pid === undefined ? '' : ` (process ${pid})`
}
