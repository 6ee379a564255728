// der.ts — a reader of DER (X.690) that refuses everything two parsers could read differently.
//
// Definite, minimal lengths; one-byte tags; no bytes behind the end; minimal OIDs and integers. Views, no copies.
// Why not a library: they read BER too, and what a peer may send us has one spelling (reliability §4.3).

import type { WallMs } from '../kernel/clock.ts'

export interface Der {
  readonly tag: number
  readonly content: Uint8Array
  /** Header and content. */
  readonly raw: Uint8Array
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
} as const

/** Tag of a context-specific element: `[n]`. */
export const context = (n: number, constructed: boolean): number => (constructed ? 0xa0 : 0x80) | n

/** The bytes are not DER; certificate.ts turns it into a reason. */
export class DerError extends Error {}

/** Exactly one element. */
export function readDer(bytes: Uint8Array): Der {
  const element = readAt(bytes, 0)
  if (element.raw.length !== bytes.length) throw new DerError('bytes behind the end')
  return element
}

/** The elements inside a constructed one. */
export function children(parent: Der): Der[] {
  if ((parent.tag & 0x20) === 0) throw new DerError('not a constructed element')
  const found: Der[] = []
  for (let at = 0; at < parent.content.length; ) {
    const element = readAt(parent.content, at)
    found.push(element)
    at += element.raw.length
  }
  return found
}

export function expectTag(element: Der | undefined, tag: number): Der {
  if (element?.tag !== tag) throw new DerError(`tag ${element?.tag ?? 'none'} instead of ${tag}`)
  return element
}

function readAt(bytes: Uint8Array, start: number): Der {
  const tag = byteAt(bytes, start)
  if ((tag & 0x1f) === 0x1f) throw new DerError('tag of several bytes')
  const first = byteAt(bytes, start + 1)
  const size = first < 0x80 ? 0 : first & 0x7f
  if (first === 0x80 || size > 3) throw new DerError('length indefinite or too long')
  let length = size === 0 ? first : 0
  for (let i = 0; i < size; i++) length = length * 256 + byteAt(bytes, start + 2 + i)
  if (size > 0 && (length < 0x80 || length < 256 ** (size - 1))) throw new DerError('length not minimal')
  const from = start + 2 + size
  if (from + length > bytes.length) throw new DerError('element ends behind its parent')
  return { tag, content: bytes.subarray(from, from + length), raw: bytes.subarray(start, from + length) }
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at]
  if (byte === undefined) throw new DerError('ends too early')
  return byte
}

/** Dotted text. */
export function readOid(element: Der | undefined): string {
  const { content } = expectTag(element, TAG.oid)
  const arcs: number[] = []
  let arc = 0
  let fresh = true
  for (const byte of content) {
    if (fresh && byte === 0x80) throw new DerError('OID arc not minimal')
    arc = arc * 128 + (byte & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw new DerError('OID arc too large')
    fresh = (byte & 0x80) === 0
    if (fresh) {
      arcs.push(arc)
      arc = 0
    }
  }
  const [head] = arcs
  if (head === undefined || !fresh) throw new DerError('OID incomplete')
  const root = Math.min(2, Math.floor(head / 40))
  return [root, head - root * 40, ...arcs.slice(1)].join('.')
}

export function readBoolean(element: Der): boolean {
  const { content } = expectTag(element, TAG.boolean)
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw new DerError('BOOLEAN neither 00 nor FF')
  return content[0] === 0xff
}

/** The content bytes of an INTEGER, minimal. */
export function readInteger(element: Der | undefined): Uint8Array {
  const { content } = expectTag(element, TAG.integer)
  const [first, second] = content
  if (first === undefined) throw new DerError('INTEGER without bytes')
  const padded = second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))
  if (padded) throw new DerError('INTEGER not minimal')
  return content
}

/** A count: 0 … 2^23−1. */
export function readCount(element: Der | undefined): number {
  const content = readInteger(element)
  if (content[0]! >= 0x80 || content.length > 3) throw new DerError('INTEGER negative or too large')
  return content.reduce((sum, byte) => sum * 256 + byte, 0)
}

/** Bit i of a named bit list is `1 << i`; at most 16 bits are looked at. */
export function readFlags(element: Der): number {
  const [unused, ...bytes] = expectTag(element, TAG.bitString).content
  if (unused === undefined || unused > 7 || (unused > 0 && bytes.length === 0))
    throw new DerError('BIT STRING malformed')
  let flags = 0
  for (let bit = 0; bit < Math.min(16, bytes.length * 8 - unused); bit++) {
    if (bytes[bit >> 3]! & (0x80 >> (bit & 7))) flags |= 1 << bit
  }
  return flags
}

const UTC_TIME = /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/
const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/

/** UTCTime (1950–2049) or GeneralizedTime in the one form of RFC 5280 §4.1.2.5. */
export function readTime(element: Der | undefined): WallMs {
  const text = latin1(element?.content ?? new Uint8Array())
  const match = (element?.tag === TAG.utcTime ? UTC_TIME : GENERALIZED_TIME).exec(text)
  if (!match || (element?.tag !== TAG.utcTime && element?.tag !== TAG.generalizedTime)) throw new DerError('not a time')
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const fullYear = element.tag === TAG.generalizedTime ? year : year < 50 ? 2000 + year : 1900 + year
  const at = new Date(0)
  at.setUTCFullYear(fullYear, month - 1, day)
  at.setUTCHours(hour, minute, second)
  const same = at.getUTCMonth() === month - 1 && at.getUTCDate() === day && at.getUTCHours() === hour
  if (!same || minute > 59 || second > 59) throw new DerError('no such date')
  return at.getTime() as WallMs
}

/** Byte n becomes code unit n: nothing is lost, nothing is guessed. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
