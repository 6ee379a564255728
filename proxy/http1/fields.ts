// fields.ts — turns scanned field lines into Fields, and takes out what ends at this hop: framing and hop-by-hop fields.
//
// Shared by request and response heads. Framing is understood here, once, and never copied (RFC 9112 §6).

import type { Fields } from '../exchange.ts'
import {
  CONNECTION,
  CONTENT_LENGTH,
  DROP,
  EXPECT,
  HOST,
  isProtectedName,
  knownName,
  knownNameAt,
  PASS,
  TRANSFER_ENCODING,
  UPGRADE,
} from './field-names.ts'
import { fieldCount, marks, nameHashes } from './field-scan.ts'
import { refuse } from './refusal.ts'

/** What the codec itself understood of a head. One shared object, refilled by each call: read it at once. */
export interface Understood {
  fields: Fields
  /** The lines of `fields` as they came; undefined when they are not the same (a `Connection` option took one out). */
  lines: string | undefined
  host: string | undefined
  contentLength: number
  chunked: boolean
  close: boolean
  keepAlive: boolean
  expect: string | undefined
  upgrade: string | undefined
}

const found: Understood = {
  fields: [],
  lines: '',
  host: undefined,
  contentLength: -1,
  chunked: false,
  close: false,
  keepAlive: false,
  expect: undefined,
  upgrade: undefined,
}

/** `text` is the head as Latin-1, its first byte at index `base` of the scanned `bytes`. */
export function understandFields(bytes: Uint8Array, text: string, base: number): Understood {
  const fields: Fields = []
  let connection: string | undefined
  let lines = ''
  let runFrom = -1
  found.fields = fields
  found.host = found.expect = found.upgrade = undefined
  found.contentLength = -1
  found.chunked = found.close = found.keepAlive = false
  for (let i = 0, mark = 0; i < fieldCount; i++, mark += 4) {
    const from = marks[mark]!
    const to = marks[mark + 1]!
    const value = text.slice(marks[mark + 2]! - base, marks[mark + 3]! - base)
    const known = knownNameAt(bytes, from, to, nameHashes[i]!) ?? otherName(text.slice(from - base, to - base))
    if (known.kind === PASS) {
      if (runFrom < 0) runFrom = from
      fields.push(known.name, value)
      continue
    }
    if (runFrom >= 0) {
      lines += text.slice(runFrom - base, from - base)
      runFrom = -1
    }
    connection = understand(known, value, connection)
  }
  // The empty line ends the last run.
  found.lines = runFrom < 0 ? lines : lines + text.slice(runFrom - base, text.length - 2)
  if (connection !== undefined) understandConnection(connection)
  return found
}

/** A name of the user's own, or a known one whose place in the table is taken. */
function otherName(spelling: string): { name: string; kind: number } {
  const name = spelling.toLowerCase()
  if (name.includes('_') && isProtectedName(name.replaceAll('_', '-'))) {
    refuse('a field name that imitates a protected one with an underscore')
  }
  return knownName(name) ?? { name, kind: PASS }
}

function understand(known: { name: string; kind: number }, value: string, connection: string | undefined) {
  switch (known.kind) {
    case HOST:
      if (found.host !== undefined) refuse('two Host fields')
      found.host = value
      break
    case CONTENT_LENGTH:
      if (found.contentLength >= 0) refuse('two Content-Length fields')
      found.contentLength = parseContentLength(value)
      break
    case TRANSFER_ENCODING:
      if (found.chunked) refuse('two Transfer-Encoding fields')
      if (value !== 'chunked') refuse('a Transfer-Encoding other than chunked')
      found.chunked = true
      break
    case CONNECTION:
      return connection === undefined ? value : `${connection},${value}`
    case EXPECT:
      found.expect = value
      break
    case UPGRADE:
      found.upgrade = value
      break
    case DROP:
      break
    default:
      found.fields.push(known.name, value)
  }
  return connection
}

function parseContentLength(value: string): number {
  if (value.length === 0 || value.length > 15) refuse('a malformed Content-Length')
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code < 48 || code > 57) refuse('a malformed Content-Length')
  }
  return Number(value)
}

/** RFC 9110 §7.6.1: fields named here end at this hop; protected ones may not be taken away by a client (T7). */
function understandConnection(value: string): void {
  if (value === 'close' || value === 'Close') found.close = true
  else if (value === 'keep-alive' || value === 'Keep-Alive') found.keepAlive = true
  else for (const token of value.split(',')) understandOption(token.trim().toLowerCase())
}

function understandOption(option: string): void {
  if (option === 'close') found.close = true
  else if (option === 'keep-alive') found.keepAlive = true
  else if (option === '' || option === 'upgrade') return
  else if (isProtectedName(option)) refuse('a Connection header that names a protected field')
  else dropField(option)
}

function dropField(name: string): void {
  const { fields } = found
  found.lines = undefined
  let kept = 0
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name) continue
    fields[kept] = fields[i]!
    fields[kept + 1] = fields[i + 1]!
    kept += 2
  }
  fields.length = kept
}
