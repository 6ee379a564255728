// config-files.ts — a file, or the YAML files of a directory, as config texts.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { FairleadError } from '../kernel/errors.ts'
import type { ConfigText } from './state/config-history.ts'

const FILES_MAX = 1_000
const FILE_BYTES_MAX = 1024 * 1024

/** In order of their names; named as a user would name them. @throws FairleadError CONFIG_INVALID */
export function readConfigFiles(path: string): ConfigText[] {
  try {
    const names = statSync(path).isDirectory() ? yamlIn(path) : [path]
    if (names.length > FILES_MAX) throw new FairleadError('CONFIG_INVALID', `${path} has more than ${FILES_MAX} files.`)
    return names.map((name) => ({ name, text: read(name) }))
  } catch (cause) {
    if (cause instanceof FairleadError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FairleadError('CONFIG_INVALID', `Cannot read the config ${path}: ${why}`, { cause })
  }
}

function yamlIn(directory: string): string[] {
  const names = readdirSync(directory).filter((name) => /\.ya?ml$/.test(name))
  return names.sort().map((name) => join(directory, name))
}

function read(name: string): string {
  if (statSync(name).size > FILE_BYTES_MAX) {
    throw new FairleadError('CONFIG_INVALID', `${name} has more than ${FILE_BYTES_MAX} bytes.`)
  }
  return readFileSync(name, 'utf8')
}
