// names.ts — methods and field names that travel as one byte. The order is part of `fairlead-mux/1`: never change it.
//
// Code 0 means: spelled out. Everything that ends at a hop (connection, transfer-encoding, te …) is not here and may not
// be spelled out either: head.ts refuses it.

export const METHOD_NAMES: readonly string[] = ['', 'GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS', 'TRACE']

const FIELDS = `
  accept accept-encoding accept-language accept-ranges access-control-allow-origin age allow authorization baggage
  cache-control content-disposition content-encoding content-language content-length content-location content-range
  content-type cookie date etag expires idempotency-key if-match if-modified-since if-none-match if-range
  if-unmodified-since last-modified link location origin pragma range referer retry-after server set-cookie
  strict-transport-security traceparent tracestate user-agent vary via www-authenticate x-api-key
  x-content-type-options x-forwarded-for x-forwarded-host x-forwarded-proto x-frame-options x-powered-by x-request-id
  x-requested-with fairlead-timeout fairlead-instance fairlead-quote fairlead-retry fairlead-backend fairlead-error`
export const FIELD_NAMES: readonly string[] = ['', ...FIELDS.trim().split(/\s+/)]

const codes = (names: readonly string[]): ReadonlyMap<string, string> =>
  new Map(names.flatMap((name, code) => (code === 0 ? [] : [[name, String.fromCharCode(code)] as const])))

/** Name → its one byte as text. */
export const METHOD_CODES = codes(METHOD_NAMES)
export const FIELD_CODES = codes(FIELD_NAMES)
export const CONTENT_LENGTH_CODE = FIELD_NAMES.indexOf('content-length')
