// authorities.ts — the root, this control plane's own intermediate, and the key that signs join tokens.
//
// Owns: their private keys, which stand sealed in the state and open only in this process's memory.
// The root signs intermediates only. An intermediate is replaced at half of its life, so that a leaf of full length
// always fits; leaves of the old one stay valid, since bundles carry roots.
// First start: everything is created in one transaction, or nothing is.

import { createPublicKey, type KeyObject } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { createIntermediate, createRoot, INTERMEDIATE_LIFE_MS, type Issuer } from '../../certs/ca.ts'
import { parseIssuer } from '../../certs/issuer.ts'
import { generateKey, keyToPem, parseKey } from '../../certs/keys.ts'
import { certificatesToPem } from '../../certs/pem.ts'
import type { Sealer } from '../../certs/seal.ts'
import type { Clock } from '../../kernel/clock.ts'
import { assert, FairleadError } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'
import type { Audit } from '../state/audit.ts'
import { transact } from '../state/database.ts'

export interface AuthorityOptions {
  readonly sql: DatabaseSync
  readonly audit: Audit
  readonly sealer: Sealer
  readonly trustDomain: string
  readonly clock: Clock
  readonly random: Random
}

export interface TokenKeys {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

type Name = 'root' | 'intermediate' | 'join-token'

export class Authorities {
  readonly #options: AuthorityOptions
  readonly #root: Issuer
  readonly tokenKeys: TokenKeys
  #intermediate: Issuer

  constructor(options: AuthorityOptions, root: Issuer, intermediate: Issuer, tokenKey: KeyObject) {
    this.#options = options
    this.#root = root
    this.#intermediate = intermediate
    this.tokenKeys = { privateKey: tokenKey, publicKey: createPublicKey(keyToPem(tokenKey)) }
  }

  /** Signs leaves. */
  get issuer(): Issuer {
    return this.#intermediate
  }

  /** Roots, DER. */
  get bundle(): readonly Uint8Array[] {
    return [this.#root.certificate]
  }

  /** Roots, PEM, one each. */
  get bundlePem(): readonly string[] {
    return this.bundle.map((root) => certificatesToPem([root]))
  }

  /** True when a new intermediate was made. */
  async renewIfDue(): Promise<boolean> {
    const { clock, random } = this.#options
    if (this.#intermediate.notAfter - clock.wall() > INTERMEDIATE_LIFE_MS / 2) return false
    const next = await createIntermediate(this.#root, { now: clock.wall(), random })
    const row = await sealedRow(this.#options, 'intermediate', next.key, next.certificate)
    transact(this.#options.sql, () => save(this.#options, row))
    this.#intermediate = next
    return true
  }
}

interface Opened {
  readonly root: Issuer
  readonly intermediate: Issuer
  readonly tokenKey: KeyObject
}

/** Loads what the state holds, or creates it at the first start. @throws FairleadError when it is of another domain. */
export async function openAuthorities(options: AuthorityOptions): Promise<Authorities> {
  const stored = options.sql.prepare("SELECT name FROM authority WHERE name = 'root'").get()
  const { root, intermediate, tokenKey } = await (stored ? load(options) : create(options))
  const authorities = new Authorities(options, root, intermediate, tokenKey)
  await authorities.renewIfDue()
  return authorities
}

async function create(options: AuthorityOptions): Promise<Opened> {
  const issue = { now: options.clock.wall(), random: options.random }
  const root = await createRoot({ ...issue, trustDomain: options.trustDomain })
  const intermediate = await createIntermediate(root, issue)
  const tokenKey = await generateKey()
  const rows = await Promise.all([
    sealedRow(options, 'root', root.key, root.certificate),
    sealedRow(options, 'intermediate', intermediate.key, intermediate.certificate),
    sealedRow(options, 'join-token', tokenKey, undefined),
  ])
  transact(options.sql, () => {
    for (const row of rows) save(options, row)
  })
  return { root, intermediate, tokenKey }
}

/** Opening a key is dear on purpose (scrypt), so all at once. */
async function load(options: AuthorityOptions): Promise<Opened> {
  const [root, intermediate, tokenKey] = await Promise.all([
    loadIssuer(options, 'root'),
    loadIssuer(options, 'intermediate'),
    loadKey(options, 'join-token'),
  ])
  return { root, intermediate, tokenKey }
}

interface Row {
  readonly name: Name
  readonly certificate: string
  readonly sealedKey: Uint8Array
}

async function sealedRow(
  options: AuthorityOptions,
  name: Name,
  key: KeyObject,
  der: Uint8Array | undefined,
): Promise<Row> {
  const sealedKey = await options.sealer.seal(Buffer.from(keyToPem(key)), labelOf(name))
  return { name, certificate: der ? certificatesToPem([der]) : '', sealedKey }
}

function save(options: AuthorityOptions, row: Row): void {
  const insert = 'INSERT OR REPLACE INTO authority (name, certificate, sealed_key, created_at) VALUES (?, ?, ?, ?)'
  options.sql.prepare(insert).run(row.name, row.certificate, row.sealedKey, options.clock.wall())
  options.audit.record('authority.create', 'control-plane', row.name)
}

async function loadKey(options: AuthorityOptions, name: Name): Promise<KeyObject> {
  const row = options.sql.prepare('SELECT sealed_key FROM authority WHERE name = ?').get(name)
  assert(row, `the state holds the authority ${name}`)
  const plain = await options.sealer.open(row['sealed_key'] as Uint8Array, labelOf(name))
  return parseKey(Buffer.from(plain).toString('utf8'), `Sealed key ${name}`)
}

async function loadIssuer(options: AuthorityOptions, name: 'root' | 'intermediate'): Promise<Issuer> {
  const row = options.sql.prepare('SELECT certificate FROM authority WHERE name = ?').get(name)
  assert(row, `the state holds the authority ${name}`)
  const issuer = parseIssuer(String(row['certificate']), await loadKey(options, name), `Stored ${name}`)
  if (issuer.trustDomain !== options.trustDomain) {
    const text = `The state belongs to the trust domain ${issuer.trustDomain}, not ${options.trustDomain}.`
    throw new FairleadError('INVALID_INPUT', text)
  }
  return issuer
}

const labelOf = (name: Name): string => `fairlead authority ${name}`
