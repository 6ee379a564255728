// field-scan.ts — finds the field lines of a head, byte by byte, and refuses every line that RFC 9112 §5 does not allow.
//
// One pass over complete or incomplete input; an incomplete head is scanned again from its start when more arrives (at
// most 32 KiB; a sender of single bytes pays more per packet than we do).
// `marks` and `nameHashes` are shared and valid until the next scan: name start, name end, value start, value end of each field.

import { COLON, CR, HTAB, LF, SP, TOKEN, VALUE } from './bytes.ts'
import { FIELDS_MAX, refuse, refuseLarge } from './refusal.ts'

export const NEED_MORE = -1
export const marks = new Int32Array(4 * FIELDS_MAX)
/** Hash of each field name, case folded: finds known names without making a string. */
export const nameHashes = new Int32Array(FIELDS_MAX)
/** Fields of the last complete scan. */
export let fieldCount = 0

/** Scans field lines from `at` up to and with the empty line. Returns the index after it, or NEED_MORE. */
export function scanFields(bytes: Uint8Array, at: number, to: number): number {
  let count = 0
  for (;;) {
    if (at >= to) return NEED_MORE
    const first = bytes[at]!
    if (first === CR) {
      if (at + 1 >= to) return NEED_MORE
      if (bytes[at + 1] !== LF) refuse('bare CR')
      fieldCount = count
      return at + 2
    }
    if (first === SP || first === HTAB) refuse('folded field line, or whitespace before a field name')
    if (count === FIELDS_MAX) refuseLarge()
    const mark = count * 4
    marks[mark] = at
    let hash = 0
    while (at < to && TOKEN[bytes[at]!] === 1) hash = nextHash(hash, bytes[at++]!)
    if (at >= to) return NEED_MORE
    nameHashes[count] = hash
    if (bytes[at] !== COLON) refuseName(bytes[at]!)
    if (at === marks[mark]) refuse('empty field name')
    marks[mark + 1] = at++
    while (at < to && (bytes[at] === SP || bytes[at] === HTAB)) at++
    marks[mark + 2] = at
    while (at < to && VALUE[bytes[at]!] === 1) at++
    if (at >= to) return NEED_MORE
    marks[mark + 3] = trimmedEnd(bytes, marks[mark + 2]!, at)
    if (bytes[at] !== CR) refuseValue(bytes[at]!)
    if (at + 1 >= to) return NEED_MORE
    if (bytes[at + 1] !== LF) refuse('bare CR')
    at += 2
    count++
  }
}

/** `| 32` folds the case of letters and changes no other byte of a token but `_` and `^`. */
export const nextHash = (hash: number, byte: number): number => (Math.imul(hash, 31) + (byte | 32)) | 0

function trimmedEnd(bytes: Uint8Array, from: number, to: number): number {
  let end = to
  while (end > from && (bytes[end - 1] === SP || bytes[end - 1] === HTAB)) end--
  return end
}

function refuseName(byte: number): never {
  if (byte === SP || byte === HTAB) refuse('whitespace in or after a field name')
  if (byte === LF) refuse('bare LF')
  return refuse('a byte that no field name may hold')
}

function refuseValue(byte: number): never {
  return refuse(byte === LF ? 'bare LF' : 'a control character in a field value')
}
