// identity-store.ts — key, chain and bundle on disk: one file (0600), replaced whole, so that they always belong together.

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseKey, samePublicKey } from '../../certs/keys.ts'
import { parseCertificates } from '../../certs/pem.ts'
import { writePrivateFile } from '../../certs/private-file.ts'
import { parseServiceId } from '../../certs/spiffe.ts'
import { verifyChain } from '../../certs/verify.ts'
import type { WallMs } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { parseJson, parseWith, z } from '../../kernel/parse.ts'

const StoredIdentitySchema = z.strictObject({
  spiffeId: z.string(),
  keyPem: z.string(),
  chainPem: z.string(),
  bundlePem: z.string(),
})
export type StoredIdentity = z.infer<typeof StoredIdentitySchema>

const fileOf = (stateDir: string): string => join(stateDir, 'identity.json')

export async function saveIdentity(stateDir: string, identity: StoredIdentity): Promise<void> {
  await writePrivateFile(fileOf(stateDir), `${JSON.stringify(identity, null, 1)}\n`)
}

/**
 * The stored identity when it can still be used by this service; undefined when there is none.
 * @throws FairleadError when there is one that is expired, broken or somebody else's.
 */
export async function loadIdentity(
  stateDir: string,
  expected: { readonly service: string; readonly namespace: string; readonly now: WallMs },
): Promise<StoredIdentity | undefined> {
  const text = await readFile(fileOf(stateDir), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new FairleadError('CERT_INVALID', `Cannot read ${fileOf(stateDir)}: ${error.message}`, { cause: error })
  })
  if (text === undefined) return undefined
  const stored = parseWith(StoredIdentitySchema, parseJson(text, 'identity.json'), 'identity.json', 'CERT_INVALID')
  check(stored, expected)
  return stored
}

function check(stored: StoredIdentity, expected: Parameters<typeof loadIdentity>[1]): void {
  const bad = (why: string): FairleadError => new FairleadError('CERT_INVALID', `The stored identity ${why}.`)
  const id = parseServiceId(stored.spiffeId)
  if (id.service !== expected.service || id.namespace !== expected.namespace) throw bad(`is ${stored.spiffeId}`)
  const chain = parseCertificates(stored.chainPem, 'stored chain')
  const verdict = verifyChain({
    chain,
    bundle: parseCertificates(stored.bundlePem, 'stored bundle'),
    now: expected.now,
    trustDomain: id.trustDomain,
    expectId: stored.spiffeId,
  })
  if (!verdict.ok) throw bad(`is not in order: ${verdict.reasons.join(', ')}`)
  if (!samePublicKey(new X509Certificate(chain[0]!).publicKey, parseKey(stored.keyPem))) throw bad('has another key')
}
