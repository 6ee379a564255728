// response-head.ts — bytes → ResponseHead, as strict as for requests: a wrong answer is 502, never a guess (T5).
//
// Interim answers (1xx) are returned as heads with `interim`; the connection skips at most eight of them.

import type { ResponseHead } from '../exchange.ts'
import { CR, LF, latin1, SP, VALUE } from './bytes.ts'
import { NEED_MORE, scanFields } from './field-scan.ts'
import { type Understood, understandFields } from './fields.ts'
import { HEAD_BYTES_MAX, refuse, refuseLarge } from './refusal.ts'

export interface ParsedResponse extends ResponseHead {
  readonly lines: string | undefined
  readonly end: number
  readonly close: boolean
  readonly interim: boolean
}

/** Undefined = not complete yet. `method` is the request's: HEAD has no body. @throws FairleadError */
export function parseResponseHead(bytes: Buffer, from: number, to: number, method: string): ParsedResponse | undefined {
  const limit = from + HEAD_BYTES_MAX
  const within = Math.min(to, limit)
  const lineEnd = scanStatusLine(bytes, from, within)
  const end = lineEnd === NEED_MORE ? NEED_MORE : scanFields(bytes, lineEnd, within)
  if (end === NEED_MORE) return to >= limit ? refuseLarge() : undefined
  const status = (bytes[from + 9]! - 48) * 100 + (bytes[from + 10]! - 48) * 10 + (bytes[from + 11]! - 48)
  const http10 = bytes[from + 7] === 48
  return assemble(status, http10, method, understandFields(bytes, latin1(bytes, from, end), from), end)
}

const VERSION = Buffer.from('HTTP/1.')

/** `HTTP/1.1 200[ reason]` CRLF. The space before an absent reason may be absent too, as many servers do. */
function scanStatusLine(bytes: Uint8Array, from: number, to: number): number {
  for (let i = 0; i < 7; i++) {
    if (from + i >= to) return NEED_MORE
    if (bytes[from + i] !== VERSION[i]) refuse('a status line that does not start with HTTP/1.1')
  }
  if (from + 12 >= to) return NEED_MORE
  const minor = bytes[from + 7]
  if ((minor !== 49 && minor !== 48) || bytes[from + 8] !== SP) refuse('a status line of another version')
  for (let i = from + 9; i < from + 12; i++) if (bytes[i]! < 48 || bytes[i]! > 57) refuse('a malformed status')
  if (bytes[from + 9]! < 49 || bytes[from + 9]! > 53) refuse('a status outside 100…599')
  let at = from + 12
  if (bytes[at] !== SP && bytes[at] !== CR) refuse('a malformed status line')
  while (at < to && VALUE[bytes[at]!] === 1) at++
  if (at + 1 >= to) return NEED_MORE
  if (bytes[at] !== CR || bytes[at + 1] !== LF) refuse('a control character, bare CR or bare LF in the status line')
  return at + 2
}

function assemble(status: number, http10: boolean, method: string, found: Understood, end: number): ParsedResponse {
  if (found.chunked && found.contentLength >= 0) refuse('both Content-Length and Transfer-Encoding')
  if (found.chunked && http10) refuse('Transfer-Encoding in HTTP/1.0')
  const bare = status < 200 || status === 204
  if (bare && found.chunked) refuse('Transfer-Encoding in an answer without a body')
  const headOnly = bare || status === 304 || method === 'HEAD'
  // What a GET would have answered: the only place where a length stands without a body (RFC 9110 §8.6).
  const announced = headOnly && !bare && found.contentLength >= 0
  if (announced) found.fields.push('content-length', String(found.contentLength))
  return {
    status,
    fields: found.fields,
    lines: announced ? undefined : found.lines,
    body: headOnly ? 0 : bodyOf(found),
    end,
    close: found.close || (http10 && !found.keepAlive),
    interim: status < 200,
  }
}

function bodyOf(found: Understood): number | 'chunked' | 'until-close' {
  if (found.chunked) return 'chunked'
  return found.contentLength >= 0 ? found.contentLength : 'until-close'
}
