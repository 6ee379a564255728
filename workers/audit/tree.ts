// tree.ts — the files that belong to one package: regular files below its directory, without nested node_modules.
//
// Symbolic links are not followed and not counted: npm packs none, so a link is the machine's, not the package's.
// The order is that of the relative paths (`/` between parts, by code unit), the same on every machine.

import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { FairleadError } from '../../kernel/errors.ts'

export const PACKAGE_FILES_MAX = 200_000

/** Relative paths of the package's files, sorted. @throws the signal's reason; INVALID_INPUT past PACKAGE_FILES_MAX. */
export async function listFiles(directory: string, signal: AbortSignal): Promise<string[]> {
  const files: string[] = []
  const open = ['']
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    signal.throwIfAborted()
    for await (const entry of await opendir(join(directory, at))) {
      const path = at === '' ? entry.name : `${at}/${entry.name}`
      if (entry.isDirectory()) {
        if (entry.name !== 'node_modules') open.push(path)
      } else if (entry.isFile()) files.push(path)
      if (files.length > PACKAGE_FILES_MAX) {
        throw new FairleadError('INVALID_INPUT', `The package has more than ${PACKAGE_FILES_MAX} files.`)
      }
    }
  }
  return files.sort((a, b) => (a < b ? -1 : 1))
}
