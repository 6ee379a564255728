// lock.ts — exactly one scheduler process uses a data directory.
//
// The lock is the operating system's: a SQLite transaction held open on `scheduler.lock` for as long as the process
// lives. It vanishes with the process, however that ends, so a stale lock cannot exist and a reused pid cannot confuse
// it. `scheduler.pid` beside it only tells people who holds it.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FairleadError } from '../../../kernel/errors.ts'

export interface DirLock {
  release(): void
}

/** @throws FairleadError STORE_LOCKED naming the holder's pid */
export function lockDir(dir: string): DirLock {
  const db = new DatabaseSync(join(dir, 'scheduler.lock'), { timeout: 0 })
  const pidFile = join(dir, 'scheduler.pid')
  try {
    db.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE')
  } catch (cause) {
    db.close()
    if (!isBusy(cause)) throw new FairleadError('STORE_UNAVAILABLE', `Cannot lock ${dir}.`, { cause })
    throw new FairleadError('STORE_LOCKED', `${dir} is in use by process ${readPid(pidFile)}.`, { cause })
  }
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 })
  return {
    release() {
      rmSync(pidFile, { force: true })
      db.close()
    },
  }
}

function isBusy(error: unknown): boolean {
  return (error as { errcode?: number }).errcode === 5
}

function readPid(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return 'unknown (it has not written its pid yet)'
  }
}
