// reservations.ts — ports of this user's running `up`s, so that two of them never hand out the same one.
//
// A port that is free now is not ours yet: its process binds it seconds later, and again after a restart. One file per
// port holds the process id of its `up`; one whose process is gone is taken over.
// Never: trusts a folder that another user could have made. Without a folder of our own there are no reservations, and
// a clash shows as a process that cannot listen.

import { existsSync, linkSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { isAlive } from './alive.ts'

export interface Reservations {
  /** False when another living `up` has it. */
  take(port: number): boolean
  /** The `up` that has it, for messages. */
  holder(port: number): string | undefined
  /** Gives all back. */
  close(): void
}

export function openReservations(
  folder = join(tmpdir(), `fairlead-ports-${userInfo().uid}`),
  owner = process.pid,
): Reservations {
  const usable = ownFolder(folder)
  const taken: string[] = []
  return {
    take(port) {
      if (!usable) return true
      const file = join(folder, String(port))
      if (!reserve(file, owner)) return false
      taken.push(file)
      return true
    },
    holder(port) {
      const pid = usable ? ownerIn(join(folder, String(port))) : 0
      return pid === 0 ? undefined : `another \`fairlead up\` (process ${pid})`
    },
    close() {
      for (const file of taken.splice(0)) rmSync(file, { force: true })
    },
  }
}

function ownFolder(folder: string): boolean {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const found = lstatSync(folder)
  if (process.platform === 'win32') return found.isDirectory()
  return found.isDirectory() && found.uid === userInfo().uid && (found.mode & 0o022) === 0
}

function reserve(file: string, owner: number): boolean {
  if (create(file, owner)) return true
  const holder = ownerIn(file)
  if (holder === owner || isAlive(holder)) return false
  rmSync(file, { force: true })
  return create(file, owner)
}

/** Linked into place with its content, so that nobody reads an empty file and takes it for nobody's. */
function create(file: string, owner: number): boolean {
  const beside = `${file}.${owner}`
  writeFileSync(beside, String(owner), { mode: 0o600 })
  try {
    linkSync(beside, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(beside, { force: true })
  }
}

/** 0: nobody. */
function ownerIn(file: string): number {
  const text = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0
}
