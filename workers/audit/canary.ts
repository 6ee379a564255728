// canary.ts — `--bad-canary`: a version that is really bad, the same way each time.
//
// The verdict hangs on the package's name alone, so a retry on the same version ends the same way and only another
// version can help. 45 % fail at once and 30 % hang: well past the 50 % that open a breaker.

import { createHash } from 'node:crypto'

export type Fate = 'fine' | 'fails' | 'hangs'

const FAILS_BELOW = 45
const HANGS_BELOW = 75

export function fateOf(packageName: string): Fate {
  const slot = createHash('sha256').update(packageName).digest().readUInt16BE(0) % 100
  if (slot < FAILS_BELOW) return 'fails'
  return slot < HANGS_BELOW ? 'hangs' : 'fine'
}
