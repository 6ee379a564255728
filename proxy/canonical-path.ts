// canonical-path.ts — the one spelling of a path: what router, policy and app all see (T9).
//
// Decodes percent-encoded unreserved characters, upper-cases the hex digits of the others, merges slashes, resolves dot
// segments. Refuses what two readers could see differently: encoded `/`, `\` or NUL, a second layer of encoding, broken
// percent signs, `..` past the root, dot segments that hide behind `;`. canonical(canonical(p)) = canonical(p).

import { HEX } from './http1/bytes.ts'
import { refuse } from './http1/refusal.ts'

const TWICE = /%25[0-9A-Fa-f]{2}/
const UNRESERVED = /^[A-Za-z0-9._~-]$/

/** @throws FairleadError BAD_REQUEST */
export function canonicalPath(raw: string): string {
  if (raw.charCodeAt(0) !== 47) refuse('a path that does not start with a slash')
  const kept: string[] = []
  const segments = decodeUnreserved(raw).split('/')
  const last = segments.length - 1
  for (let i = 1; i <= last; i++) {
    const segment = segments[i]!
    if (isHiddenDots(segment)) refuse('a dot segment with a parameter')
    if (segment === '..' && kept.pop() === undefined) refuse('a path that climbs above the root')
    if (segment !== '' && segment !== '.' && segment !== '..') kept.push(segment)
  }
  const end = segments[last]!
  const open = end === '' || end === '.' || end === '..'
  return kept.length === 0 ? '/' : `/${kept.join('/')}${open ? '/' : ''}`
}

/** `.;x` and `..;x`: a dot segment to servers that cut parameters off, a name to all others. */
function isHiddenDots(segment: string): boolean {
  const semicolon = segment.indexOf(';')
  if (semicolon < 0) return false
  const name = segment.slice(0, semicolon)
  return name === '.' || name === '..'
}

function decodeUnreserved(raw: string): string {
  if (raw.includes('\\')) refuse('a backslash in the path')
  if (!raw.includes('%')) return raw
  let text = ''
  let from = 0
  for (let at = raw.indexOf('%'); at >= 0; at = raw.indexOf('%', from)) {
    text += raw.slice(from, at) + decodeOne(raw, at)
    from = at + 3
  }
  text += raw.slice(from)
  // After decoding, because `%25a%41` would hide it before.
  if (TWICE.test(text)) refuse('a path that is encoded twice')
  return text
}

function decodeOne(raw: string, at: number): string {
  const high = hex(raw, at + 1)
  const low = hex(raw, at + 2)
  if (high > 15 || low > 15) refuse('an invalid percent sign in the path')
  const code = high * 16 + low
  if (code === 0x2f || code === 0x5c || code < 0x20 || code === 0x7f) refuse('an encoded slash, backslash or control')
  const char = String.fromCharCode(code)
  return UNRESERVED.test(char) ? char : `%${raw.slice(at + 1, at + 3).toUpperCase()}`
}

const hex = (raw: string, at: number): number => HEX[raw.charCodeAt(at) & 0xff] ?? 255
