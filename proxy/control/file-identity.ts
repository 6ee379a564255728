// file-identity.ts — standalone mode with certificates: identity from three files, taken up anew when they change.
//
// A file that is wrong after the start is told and changes nothing. The files are replaced by whoever issues them.

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { parseKey, samePublicKey } from '../../certs/keys.ts'
import { parseCertificates } from '../../certs/pem.ts'
import { parseServiceId } from '../../certs/spiffe.ts'
import { verifyChain } from '../../certs/verify.ts'
import type { Clock, Timer, WallMs } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { Identity, IdentitySource } from '../exchange.ts'

const POLL_MS = 2000

export interface IdentityFiles {
  readonly cert: string
  readonly key: string
  readonly trustBundle: string
}

export class FileIdentity implements IdentitySource, Closable {
  readonly #files: IdentityFiles
  readonly #clock: Clock
  readonly #log: Log
  readonly #listeners = new Set<() => void>()
  #identity: Identity | undefined
  #seen = ''
  #notAfter: WallMs | undefined
  #timer: Timer | undefined

  constructor(files: IdentityFiles, clock: Clock, log: Log) {
    this.#files = files
    this.#clock = clock
    this.#log = log
  }

  /** @throws FairleadError CERT_INVALID, KEY_INVALID */
  async start(): Promise<void> {
    await this.#read()
    this.#timer = this.#clock.every(POLL_MS, () => {
      this.#read().catch((error: unknown) => this.#log.error({ error }, 'certificate files refused; the old ones stay'))
    })
  }

  current(): Identity | undefined {
    return this.#identity
  }

  get notAfter(): WallMs | undefined {
    return this.#notAfter
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
  }

  async #read(): Promise<void> {
    const { cert, key, trustBundle } = this.#files
    const [chainPem, keyPem, bundlePem] = await Promise.all([cert, key, trustBundle].map(readText))
    const all = `${chainPem}\n${keyPem}\n${bundlePem}`
    if (all === this.#seen) return
    this.#seen = all
    this.#identity = this.#judge(chainPem!, keyPem!, bundlePem!)
    for (const listener of this.#listeners) listener()
  }

  #judge(chainPem: string, keyPem: string, bundlePem: string): Identity {
    const chain = parseCertificates(chainPem, this.#files.cert)
    const bundleDer = parseCertificates(bundlePem, this.#files.trustBundle)
    const verdict = verifyChain({ chain, bundle: bundleDer, now: this.#clock.wall() })
    if (!verdict.ok) throw bad(`${this.#files.cert} is not in order: ${verdict.reasons.join(', ')}`)
    if (!samePublicKey(new X509Certificate(chain[0]!).publicKey, parseKey(keyPem, this.#files.key))) {
      throw bad(`${this.#files.key} is not the key of ${this.#files.cert}`)
    }
    this.#notAfter = verdict.notAfter
    const { trustDomain } = parseServiceId(verdict.spiffeId)
    return { spiffeId: verdict.spiffeId, trustDomain, keyPem, chainPem, bundleDer }
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new FairleadError('CERT_INVALID', `Cannot read ${file}.`, { cause })
  }
}

function bad(message: string): FairleadError {
  return new FairleadError('CERT_INVALID', `${message}.`)
}
