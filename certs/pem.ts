// pem.ts — PEM text (RFC 7468) to DER blocks and back, strict and bounded.
//
// Text outside the blocks is ignored (openssl writes some); whatever is inside a block must be exactly base64.

import { type ErrorCode, FairleadError } from '../kernel/errors.ts'

export interface PemBlock {
  readonly label: string
  readonly der: Uint8Array
}

export const PEM_BYTES_MAX = 1024 * 1024
export const PEM_BLOCKS_MAX = 256
const BOUNDARY = /^-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----\s*$/
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Every block of the text, in order. @throws FairleadError(code) */
export function parsePem(text: string, what: string, code: ErrorCode = 'CERT_INVALID'): PemBlock[] {
  const bad = (why: string): FairleadError => new FairleadError(code, `${what} ${why}.`)
  if (text.length > PEM_BYTES_MAX) throw bad(`is longer than ${PEM_BYTES_MAX} bytes`)
  const blocks: PemBlock[] = []
  let open: { label: string; lines: string[] } | undefined
  for (const line of text.split(/\r?\n/)) {
    const boundary = BOUNDARY.exec(line)
    if (!boundary) open?.lines.push(line.trim())
    else if (boundary[1] === 'BEGIN') {
      if (open) throw bad(`has BEGIN ${boundary[2]} inside a block`)
      open = { label: boundary[2]!, lines: [] }
    } else {
      if (!open || open.label !== boundary[2]) throw bad(`has END ${boundary[2]} without its BEGIN`)
      blocks.push({ label: open.label, der: decode(open.lines.join(''), bad) })
      open = undefined
      if (blocks.length > PEM_BLOCKS_MAX) throw bad(`has more than ${PEM_BLOCKS_MAX} blocks`)
    }
  }
  if (open) throw bad(`ends inside a ${open.label} block`)
  return blocks
}

/** The certificates of the text, in order; any other kind of block is refused. @throws FairleadError CERT_INVALID */
export function parseCertificates(text: string, what: string): Uint8Array[] {
  const blocks = parsePem(text, what)
  const other = blocks.find((block) => block.label !== 'CERTIFICATE')
  if (other) throw bad(`${what} holds a ${other.label} block; only certificates belong there.`)
  if (blocks.length === 0) throw bad(`${what} holds no certificate.`)
  return blocks.map((block) => block.der)
}

export function toPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

export function certificatesToPem(chain: readonly Uint8Array[]): string {
  return chain.map((der) => toPem('CERTIFICATE', der)).join('')
}

function decode(base64: string, bad: (why: string) => FairleadError): Uint8Array {
  if (base64 === '' || !BASE64.test(base64)) throw bad('has a block that is not base64')
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

function bad(message: string): FairleadError {
  return new FairleadError('CERT_INVALID', message)
}
