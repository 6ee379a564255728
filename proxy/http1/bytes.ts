// bytes.ts — which byte may stand where in HTTP/1.1 (RFC 9110 §5.6.2, RFC 9112, RFC 3986), as lookup tables.
//
// Tables instead of conditions: the scanner looks at every byte once, and a table read is one load.

export const HTAB = 9
export const LF = 10
export const CR = 13
export const SP = 32
export const DOT = 46
export const SLASH = 47
export const COLON = 58
export const QUESTION = 63

/** 1 = may stand in a token (methods, field names). */
export const TOKEN = table("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

/** 1 = may stand in a field value or reason phrase: HTAB, SP, VCHAR, obs-text. No CR, LF, NUL, other control, DEL. */
export const VALUE = Uint8Array.from({ length: 256 }, (_, b) => (b === HTAB || (b >= SP && b !== 127) ? 1 : 0))

/** 1 = may stand in a path as it is; 2 = the canonicaliser must look. Everything else is refused. */
export const PATH = table("/-._~!$&'()*+,=:@0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
for (const byte of Buffer.from('%;')) PATH[byte] = 2

/** 1 = may stand in a query: visible ASCII but `#`. */
export const QUERY = Uint8Array.from({ length: 256 }, (_, b) => (b > SP && b < 127 && b !== 35 ? 1 : 0))

/** Value of a hexadecimal digit, 255 for anything else. */
export const HEX = new Uint8Array(256).fill(255)
for (const [value, digit] of [...'0123456789abcdef'].entries()) {
  HEX[digit.charCodeAt(0)] = value
  HEX[digit.toUpperCase().charCodeAt(0)] = value
}

function table(members: string): Uint8Array {
  const bytes = new Uint8Array(256)
  for (const byte of Buffer.from(members)) bytes[byte] = 1
  return bytes
}

/** Bytes as text, one character a byte: exact both ways. */
export function latin1(bytes: Buffer, from: number, to: number): string {
  return bytes.toString('latin1', from, to)
}
