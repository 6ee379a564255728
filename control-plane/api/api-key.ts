// api-key.ts — the operator's key (a secret file), compared in constant time.

import { createHash, timingSafeEqual } from 'node:crypto'
import { openSecretFile } from '../state/secret-file.ts'

export interface ApiKey {
  matches(candidate: unknown): boolean
}

/** Makes the key when the file is missing. @throws FairleadError INVALID_INPUT when others may read the file. */
export function openApiKey(path: string): ApiKey {
  const expected = digest(openSecretFile(path))
  return {
    // Both sides hashed: equal lengths, and the time says nothing about the key.
    matches: (candidate) => typeof candidate === 'string' && timingSafeEqual(digest(candidate), expected),
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
