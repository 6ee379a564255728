// find.ts — which packages stand below a directory: each directory whose package.json has a name and a version.
//
// Nested and scoped ones too, at any depth. A directory counts once, whatever links lead to it: links are followed and
// what they lead to is known by its real path. Paths are relative to the root; something outside it that a link leads
// to keeps the link's path.

import type { Dirent } from 'node:fs'
import { readdir, readFile, realpath } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import { FairleadError } from '../../kernel/errors.ts'

export interface FoundPackage {
  readonly name: string
  readonly version: string
  /** Relative to the root, `/` as separator, `.` for the root itself. */
  readonly path: string
}

export const PACKAGES_MAX = 200_000
const DIRECTORIES_MAX = 2_000_000
const READERS = 16

/** Sorted by path. @throws INVALID_INPUT when the root is no directory. */
export async function findPackages(rootText: string): Promise<FoundPackage[]> {
  const root = await realRoot(rootText)
  const found: FoundPackage[] = []
  const seen = new Set([root])
  let level = [root]
  while (level.length > 0) {
    const below: string[] = []
    await eachOf(level, READERS, async (directory) => {
      const entries = await readdir(directory, { withFileTypes: true })
      const named = await packageIn(directory, entries)
      if (named) found.push({ ...named, path: pathIn(root, directory) })
      for (const candidate of await directoriesOf(directory, entries)) {
        if (seen.has(candidate.real)) continue
        seen.add(candidate.real)
        below.push(candidate.real.startsWith(root + sep) ? candidate.real : candidate.path)
      }
      if (found.length > PACKAGES_MAX || seen.size > DIRECTORIES_MAX) throw tooMany()
    })
    level = below
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function realRoot(text: string): Promise<string> {
  try {
    const root = await realpath(resolve(text))
    await readdir(root)
    return root
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FairleadError('INVALID_INPUT', `Cannot read the directory to audit: ${why}`, { cause })
  }
}

async function packageIn(
  directory: string,
  entries: readonly Dirent[],
): Promise<{ name: string; version: string } | undefined> {
  if (!entries.some((entry) => entry.name === 'package.json' && !entry.isDirectory())) return undefined
  try {
    const text = (await readFile(join(directory, 'package.json'), 'utf8')).replace(/^\uFEFF/, '')
    const { name, version } = JSON.parse(text) as { name?: unknown; version?: unknown }
    const fits = typeof name === 'string' && typeof version === 'string' && name !== '' && version !== ''
    return fits ? { name, version } : undefined
  } catch {
    return undefined // not JSON, or an object it is not, or a dangling link: not a package
  }
}

interface Candidate {
  readonly path: string
  readonly real: string
}

async function directoriesOf(directory: string, entries: readonly Dirent[]): Promise<Candidate[]> {
  const found: Candidate[] = []
  for (const entry of entries) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) found.push({ path, real: await realpath(path) })
    else if (entry.isSymbolicLink()) found.push(...(await linkedDirectory(path)))
  }
  return found
}

/** Nothing when the link leads nowhere or to a file. */
async function linkedDirectory(path: string): Promise<Candidate[]> {
  try {
    const real = await realpath(path)
    await readdir(real)
    return [{ path, real }]
  } catch {
    return []
  }
}

const pathIn = (root: string, directory: string): string => relative(root, directory).split(sep).join('/') || '.'

async function eachOf<T>(items: readonly T[], workers: number, run: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) await run(items[next++]!)
  }
  await Promise.all(Array.from({ length: Math.min(workers, items.length) }, worker))
}

function tooMany(): FairleadError {
  return new FairleadError(
    'INVALID_INPUT',
    `The directory holds more than ${PACKAGES_MAX} packages or ${DIRECTORIES_MAX} directories; name a smaller one.`,
  )
}
