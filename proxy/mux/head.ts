// head.ts — request and response heads as they travel in the mux: already split, lengths before texts.
//
// Reading is as strict as the HTTP/1.1 codec, by the same tables and the same canonicaliser: a peer that proved who it is
// may still have a fault. What a reader accepts is exactly what a writer makes: encode(decode(bytes)) = bytes.
// Never: carries framing or hop-by-hop fields; the body's length is a member of its own.

import { assert } from '../../kernel/errors.ts'
import { canonicalPath } from '../canonical-path.ts'
import type { Fields, ResponseHead } from '../exchange.ts'
import { DOT, HTAB, latin1, PATH, QUERY, QUESTION, SLASH, SP, TOKEN, VALUE } from '../http1/bytes.ts'
import { isProtectedName, knownName, PASS } from '../http1/field-names.ts'
import { authorityOf, type ParsedRequest } from '../http1/request-head.ts'
import { CONTENT_LENGTH_CODE, FIELD_CODES, FIELD_NAMES, METHOD_CODES, METHOD_NAMES } from './names.ts'
import { MUX_FIELDS_MAX, readU16, readU32, u8, u16, u32 } from './wire.ts'

const METHOD_BYTES_MAX = 32
const BODY_NONE = 0
const BODY_LENGTH = 1
const BODY_OPEN = 2
const NO_BODY = u8(BODY_NONE)
const OPEN_BODY = u8(BODY_OPEN)
const LITERAL = u8(0)

/** One bad head: the stream is reset with BAD_HEAD, the connection goes on. */
export class BadHead extends Error {}

function bad(offence: string): never {
  throw new BadHead(offence)
}

// ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface RequestParts {
  readonly method: string
  /** Canonical path with query. */
  readonly target: string
  readonly host: string
  readonly fields: Fields
  readonly body: number | 'chunked'
}

export function requestHeadText({ method, target, host, fields, body }: RequestParts): string {
  const code = METHOD_CODES.get(method) ?? LITERAL + u8(method.length) + method
  return code + u16(host.length) + host + u16(target.length) + target + bodyText(body) + fieldsText(fields)
}

/** `bodiless`: an answer to HEAD, or 204 or 304. */
export function responseHeadText({ status, fields, body }: ResponseHead, bodiless: boolean): string {
  return u16(status) + bodyText(bodiless ? 0 : body) + fieldsText(fields)
}

function bodyText(body: number | 'chunked' | 'until-close'): string {
  if (body === 0) return NO_BODY
  if (typeof body !== 'number') return OPEN_BODY
  return u8(BODY_LENGTH) + u16(Math.floor(body / 0x1_0000_0000)) + u32(body % 0x1_0000_0000)
}

function fieldsText(fields: Fields): string {
  let text = ''
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!
    const value = fields[i + 1]!
    text += (FIELD_CODES.get(name) ?? LITERAL + u16(name.length) + name) + u16(value.length) + value
  }
  return text
}

// ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where the reader is. Shared: a head is read in one go. */
let at = 0
let end = 0
let base = 0
let bytes: Buffer
let text = ''

function begin(source: Buffer, from: number, to: number): void {
  bytes = source
  at = base = from
  end = to
  text = latin1(source, from, to)
}

/** @throws BadHead */
export function readRequestHead(source: Buffer, from: number, to: number): ParsedRequest {
  begin(source, from, to)
  const method = readMethod()
  const hostFrom = span(readShort())
  const host = text.slice(hostFrom - base, at - base)
  const targetFrom = span(readShort())
  const queryAt = checkTarget(targetFrom, at)
  const path = text.slice(targetFrom - base, queryAt - base)
  if (oddPath && !isCanonical(path)) bad('a path that is not canonical')
  const query = queryAt < at ? text.slice(queryAt - base, at - base) : ''
  const body = readBody()
  const fields = readFields(false)
  return {
    method,
    path,
    query,
    authority: readAuthority(host),
    fields,
    body,
    host,
    end: to,
    close: false,
    http10: false,
    expectContinue: false,
    upgrade: '',
  }
}

/** `method` is the request's: HEAD has no body. @throws BadHead */
export function readResponseHead(source: Buffer, from: number, to: number, method: string): ResponseHead {
  begin(source, from, to)
  const status = readShort()
  if (status < 200 || status > 599) bad('a status outside 200…599')
  const body = readBody()
  const bodiless = method === 'HEAD' || status === 204 || status === 304
  if (bodiless && body !== 0) bad('a body where none may be')
  return { status, fields: readFields(bodiless && status !== 204), body }
}

function span(length: number): number {
  const from = at
  at += length
  if (at > end) bad('a length beyond the frame')
  return from
}

function readShort(): number {
  const from = span(2)
  return readU16(bytes, from)
}

function readByte(): number {
  return bytes[span(1)]!
}

function readMethod(): string {
  const code = readByte()
  if (code !== 0) return METHOD_NAMES[code] ?? bad('an unknown method code')
  const length = readByte()
  if (length === 0 || length > METHOD_BYTES_MAX) bad('a method too short or too long')
  const from = span(length)
  for (let i = from; i < at; i++) if (TOKEN[bytes[i]!] !== 1) bad('a byte that no method may hold')
  const method = text.slice(from - base, at - base)
  return METHOD_CODES.has(method) ? bad('a known method spelled out') : method
}

/** Set by `checkTarget`: the canonicaliser must look. */
let oddPath = false

/** Returns where the query starts, or `to`. */
function checkTarget(from: number, to: number): number {
  oddPath = false
  if (from === to || bytes[from] !== SLASH) bad('a target that is no path')
  let before = 0
  let i = from
  for (; i < to; i++) {
    const byte = bytes[i]!
    const kind = PATH[byte]!
    if (kind === 2 || (before === SLASH && (byte === SLASH || byte === DOT))) oddPath = true
    else if (kind !== 1) break
    before = byte
  }
  if (i === to) return to
  if (bytes[i] !== QUESTION) bad('a byte that no path may hold')
  for (let q = i + 1; q < to; q++) if (QUERY[bytes[q]!] !== 1) bad('a byte that no query may hold')
  return i
}

function isCanonical(path: string): boolean {
  try {
    return canonicalPath(path) === path
  } catch {
    return false
  }
}

function readAuthority(host: string): ParsedRequest['authority'] {
  try {
    return authorityOf(host)
  } catch {
    return bad('a malformed authority')
  }
}

function readBody(): number | 'chunked' {
  const kind = readByte()
  if (kind === BODY_NONE) return 0
  if (kind === BODY_OPEN) return 'chunked'
  if (kind !== BODY_LENGTH) bad('an unknown kind of body')
  const from = span(6)
  const length = readU16(bytes, from) * 0x1_0000_0000 + readU32(bytes, from + 2)
  return length > 0 && length < 1e15 ? length : bad('a body length out of range')
}

function readFields(mayAnnounceLength: boolean): Fields {
  const fields: Fields = []
  let announced = false
  while (at < end) {
    if (fields.length === 2 * MUX_FIELDS_MAX) bad('too many fields')
    const code = bytes[at++]!
    const name = code === 0 ? readName() : (FIELD_NAMES[code] ?? bad('an unknown field code'))
    const from = span(readShort())
    checkValue(from, at)
    const value = text.slice(from - base, at - base)
    if (code === CONTENT_LENGTH_CODE) {
      if (!mayAnnounceLength || announced || !/^[0-9]{1,15}$/.test(value)) bad('a content-length that may not be there')
      announced = true
    }
    fields.push(name, value)
  }
  return fields
}

/** Lower case, as the codec hands them out; nothing that ends at a hop; no known name in disguise. */
function readName(): string {
  const from = span(readShort())
  if (from === at) bad('an empty field name')
  for (let i = from; i < at; i++) {
    const byte = bytes[i]!
    if (TOKEN[byte] !== 1 || (byte >= 65 && byte <= 90)) bad('a byte that no field name may hold')
  }
  const name = text.slice(from - base, at - base)
  if (FIELD_CODES.has(name)) bad('a known field spelled out')
  if ((knownName(name)?.kind ?? PASS) !== PASS) bad('a field that ends at a hop')
  if (name.includes('_') && isProtectedName(name.replaceAll('_', '-'))) bad('a name that imitates a protected one')
  return name
}

function checkValue(from: number, to: number): void {
  if (from === to) return
  const first = bytes[from]!
  const last = bytes[to - 1]!
  if (first === SP || first === HTAB || last === SP || last === HTAB) bad('a field value that is not trimmed')
  for (let i = from; i < to; i++) if (VALUE[bytes[i]!] !== 1) bad('a control character in a field value')
}

assert(FIELD_NAMES.length < 256, 'a field code is one byte')
