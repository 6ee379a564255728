// field-names.ts — field names the codec knows: interned lower-case spelling, and what the codec does with them.
//
// A table by hash finds the usual names on the bytes: no string is made for them. Other names pass through.
// `fairlead-*` and forwarding names are policy, not codec: outbound.ts and inbound.ts decide about them.

import { nextHash } from './field-scan.ts'

export const PASS = 0
export const HOST = 1
export const CONTENT_LENGTH = 2
export const TRANSFER_ENCODING = 3
export const CONNECTION = 4
export const EXPECT = 5
export const UPGRADE = 6
/** Hop-by-hop: ends here. */
export const DROP = 7

export interface KnownName {
  readonly name: string
  readonly kind: number
  readonly bytes: Uint8Array
}

const KINDS: Readonly<Record<string, number>> = {
  host: HOST,
  'content-length': CONTENT_LENGTH,
  'transfer-encoding': TRANSFER_ENCODING,
  connection: CONNECTION,
  expect: EXPECT,
  upgrade: UPGRADE,
  'keep-alive': DROP,
  'proxy-connection': DROP,
  'proxy-authenticate': DROP,
  'proxy-authorization': DROP,
  te: DROP,
  trailer: DROP,
  'http2-settings': DROP,
}

const COMMON = `accept accept-encoding accept-language accept-ranges age allow authorization baggage cache-control
  content-disposition content-encoding content-language content-location content-range content-type cookie date etag
  expires forwarded idempotency-key if-match if-modified-since if-none-match if-range if-unmodified-since last-modified
  link location origin pragma range referer retry-after sec-fetch-dest sec-fetch-mode sec-fetch-site server set-cookie
  strict-transport-security traceparent tracestate user-agent vary via www-authenticate x-api-key
  x-content-type-options x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-proto x-frame-options
  x-powered-by x-real-ip x-request-id x-requested-with
  fairlead-timeout fairlead-instance fairlead-quote fairlead-retry fairlead-backend fairlead-error`

const SLOTS = 1024
const table: (KnownName | undefined)[] = Array(SLOTS).fill(undefined)
const others = new Map<string, KnownName>()
for (const name of [...Object.keys(KINDS), ...COMMON.split(/\s+/)]) {
  const bytes = Buffer.from(name)
  const known = { name, kind: KINDS[name] ?? PASS, bytes }
  const slot = bytes.reduce(nextHash, 0) & (SLOTS - 1)
  table[slot] ??= known
  others.set(name, known)
}

/** The known name at `from`…`to` in any case, by its hash; undefined = lower-case it and ask `knownName`. */
export function knownNameAt(bytes: Uint8Array, from: number, to: number, hash: number): KnownName | undefined {
  const known = table[hash & (SLOTS - 1)]
  if (known === undefined || known.bytes.length !== to - from) return undefined
  for (let i = from; i < to; i++) if ((bytes[i]! | 32) !== known.bytes[i - from]) return undefined
  return known
}

export const knownName = (lowerCased: string): KnownName | undefined => others.get(lowerCased)

/** Names that a `Connection` header may not take away, and that no `_` spelling may imitate (T7, T8). */
export function isProtectedName(name: string): boolean {
  return name.startsWith('fairlead-') || name.startsWith('x-forwarded-') || PROTECTED.has(name)
}

const PROTECTED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'authorization',
  'cookie',
  'forwarded',
  'x-real-ip',
  'x-api-key',
  'traceparent',
  'idempotency-key',
])
