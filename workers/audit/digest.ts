// digest.ts — one SHA-256 over a package's contents, in bounded memory, two ways with one meaning.
//
// Digest = SHA-256 over, for each file in order: path, NUL, size in decimal, NUL, content (docs/cli.md). Size stands
// before content, so no two different trees give the same bytes.
// `inTurn` (v1) reads file after file through one buffer; `ahead` (v2) opens the next files while one is hashed.

import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { FairleadError } from '../../kernel/errors.ts'

export interface Contents {
  readonly files: number
  readonly bytes: number
  readonly sha256: string
}

export interface DigestOptions {
  readonly directory: string
  /** As listFiles gives them. */
  readonly files: readonly string[]
  readonly signal: AbortSignal
  /** Called after each file with its index. */
  readonly onFile: (index: number) => void
}

export type Digest = (options: DigestOptions) => Promise<Contents>

const BUFFER_BYTES = 64 * 1024
const AHEAD_BUFFER_BYTES = 256 * 1024
const AHEAD_FILES = 4

interface Opened {
  readonly handle: FileHandle
  readonly size: number
}

export const inTurn: Digest = async (options) => {
  const sum = startSum(BUFFER_BYTES)
  for (const [index, path] of options.files.entries()) {
    options.signal.throwIfAborted()
    await sum.add(path, await openFile(options.directory, path), options.signal)
    options.onFile(index)
  }
  return sum.end(options.files.length)
}

export const ahead: Digest = async (options) => {
  const { directory, files, signal } = options
  const sum = startSum(AHEAD_BUFFER_BYTES)
  const waiting: Promise<Opened>[] = []
  const openNext = (index: number): void => {
    if (index >= files.length) return
    const opened = openFile(directory, files[index]!)
    opened.catch(() => undefined) // awaited in its turn below, or closed in `finally`
    waiting.push(opened)
  }
  for (let index = 0; index < AHEAD_FILES; index++) openNext(index)
  try {
    for (const [index, path] of files.entries()) {
      signal.throwIfAborted()
      const file = await waiting[0]!
      waiting.shift()
      openNext(index + AHEAD_FILES)
      await sum.add(path, file, signal)
      options.onFile(index)
    }
  } finally {
    await closeAll(waiting)
  }
  return sum.end(files.length)
}

async function openFile(directory: string, path: string): Promise<Opened> {
  const handle = await open(join(directory, path), 'r')
  try {
    return { handle, size: (await handle.stat()).size }
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function closeAll(waiting: readonly Promise<Opened>[]): Promise<void> {
  for (const settled of await Promise.allSettled(waiting)) {
    if (settled.status === 'fulfilled') await settled.value.handle.close()
  }
}

interface Sum {
  /** Hashes the file and closes it. */
  add(path: string, file: Opened, signal: AbortSignal): Promise<void>
  end(files: number): Contents
}

function startSum(bufferBytes: number): Sum {
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(bufferBytes)
  let bytes = 0
  return {
    async add(path, { handle, size }, signal) {
      try {
        hash.update(`${path}\0${size}\0`)
        await hashContent(hash, handle, buffer, { path, size, signal })
        bytes += size
      } finally {
        await handle.close()
      }
    },
    end: (files) => ({ files, bytes, sha256: hash.digest('hex') }),
  }
}

async function hashContent(
  hash: Hash,
  handle: FileHandle,
  buffer: Buffer,
  file: { path: string; size: number; signal: AbortSignal },
): Promise<void> {
  let read = 0
  while (read < file.size) {
    file.signal.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, file.size - read), read)
    if (bytesRead === 0) throw new FairleadError('HANDLER_FAILED', `${file.path} became shorter while it was read.`)
    hash.update(buffer.subarray(0, bytesRead))
    read += bytesRead
  }
}
