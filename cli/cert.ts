// cert.ts — `fairlead cert inspect` and `fairlead cert verify`: the judge of certs/verify.ts on the command line.
//
// Answers go to stdout, unusable input to stderr with exit 2. A chain that is refused is an answer: exit 1.
// Names of a certificate were written by somebody else: control bytes are escaped before they reach a terminal.

import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { parseCertificate } from '../certs/certificate.ts'
import { type Inspection, inspect } from '../certs/inspect.ts'
import { parseCertificates } from '../certs/pem.ts'
import { REASONS, type Reason } from '../certs/reasons.ts'
import { parseSpiffeId } from '../certs/spiffe.ts'
import { type Verdict, verifyChain } from '../certs/verify.ts'
import { isoTime, systemClock, type WallMs } from '../kernel/clock.ts'
import { FairleadError } from '../kernel/errors.ts'
import { EXIT } from './exit.ts'

export interface CertVerifyOptions {
  /** PEM files. */
  readonly bundle: string
  readonly chain: string
  readonly id?: string
  readonly hostname?: string
  /** RFC 3339; default now. */
  readonly at?: string
  readonly json?: boolean
}

/** Prints what each certificate of the file (PEM or DER) says. @returns exit code */
export function certInspect(file: string, options: { readonly json?: boolean } = {}): Promise<number> {
  return orUsage(async () => {
    const certificates = await Promise.all((await readCertificates(file, 'Certificate')).map(inspectOne(file)))
    if (options.json) print(JSON.stringify({ certificates }, null, 2))
    else print(certificates.map(inspectionText).join('\n\n'))
    return EXIT.ok
  })
}

/** Prints `{ok, spiffeId, reasons, notAfter}`, all conditions ANDed. @returns exit code 0, 1 or 2 */
export function certVerify(options: CertVerifyOptions): Promise<number> {
  return orUsage(async () => {
    const [bundle, chain] = [await readBundle(options.bundle), await readCertificates(options.chain, 'Chain')]
    const { id, hostname } = options
    const verdict = verifyChain({
      chain,
      bundle,
      now: options.at === undefined ? systemClock.wall() : parseTime(options.at),
      ...(id === undefined ? {} : { expectId: parseSpiffeId(id).text }),
      ...(hostname === undefined ? {} : { expectHostname: parseHostname(hostname) }),
    })
    print(options.json ? JSON.stringify(verdictJson(verdict), null, 2) : verdictText(verdict))
    return verdict.ok ? EXIT.ok : EXIT.negative
  })
}

function verdictJson(verdict: Verdict): {
  ok: boolean
  spiffeId: string | null
  reasons: readonly Reason[]
  notAfter: string | null
} {
  const { ok, spiffeId, reasons, notAfter } = verdict
  return { ok, spiffeId: spiffeId ?? null, reasons, notAfter: notAfter === undefined ? null : isoTime(notAfter) }
}

function verdictText(verdict: Verdict): string {
  const { spiffeId, notAfter } = verdict
  const who = spiffeId ?? 'no SPIFFE ID'
  const until = notAfter === undefined ? [] : [`  not after  ${isoTime(notAfter)}`]
  if (verdict.ok) return [`ok       ${who}`, ...until].join('\n')
  const why = verdict.reasons.map((reason) => `  ${reason}: ${REASONS[reason]}`)
  return [`refused  ${who}${spiffeId === undefined ? '' : ' (claimed)'}`, ...why, ...until].join('\n')
}

function inspectionText(found: Inspection): string {
  const rows: [string, string][] = [
    ['subject', found.subject],
    ['issuer', found.issuer],
    ['serial', found.serial],
    ['life', `${found.notBefore} … ${found.notAfter}`],
    ['key', found.key],
    ['kind', found.isCa ? 'signing certificate (CA)' : 'leaf'],
    ['spiffe id', found.spiffeId ?? 'none'],
    ['names', [...found.uris, ...found.dnsNames, ...found.addresses].join(', ')],
    ['key usage', found.keyUsage.join(', ')],
    ['purposes', found.extendedKeyUsage.join(', ')],
    ['sha-256', found.sha256],
  ]
  const lines = rows.map(([name, value]) => `${name.padEnd(10)} ${value === '' ? '-' : printable(value)}`)
  const problems = found.problems.map((reason) => `  ${reason}: ${REASONS[reason]}`)
  return [
    ...lines,
    problems.length === 0 ? 'X509-SVID  keeps the rules' : 'X509-SVID  breaks the rules:',
    ...problems,
  ].join('\n')
}

function inspectOne(file: string): (der: Uint8Array, index: number) => Inspection {
  return (der, index) => {
    const certificate = parseCertificate(der)
    if (!certificate) throw unusable(`${file}: certificate ${index + 1} is not X.509 in DER.`)
    return inspect(certificate)
  }
}

async function readBundle(file: string): Promise<Uint8Array[]> {
  const bundle = await readCertificates(file, 'Bundle')
  const broken = bundle.findIndex((der) => parseCertificate(der) === undefined)
  if (broken >= 0) throw unusable(`Bundle ${file}: certificate ${broken + 1} is not X.509 in DER.`)
  return bundle
}

/** PEM, or one certificate in DER (its first byte is no text). */
async function readCertificates(file: string, what: string): Promise<Uint8Array[]> {
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (cause) {
    throw unusable(
      `${what} ${file} cannot be read (${cause instanceof Error && 'code' in cause ? cause.code : cause}).`,
      cause,
    )
  }
  return bytes[0] === 0x30 && bytes[1] === 0x82
    ? [new Uint8Array(bytes)]
    : parseCertificates(bytes.toString('latin1'), `${what} ${file}`)
}

const RFC3339 =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/

function parseTime(text: string): WallMs {
  // Date.parse takes the 30th of February for the 2nd of March.
  const day = Date.parse(`${text.slice(0, 10)}T00:00:00Z`)
  const real = RFC3339.test(text) && !Number.isNaN(day) && new Date(day).toISOString().startsWith(text.slice(0, 10))
  const at = real ? Date.parse(text.toUpperCase().replace(' ', 'T')) : Number.NaN
  if (Number.isNaN(at))
    throw unusable(`--at ${JSON.stringify(text)} is not an RFC 3339 time such as 2026-01-31T12:00:00Z.`)
  return at as WallMs
}

function parseHostname(text: string): string {
  const name = /^(?=.{1,254}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?$/
  if (isIP(text) === 0 && !name.test(text))
    throw unusable(`--hostname ${JSON.stringify(text)} is neither a host name nor an address.`)
  return text
}

async function orUsage(run: () => Promise<number>): Promise<number> {
  try {
    return await run()
  } catch (thrown) {
    if (!(thrown instanceof FairleadError)) throw thrown
    process.stderr.write(`error ${thrown.code}: ${printable(thrown.message)}\nhint  ${thrown.spec.hint}\n`)
    return EXIT.usage
  }
}

function unusable(message: string, cause?: unknown): FairleadError {
  return new FairleadError('CERT_INVALID', message, cause === undefined ? {} : { cause })
}

function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
