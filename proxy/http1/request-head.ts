// request-head.ts — bytes → RequestHead, exactly or not at all (RFC 9112 §2–§6).
//
// Target forms: origin-form, absolute-form `http://` (its authority replaces Host, §3.2.2), authority-form for CONNECT.
// Refused: everything that two parsers could read differently; test/proxy/http1/request-head.test.ts lists it.

import { type Authority, parseAuthority } from '../../kernel/authority.ts'
import { canonicalPath } from '../canonical-path.ts'
import type { RequestHead } from '../exchange.ts'
import { CR, DOT, LF, latin1, PATH, QUERY, QUESTION, SLASH, SP, TOKEN } from './bytes.ts'
import { NEED_MORE, scanFields } from './field-scan.ts'
import { type Understood, understandFields } from './fields.ts'
import { HEAD_BYTES_MAX, refuse, refuseLarge } from './refusal.ts'

const METHOD_BYTES_MAX = 32
const AUTHORITIES_KEPT_MAX = 1_000
const PATH_ONLY = /^[-A-Za-z0-9/._~!$&'()*+,;=:@%]+$/

/** A head and what the connection needs to know besides. */
export interface ParsedRequest extends RequestHead {
  /** The authority as the client wrote it: goes on as `host`. */
  readonly host: string
  /** Index after the head. */
  readonly end: number
  /** The client wants no further request on this connection. */
  readonly close: boolean
  readonly http10: boolean
  readonly expectContinue: boolean
  /** Protocol of an `Upgrade` that was asked for and that may not be ignored; '' = none. */
  readonly upgrade: string
}

interface Target {
  path: string
  query: string
  host: string | undefined
}

/** Undefined = the head is not complete yet. @throws FairleadError BAD_REQUEST, HEADERS_TOO_LARGE */
export function parseRequestHead(bytes: Buffer, from: number, to: number): ParsedRequest | undefined {
  const limit = from + HEAD_BYTES_MAX
  const within = Math.min(to, limit)
  const lineEnd = scanRequestLine(bytes, from, within)
  const end = lineEnd === NEED_MORE ? NEED_MORE : scanFields(bytes, lineEnd, within)
  if (end === NEED_MORE) return to >= limit ? refuseLarge() : undefined
  const text = latin1(bytes, from, end)
  const target = line.odd ? slowTarget(text, from) : fastTarget(text, from)
  return assemble(text.slice(0, line.methodEnd - from), target, understandFields(bytes, text, from), end)
}

/** Marks of the last request line, as indices into the scanned bytes. Shared; read at once. */
const line = { methodEnd: 0, targetFrom: 0, queryAt: 0, targetEnd: 0, http10: false, odd: false }

function scanRequestLine(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && TOKEN[bytes[at]!] === 1) at++
  if (at >= to) return at - from > METHOD_BYTES_MAX ? refuse('a malformed request line') : NEED_MORE
  if (bytes[at] !== SP || at === from || at - from > METHOD_BYTES_MAX) refuse('a malformed request line')
  line.methodEnd = at
  at = scanTarget(bytes, at + 1, to)
  return at === NEED_MORE ? NEED_MORE : scanVersion(bytes, at + 1, to)
}

/** Returns the index of the space after the target. */
function scanTarget(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  line.targetFrom = from
  line.queryAt = -1
  line.odd = at < to && bytes[at] !== SLASH
  let before = 0
  for (; at < to; at++) {
    const byte = bytes[at]!
    const kind = PATH[byte]!
    if (kind === 1) {
      if (before === SLASH && (byte === SLASH || byte === DOT)) line.odd = true
    } else if (kind === 2) line.odd = true
    else break
    before = byte
  }
  if (at < to && bytes[at] === QUESTION) {
    line.queryAt = at++
    while (at < to && QUERY[bytes[at]!] === 1) at++
  } else if (at < to && bytes[at] === 91 && line.odd) {
    at = scanBracketTarget(bytes, at, to) // `http://[::1]/…`
  }
  if (at >= to) return NEED_MORE
  if (bytes[at] !== SP || at === from) refuse('a request target with a byte that may not stand there')
  line.targetEnd = at
  return at
}

function scanBracketTarget(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && QUERY[bytes[at]!] === 1) {
    if (bytes[at] === QUESTION && line.queryAt < 0) line.queryAt = at
    at++
  }
  return at
}

const VERSION = Buffer.from('HTTP/1.')

function scanVersion(bytes: Uint8Array, from: number, to: number): number {
  for (let i = 0; i < 7; i++) {
    if (from + i >= to) return NEED_MORE
    if (bytes[from + i] !== VERSION[i]) refuse('a request line that does not end in HTTP/1.1')
  }
  if (from + 9 >= to) return NEED_MORE
  const minor = bytes[from + 7]
  if ((minor !== 49 && minor !== 48) || bytes[from + 8] !== CR || bytes[from + 9] !== LF) {
    refuse('a request line that does not end in HTTP/1.1')
  }
  line.http10 = minor === 48
  return from + 10
}

/** Origin-form, nothing to decode. */
function fastTarget(text: string, base: number): Target {
  const from = line.targetFrom - base
  const end = line.targetEnd - base
  if (line.queryAt < 0) return { path: text.slice(from, end), query: '', host: undefined }
  const queryAt = line.queryAt - base
  return { path: text.slice(from, queryAt), query: text.slice(queryAt, end), host: undefined }
}

function slowTarget(text: string, base: number): Target {
  const target = text.slice(line.targetFrom - base, line.targetEnd - base)
  const queryAt = line.queryAt < 0 ? target.length : line.queryAt - line.targetFrom
  const query = target.slice(queryAt)
  if (text.startsWith('CONNECT '))
    return { path: '', query: '', host: query === '' ? target : refuse('CONNECT with a query') }
  if (target.charCodeAt(0) === SLASH) return { path: canonicalPath(target.slice(0, queryAt)), query, host: undefined }
  if (!/^http:\/\//i.test(target)) refuse('a request target that is neither a path nor an http:// URL')
  const pathAt = target.indexOf('/', 7)
  const hostEnd = pathAt < 0 || pathAt > queryAt ? queryAt : pathAt
  const path = hostEnd === queryAt ? '/' : target.slice(hostEnd, queryAt)
  if (!PATH_ONLY.test(path)) refuse('a byte in the path that may not stand there')
  return { path: canonicalPath(path), query, host: target.slice(7, hostEnd) }
}

function assemble(method: string, target: Target, found: Understood, end: number): ParsedRequest {
  const { http10 } = line
  if (found.host === undefined && !(http10 && target.host !== undefined)) refuse('no Host field')
  if (method === 'CONNECT' && target.host === undefined) refuse('CONNECT without an authority')
  const host = target.host ?? found.host!
  return {
    method,
    path: target.path,
    query: target.query,
    authority: authorityOf(host),
    fields: found.fields,
    body: bodyOf(found, http10),
    host,
    end,
    close: found.close || http10,
    http10,
    expectContinue: expectsContinue(found.expect, http10),
    upgrade: upgradeOf(found.upgrade),
  }
}

function bodyOf(found: Understood, http10: boolean): number | 'chunked' {
  if (!found.chunked) return Math.max(found.contentLength, 0)
  if (http10) refuse('Transfer-Encoding in HTTP/1.0')
  if (found.contentLength >= 0) refuse('both Content-Length and Transfer-Encoding')
  return 'chunked'
}

function expectsContinue(expect: string | undefined, http10: boolean): boolean {
  if (expect === undefined) return false
  if (expect.toLowerCase() !== '100-continue') refuse('an Expect other than 100-continue')
  return !http10
}

/** `h2c` is an offer that a server may ignore (RFC 9110 §7.8; Java's client makes it on every request). */
function upgradeOf(upgrade: string | undefined): string {
  return upgrade === undefined || upgrade.toLowerCase() === 'h2c' ? '' : upgrade
}

const authorities = new Map<string, Authority>()
let lastHost = ''
let lastAuthority: Authority | undefined

/** Parsed once per spelling; the map is emptied when it is full. */
export function authorityOf(host: string): Authority {
  // Most requests in a row go to the same one; comparing is cheaper than hashing a fresh string.
  if (host === lastHost && lastAuthority !== undefined) return lastAuthority
  const authority = authorities.get(host) ?? parseAuthority(host)
  lastHost = host
  lastAuthority = authority
  if (authorities.size >= AUTHORITIES_KEPT_MAX) authorities.clear()
  authorities.set(host, authority)
  return authority
}
