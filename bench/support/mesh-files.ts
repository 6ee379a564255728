// mesh-files.ts — what every side of the proxy bench runs on: one trust domain, leaves for the caller and the app.
//
// The leaves carry a DNS name beside the SPIFFE ID, because nginx and HAProxy check host names.

import { createPublicKey } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRoot, signLeaf } from '../../certs/ca.ts'
import { generateKey, keyToPem } from '../../certs/keys.ts'
import { certificatesToPem } from '../../certs/pem.ts'
import { spiffeIdOf } from '../../certs/spiffe.ts'
import { systemClock } from '../../kernel/clock.ts'
import { systemRandom } from '../../kernel/random.ts'

export const TRUST_DOMAIN = 'bench.local'
export const TLS_NAME = 'app.bench.local'

export interface MeshFiles {
  readonly dir: string
  readonly bundle: string
  readonly caller: { readonly cert: string; readonly key: string; readonly both: string }
  readonly app: { readonly cert: string; readonly key: string; readonly both: string }
  file(name: string, text: string): string
  remove(): void
}

export async function meshFiles(): Promise<MeshFiles> {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-bench-'))
  const file = (name: string, text: string): string => {
    const path = join(dir, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const now = systemClock.wall()
  const root = await createRoot({ trustDomain: TRUST_DOMAIN, now, random: systemRandom })
  const leaf = async (service: string) => {
    const key = await generateKey()
    const issued = await signLeaf(root, {
      csrPublicKey: createPublicKey(keyToPem(key)),
      spiffeId: spiffeIdOf(TRUST_DOMAIN, 'default', service),
      ttlMs: 3_600_000,
      dnsNames: [TLS_NAME],
      now,
      random: systemRandom,
    })
    return {
      cert: file(`${service}.pem`, issued.chainPem),
      key: file(`${service}.key`, keyToPem(key)),
      both: file(`${service}.both.pem`, issued.chainPem + keyToPem(key)),
    }
  }
  return {
    dir,
    bundle: file('bundle.pem', certificatesToPem([root.certificate])),
    caller: await leaf('caller'),
    app: await leaf('app'),
    file,
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}
