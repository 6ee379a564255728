// own-fields.ts — separates what a request says to the mesh from what it says to the app.
//
// One pass over the fields. Both sides use it with their own rule of what may go on; what it finds is read at once
// (shared object). `fairlead-*` never goes on as it came.

import type { Fields } from '../exchange.ts'

export interface OwnFields {
  /** What goes on to the next hop, the rest taken out. */
  pass: Fields
  timeout: string | undefined
  instance: string | undefined
  quote: string | undefined
  retry: string | undefined
  traceparent: string | undefined
  tracestate: string | undefined
  requestId: string | undefined
  idempotencyKey: boolean
}

const own: OwnFields = {
  pass: [],
  timeout: undefined,
  instance: undefined,
  quote: undefined,
  retry: undefined,
  traceparent: undefined,
  tracestate: undefined,
  requestId: undefined,
  idempotencyKey: false,
}

const F = 102
const I = 105
const T = 116
const X = 120

/** `trustForwarded`: `x-forwarded-*` and friends go on (own app); else they are dropped (peers). */
export function takeOwnFields(fields: Fields, trustForwarded: boolean): OwnFields {
  const pass: Fields = []
  own.pass = pass
  own.timeout = own.instance = own.quote = own.retry = undefined
  own.traceparent = own.tracestate = own.requestId = undefined
  own.idempotencyKey = false
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!
    const value = fields[i + 1]!
    const first = name.charCodeAt(0)
    if ((first === F || first === T || first === X) && takeOne(name, value, trustForwarded)) continue
    if (first === I && name === 'idempotency-key') own.idempotencyKey = true
    pass.push(name, value)
  }
  return own
}

/** True = does not go on. Of repeated fields the first counts. */
function takeOne(name: string, value: string, trustForwarded: boolean): boolean {
  switch (name) {
    case 'traceparent':
      own.traceparent ??= value
      return true
    case 'tracestate':
      own.tracestate = own.tracestate === undefined ? value : `${own.tracestate},${value}`
      return true
    case 'x-request-id':
      own.requestId ??= value
      return true
    case 'fairlead-timeout':
      own.timeout ??= value
      return true
    case 'fairlead-instance':
      own.instance ??= value
      return true
    case 'fairlead-quote':
      own.quote ??= value
      return true
    case 'fairlead-retry':
      own.retry ??= value
      return true
    case 'x-forwarded-client-cert':
      return true
    case 'forwarded':
    case 'x-real-ip':
      return !trustForwarded
    default:
      return name.startsWith('fairlead-') || (!trustForwarded && name.startsWith('x-forwarded-'))
  }
}

/** Response fields without `fairlead-*`, but for `keep`; the same array when there is none. */
export function withoutMeshFields(fields: Fields, keep: string): Fields {
  for (let i = 0; i < fields.length; i += 2) {
    if (isMesh(fields[i]!)) return fields.filter((_, at) => !isMesh(fields[at & ~1]!) || fields[at & ~1] === keep)
  }
  return fields
}

const isMesh = (name: string): boolean => name.charCodeAt(0) === F && name.startsWith('fairlead-')

const TIMEOUT = /^[0-9]{1,9}$/

/** Milliseconds; Infinity when absent; undefined when malformed. */
export function parseTimeoutMs(value: string | undefined): number | undefined {
  if (value === undefined) return Number.POSITIVE_INFINITY
  return TIMEOUT.test(value) ? Number(value) : undefined
}

const REQUEST_ID = /^[A-Za-z0-9._:/+=@-]{1,128}$/

/** The caller's id when it is one that can stand in logs and headers, else the trace id. */
export function requestIdOf(value: string | undefined, traceId: string): string {
  return value !== undefined && REQUEST_ID.test(value) ? value : traceId
}
