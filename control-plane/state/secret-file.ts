// secret-file.ts — a secret in a file of its own: mode 0600, made when missing, refused when others may read it.

import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { FairleadError } from '../../kernel/errors.ts'
import { secretToken } from '../../kernel/random.ts'

const CHARACTERS_MIN = 32

/** @throws FairleadError INVALID_INPUT when others may read the file or the secret is short. */
export function openSecretFile(path: string): string {
  return create(path) ?? read(path)
}

/** The new secret, or undefined when the file exists already. */
function create(path: string): string | undefined {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  let file: number
  try {
    file = openSync(path, 'wx', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw error
  }
  try {
    const secret = secretToken()
    writeSync(file, `${secret}\n`)
    fsyncSync(file)
    return secret
  } finally {
    closeSync(file)
  }
}

function read(path: string): string {
  const file = openSync(path, 'r')
  try {
    const { mode } = fstatSync(file)
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new FairleadError('INVALID_INPUT', `${path} may be read by others; run \`chmod 600 ${path}\`.`)
    }
    const secret = readFileSync(file, 'utf8').trim()
    if (secret.length < CHARACTERS_MIN) {
      throw new FairleadError('INVALID_INPUT', `The secret in ${path} has fewer than ${CHARACTERS_MIN} characters.`)
    }
    return secret
  } finally {
    closeSync(file)
  }
}
