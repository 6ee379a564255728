// files.ts — config files from disk, by the name that the user gave: a file as it is, a directory with all YAML in it.

import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FairleadError } from '../kernel/errors.ts'
import { type ConfigFile, FILE_BYTES_MAX } from './source.ts'

export const FILES_MAX = 1000
const YAML_NAME = /\.ya?ml$/

/**
 * Directories are read in depth, sorted by name; hidden entries and links to directories are left out.
 * @throws FairleadError INVALID_INPUT when something cannot be read or there is nothing.
 */
export async function readConfigFiles(...paths: readonly string[]): Promise<ConfigFile[]> {
  const names = (await Promise.all(paths.map(namesAt))).flat()
  if (names.length > FILES_MAX) throw unreadable(`${names.length} config files; at most ${FILES_MAX} are read`)
  return Promise.all([...new Set(names)].map(readConfigFile))
}

async function namesAt(path: string): Promise<string[]> {
  const found = await stat(path).catch((cause: unknown) => {
    throw unreadable(`${path}: ${reasonOf(cause)}`, cause)
  })
  if (!found.isDirectory()) return [path]
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const names = entries
    .filter((entry) => !entry.isDirectory() && YAML_NAME.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (name) =>
        !name
          .slice(path.length)
          .split(/[\\/]/)
          .some((part) => part.startsWith('.')),
    )
  if (names.length === 0) throw unreadable(`${path}: no .yaml or .yml files in this directory`)
  return names.sort()
}

async function readConfigFile(name: string): Promise<ConfigFile> {
  try {
    // A file over the bound is not read whole; parseConfig says so with its size.
    const { size } = await stat(name)
    if (size > 16 * FILE_BYTES_MAX) throw new Error(`${size} bytes, more than 1 MiB`)
    return { name, text: new TextDecoder('utf-8', { fatal: true }).decode(await readFile(name)) }
  } catch (cause) {
    throw unreadable(`${name}: ${reasonOf(cause)}`, cause)
  }
}

const unreadable = (message: string, cause?: unknown): FairleadError =>
  new FairleadError('INVALID_INPUT', message, cause === undefined ? {} : { cause })

function reasonOf(cause: unknown): string {
  const { code, message } = cause as { code?: string; message?: string }
  if (code === 'ENOENT') return 'no such file or directory'
  if (code === 'EACCES') return 'permission denied'
  return code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'not UTF-8' : (message ?? String(cause))
}
