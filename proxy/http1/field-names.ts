// field-names.ts — field names the codec knows: interned lower-case spelling, and what the codec does with them.
//
// A map from the usual spellings saves lower-casing and a second string per field. Names it does not know pass through.
// `fairlead-*` and forwarding names are policy, not codec: outbound.ts and inbound.ts decide about them.

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

const KNOWN = new Map<string, KnownName>()
for (const name of [...Object.keys(KINDS), ...COMMON.split(/\s+/)]) {
  const known = { name, kind: KINDS[name] ?? PASS }
  KNOWN.set(name, known)
  KNOWN.set(titleCase(name), known)
}

/** Looks a spelling up; undefined = lower-case it and ask again. */
export const knownName = (spelling: string): KnownName | undefined => KNOWN.get(spelling)

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

function titleCase(name: string): string {
  return name.replace(/(^|-)[a-z]/g, (part) => part.toUpperCase())
}
