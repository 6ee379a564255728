// forgery.ts — makes certificates that our CA never would: any name, key, life and extension, signed by anyone.

import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { type WallMs, wallPlus } from '../../kernel/clock.ts'

export const NOW = Date.UTC(2026, 5, 1) as WallMs
export const ID = 'spiffe://fairlead.local/ns/default/sa/worker'
const DAY = 86_400_000
const { subtle } = webcrypto
const ECDSA = { name: 'ECDSA', namedCurve: 'P-256' }

export type Keys = webcrypto.CryptoKeyPair

export interface Made {
  readonly der: Uint8Array
  readonly keys: Keys
  readonly name: string
}

export interface Plan {
  /** Subject; '' is empty. */
  readonly name?: string
  /** Absent: signs itself. */
  readonly by?: Made
  /** Instead of the issuer's name. */
  readonly issuerName?: string
  readonly keys?: Keys
  readonly hash?: string
  readonly fromMs?: number
  readonly toMs?: number
  readonly extensions: readonly x509.Extension[]
}

export const ecKeys = (namedCurve = 'P-256'): Promise<Keys> => generate({ name: 'ECDSA', namedCurve })
export const edKeys = (): Promise<Keys> => generate({ name: 'Ed25519' })
export const rsaKeys = (modulusLength: number, name = 'RSASSA-PKCS1-v1_5', hash = 'SHA-256'): Promise<Keys> =>
  generate({ name, modulusLength, publicExponent: new Uint8Array([1, 0, 1]), hash })

async function generate(algorithm: object): Promise<Keys> {
  return (await subtle.generateKey(algorithm as webcrypto.EcKeyGenParams, true, ['sign', 'verify'])) as Keys
}

let serial = 1

export async function make(plan: Plan): Promise<Made> {
  const keys = plan.keys ?? (await ecKeys())
  const signer = plan.by?.keys ?? keys
  const name = plan.name ?? ''
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: (serial++).toString(16).padStart(8, '0'),
    ...(name === '' ? {} : { subject: name }),
    issuer: plan.issuerName ?? plan.by?.name ?? name,
    notBefore: new Date(wallPlus(NOW, plan.fromMs ?? -DAY)),
    notAfter: new Date(wallPlus(NOW, plan.toMs ?? DAY)),
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: { ...ECDSA, saltLength: 32, ...signer.privateKey.algorithm, hash: plan.hash ?? 'SHA-256' },
    extensions: [...plan.extensions],
  })
  return { der: new Uint8Array(certificate.rawData), keys, name }
}

const { serverAuth, clientAuth } = x509.ExtendedKeyUsage
export const { digitalSignature, keyCertSign, cRLSign } = x509.KeyUsageFlags
export const isCa = (ca: boolean, pathLength?: number): x509.Extension =>
  new x509.BasicConstraintsExtension(ca, pathLength, true)
export const usage = (flags: number, critical = true): x509.Extension => new x509.KeyUsagesExtension(flags, critical)
export const eku = (...purposes: string[]): x509.Extension => new x509.ExtendedKeyUsageExtension(purposes)
export const bothPurposes = eku(serverAuth, clientAuth)
export const serverOnly = eku(serverAuth)
export const clientOnly = eku(clientAuth)
/** Any extension from raw bytes. */
export const raw = (oid: string, critical: boolean, value: Uint8Array): x509.Extension =>
  new x509.Extension(oid, critical, value as Uint8Array<ArrayBuffer>)

const TAGS = { email: 0x81, dns: 0x82, uri: 0x86, ip: 0x87 } as const
export type Name = readonly [keyof typeof TAGS, string | Uint8Array]

/** GeneralNames from raw bytes: nothing is checked or escaped. */
export function san(names: readonly Name[], critical = true): x509.Extension {
  const body = names.map(([kind, value]) =>
    tlv(TAGS[kind], typeof value === 'string' ? Buffer.from(value, 'latin1') : value),
  )
  return raw('2.5.29.17', critical, tlv(0x30, Buffer.concat(body)))
}

export function tlv(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

export interface LeafParts {
  readonly basic?: x509.Extension | null
  readonly usage?: x509.Extension | null
  readonly purposes?: x509.Extension | null
  readonly names?: x509.Extension | null
  readonly more?: readonly x509.Extension[]
}

/** The extensions of a good leaf, each replaced or (null) left out. */
export function leafExtensions(parts: LeafParts = {}): x509.Extension[] {
  const chosen = {
    basic: isCa(false),
    usage: usage(digitalSignature),
    purposes: bothPurposes,
    names: san([['uri', ID]]),
    ...parts,
  }
  const four = [chosen.basic, chosen.usage, chosen.purposes, chosen.names].filter((extension) => extension !== null)
  return [...four, ...(parts.more ?? [])]
}

export const caExtensions = (pathLength?: number, ...more: x509.Extension[]): x509.Extension[] => [
  isCa(true, pathLength),
  usage(keyCertSign | cRLSign),
  ...more,
]

export interface Family {
  readonly root: Made
  readonly intermediate: Made
}

/** A root and an intermediate like those of a corporate CA: without SPIFFE IDs. */
export async function family(): Promise<Family> {
  const root = await make({ name: 'CN=root', extensions: caExtensions() })
  const intermediate = await make({ name: 'CN=intermediate', by: root, extensions: caExtensions(0) })
  return { root, intermediate }
}
