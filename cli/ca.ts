// ca.ts — `fairlead ca show|export|certificates|revoke|restore|revocations`: what signs, who holds certificates, and who
// must count no more.

import { writeFile } from 'node:fs/promises'
import {
  type Ca,
  CaSchema,
  CertificatesSchema,
  RevocationsSchema,
  RevokeAnswerSchema,
} from '../control-plane/contract.ts'
import { parseWith, z } from '../kernel/parse.ts'
import { printable } from '../mesh-config/problem.ts'
import { authorHeader } from './author.ts'
import type { Context } from './context.ts'
import { withControl } from './control-api.ts'
import { EXIT } from './exit.ts'
import { columnsOf } from './terminal.ts'

const REVOCATIONS = '/api/v1/revocations'
const CERTIFICATES = '/api/v1/certificates'

export interface RevokeFlags {
  readonly serial?: string
  readonly id?: string
  readonly reason?: string
}

export async function caShow(context: Context): Promise<number> {
  const ca = await readCa(context)
  if (context.json) {
    context.terminal.json(ca)
    return EXIT.ok
  }
  const all = [...ca.roots.map((one) => ['root', one] as const), ['intermediate', ca.intermediate] as const]
  const rows = all.map(([role, one]) => [role, one.serial, one.notBefore, one.notAfter, one.sha256])
  context.terminal.say(
    `Trust domain ${ca.trustDomain}; ${ca.issued} certificates have not ended, ${ca.revoked} revocations`,
  )
  for (const line of columnsOf([['', 'SERIAL', 'FROM', 'UNTIL', 'SHA-256'], ...rows])) context.terminal.say(line)
  return EXIT.ok
}

/** The roots, PEM: to stdout, or to a new file. Exit code: 0, 2 the file exists or cannot be written. */
export async function caExport(context: Context, file: string | undefined): Promise<number> {
  const { roots } = await readCa(context)
  const pem = roots.map((one) => one.pem).join('')
  if (file === undefined) {
    if (context.json) context.terminal.json({ roots: roots.map((one) => one.pem) })
    else context.terminal.say(pem.trimEnd())
    return EXIT.ok
  }
  try {
    await writeFile(file, pem, { flag: 'wx', mode: 0o644 })
  } catch (error) {
    context.terminal.note(`${context.terminal.red('error')} ${error instanceof Error ? error.message : String(error)}`)
    return EXIT.usage
  }
  if (context.json) context.terminal.json({ file, roots: roots.length })
  else context.terminal.say(`Wrote ${roots.length} root certificate${roots.length === 1 ? '' : 's'} to ${file}.`)
  return EXIT.ok
}

async function readCa(context: Context): Promise<Ca> {
  return parseWith(CaSchema, await withControl(context, (api) => api.call('/api/v1/ca')), 'answer of /api/v1/ca')
}

export async function caCertificates(
  context: Context,
  flags: { readonly id?: string; readonly limit: string },
): Promise<number> {
  const query = new URLSearchParams({ limit: flags.limit, ...(flags.id === undefined ? {} : { id: flags.id }) })
  const raw = await withControl(context, (api) => api.call(`${CERTIFICATES}?${query}`))
  const answer = parseWith(CertificatesSchema, raw, `answer of ${CERTIFICATES}`)
  if (context.json) {
    context.terminal.json(answer)
    return EXIT.ok
  }
  const rows = answer.certificates.map(({ serial, spiffeId, proof, notAfter, revoked }) => [
    serial,
    spiffeId,
    proof,
    notAfter,
    revoked ? 'revoked' : '',
  ])
  for (const line of columnsOf([['SERIAL', 'IDENTITY', 'BY', 'ENDS', ''], ...rows])) context.terminal.say(line)
  return EXIT.ok
}

/** Exit code: 0 revoked (also when it was before), 1 refused, 2 neither or both of serial and id. */
export async function caRevoke(context: Context, flags: RevokeFlags): Promise<number> {
  const target = targetOf(context, flags)
  if (!target) return EXIT.usage
  const body = { ...target, ...(flags.reason === undefined ? {} : { reason: flags.reason }) }
  const headers = authorHeader(context)
  const raw = await withControl(context, (api) => api.call(REVOCATIONS, { method: 'POST', body, headers }))
  const answer = parseWith(RevokeAnswerSchema, raw, `answer of ${REVOCATIONS}`)
  const { changed, revocation } = answer
  if (context.json) context.terminal.json(answer)
  else {
    const what = revocation.kind === 'id' ? revocation.value : `serial ${revocation.value} of ${revocation.spiffeId}`
    const since = `${changed ? 'Revoked' : 'Revoked already'}: ${what} (by ${printable(revocation.author)}, ${revocation.revokedAt})`
    context.terminal.say(since)
    context.terminal.note('Sidecars take it with their next snapshot; `fairlead status` tells how many have.')
    if (revocation.kind === 'id') context.terminal.note('It gets no certificate until `fairlead ca restore --id`.')
  }
  return EXIT.ok
}

/** Exit code: 0 restored, 1 it was not revoked, 2 usage. */
export async function caRestore(context: Context, flags: RevokeFlags): Promise<number> {
  const body = targetOf(context, flags)
  if (!body) return EXIT.usage
  const path = `${REVOCATIONS}/restore`
  const headers = authorHeader(context)
  const raw = await withControl(context, (api) => api.call(path, { method: 'POST', body, headers }))
  const { changed } = parseWith(z.object({ changed: z.boolean() }), raw, `answer of ${path}`)
  if (context.json) context.terminal.json({ changed })
  else context.terminal.say(changed ? 'It counts again.' : 'It was not revoked.')
  return changed ? EXIT.ok : EXIT.negative
}

export async function caRevocations(context: Context): Promise<number> {
  const raw = await withControl(context, (api) => api.call(REVOCATIONS))
  const answer = parseWith(RevocationsSchema, raw, `answer of ${REVOCATIONS}`)
  if (context.json) {
    context.terminal.json(answer)
    return EXIT.ok
  }
  if (answer.revocations.length === 0) context.terminal.note('Nothing is revoked.')
  const rows = answer.revocations.map((one) => [
    ...[
      one.kind === 'id' ? '(all)' : one.value,
      one.spiffeId,
      one.revokedAt,
      printable(one.author),
      printable(one.reason),
    ],
  ])
  const head = ['SERIAL', 'IDENTITY', 'REVOKED', 'BY', 'REASON']
  if (rows.length > 0) for (const line of columnsOf([head, ...rows])) context.terminal.say(line)
  return EXIT.ok
}

function targetOf(context: Context, { serial, id }: RevokeFlags): { serial: string } | { id: string } | undefined {
  if (serial !== undefined && id === undefined) return { serial }
  if (id !== undefined && serial === undefined) return { id }
  context.terminal.note('Give either --serial or --id.')
  return undefined
}
