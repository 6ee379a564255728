// write-head.ts — heads → Latin-1 text. Framing is written from what we understood, never from what came in.
//
// Names and values come from the parser or from us; values that config or a peer supplied elsewhere are checked where
// they enter. `assertSafe` is the second fence against response splitting for values that were not parsed here.

import { assert } from '../../kernel/errors.ts'
import type { Fields } from '../exchange.ts'

const UNSAFE = /[\0-\x08\x0a-\x1f\x7f]/

export function assertSafe(text: string): string {
  assert(!UNSAFE.test(text), 'no control characters in a head')
  return text
}

export function fieldsText(fields: Fields): string {
  let text = ''
  // Concatenation, not a template: a template converts each part to a string first (1 % of a request).
  // biome-ignore lint/style/useTemplate: see above
  for (let i = 0; i < fields.length; i += 2) text += fields[i]! + ': ' + fields[i + 1]! + '\r\n'
  return text
}

/** `method target` are canonical; `fields` end-to-end only. */
export function requestText(
  method: string,
  target: string,
  host: string,
  fields: Fields,
  body: number | 'chunked',
): string {
  return `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n${fieldsText(fields)}${requestFraming(method, body)}\r\n`
}

function requestFraming(method: string, body: number | 'chunked'): string {
  if (body === 'chunked') return CHUNKED
  if (body > 0) return `content-length: ${body}\r\n`
  return method === 'POST' || method === 'PUT' || method === 'PATCH' ? 'content-length: 0\r\n' : ''
}

export const CHUNKED = 'transfer-encoding: chunked\r\n'
export const CONNECTION_CLOSE = 'connection: close\r\n'
export const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
export const LAST_CHUNK = '0\r\n\r\n'

const statusLines: string[] = []

export function statusLine(status: number): string {
  let line = statusLines[status]
  if (line === undefined) {
    line = `HTTP/1.1 ${status} ${REASONS[status] ?? ''}\r\n`
    statusLines[status] = line
  }
  return line
}

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No Content',
  206: 'Partial Content',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}
