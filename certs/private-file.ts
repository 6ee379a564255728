// private-file.ts — files that only their owner may read, replaced whole or not at all.
//
// Write to a neighbour, fsync, rename, fsync the directory: a crash leaves the old file or the new one.

import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Replaces `path` atomically; mode 0600 whatever the old file's mode was. One writer per path at a time. */
export async function writePrivateFile(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.new`
  await rm(temporary, { force: true })
  try {
    await writeDurably(temporary, data)
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw cause
  }
  await syncDirectory(dirname(path))
}

/** `wx` never follows a link that somebody put there. */
async function writeDurably(path: string, data: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(data)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Windows cannot open a directory; its rename is durable with the journal. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
