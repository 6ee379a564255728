// extensions.ts — the certificate extensions that decide whether a peer is believed (RFC 5280 §4.2.1).
//
// What cannot be read becomes a fault of the certificate; what is critical and unknown does too.

import {
  children,
  context,
  type Der,
  DerError,
  expectTag,
  latin1,
  readBoolean,
  readCount,
  readDer,
  readFlags,
  readOid,
  TAG,
} from './der.ts'
import { type NameConstraints, readNameConstraints } from './name-constraints.ts'
import type { Reason } from './reasons.ts'

export interface RawExtension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Uint8Array
}

/** Bytes as latin1 text, unchecked: parsers of names decide what is allowed in them. */
export interface AlternativeNames {
  readonly critical: boolean
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
  readonly emails: readonly string[]
  readonly addresses: readonly Uint8Array[]
  /** Kinds that we do not read: otherName, directoryName, … */
  readonly others: number
}

export interface Extensions {
  readonly alternativeNames: AlternativeNames | undefined
  readonly keyUsage: { readonly critical: boolean; readonly flags: number } | undefined
  readonly extendedKeyUsage: readonly string[] | undefined
  readonly isCa: boolean
  readonly pathLength: number | undefined
  /** Hex. */
  readonly subjectKeyId: string | undefined
  readonly authorityKeyId: string | undefined
  readonly nameConstraints: NameConstraints | undefined
  readonly faults: readonly Reason[]
}

/** Bits of RFC 5280 §4.2.1.3. */
export const KEY_USAGE = {
  digitalSignature: 1 << 0,
  contentCommitment: 1 << 1,
  keyEncipherment: 1 << 2,
  dataEncipherment: 1 << 3,
  keyAgreement: 1 << 4,
  keyCertSign: 1 << 5,
  crlSign: 1 << 6,
} as const
export const EKU = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2', any: '2.5.29.37.0' } as const
const OID = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  alternativeNames: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const
const KNOWN: ReadonlySet<string> = new Set(Object.values(OID))

export function readExtensions(list: readonly RawExtension[]): Extensions {
  const faults = new Set<Reason>()
  if (new Set(list.map((extension) => extension.oid)).size !== list.length) faults.add('EXTENSION_DUPLICATE')
  if (list.some((extension) => extension.critical && !KNOWN.has(extension.oid)))
    faults.add('CRITICAL_EXTENSION_UNKNOWN')
  const read = <T>(oid: string, parse: (value: Der, critical: boolean) => T): T | undefined => {
    const extension = list.find((candidate) => candidate.oid === oid)
    try {
      return extension && parse(readDer(extension.value), extension.critical)
    } catch (thrown) {
      if (!(thrown instanceof DerError)) throw thrown
      faults.add('EXTENSION_MALFORMED')
      return undefined
    }
  }
  const basic = read(OID.basicConstraints, basicConstraints)
  return {
    alternativeNames: read(OID.alternativeNames, alternativeNames),
    keyUsage: read(OID.keyUsage, (value, critical) => ({ critical, flags: readFlags(value) })),
    extendedKeyUsage: read(OID.extendedKeyUsage, extendedKeyUsage),
    isCa: basic?.isCa ?? false,
    pathLength: basic?.pathLength,
    subjectKeyId: read(OID.subjectKeyId, (value) => hex(expectTag(value, TAG.octetString))),
    authorityKeyId: read(OID.authorityKeyId, authorityKeyId),
    nameConstraints: read(OID.nameConstraints, readNameConstraints),
    faults: [...faults],
  }
}

function basicConstraints(value: Der): { isCa: boolean; pathLength: number | undefined } {
  const fields = children(expectTag(value, TAG.sequence))
  const isCa = fields[0]?.tag === TAG.boolean && readBoolean(fields.shift()!)
  const pathLength = fields.length > 0 ? readCount(fields.shift()) : undefined
  if (fields.length > 0 || (pathLength !== undefined && !isCa)) throw new DerError('not basic constraints')
  return { isCa, pathLength }
}

function extendedKeyUsage(value: Der): string[] {
  const usages = children(expectTag(value, TAG.sequence)).map(readOid)
  if (usages.length === 0) throw new DerError('no usage')
  return usages
}

function authorityKeyId(value: Der): string | undefined {
  const id = children(expectTag(value, TAG.sequence)).find((field) => field.tag === context(0, false))
  return id && hex(id)
}

/** GeneralNames; a primitive kind in constructed form matches no case and is malformed. */
function alternativeNames(value: Der, critical: boolean): AlternativeNames {
  const names = children(expectTag(value, TAG.sequence))
  if (names.length === 0) throw new DerError('no name')
  const found = { critical, uris: [] as string[], dnsNames: [] as string[], emails: [] as string[] }
  const addresses: Uint8Array[] = []
  let others = 0
  for (const { tag, content } of names) {
    if (tag === context(1, false)) found.emails.push(latin1(content))
    else if (tag === context(2, false)) found.dnsNames.push(latin1(content))
    else if (tag === context(6, false)) found.uris.push(latin1(content))
    else if (tag === context(7, false)) addresses.push(content)
    else if (OTHER_NAMES.has(tag)) others++
    else throw new DerError('unknown kind of name')
  }
  return { ...found, addresses, others }
}

/** otherName, x400Address, directoryName, ediPartyName; registeredID. */
const OTHER_NAMES: ReadonlySet<number> = new Set([0, 3, 4, 5].map((n) => context(n, true)).concat(context(8, false)))

function hex(element: Der): string {
  return Buffer.from(element.content).toString('hex')
}
