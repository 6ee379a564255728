// query.ts — query strings of the job API → typed queries. Unknown parameters are errors.

import { FairleadError } from '../../kernel/errors.ts'
import { parseWith, z } from '../../kernel/parse.ts'
import { LIMITS } from '../contract.ts'
import { JOB_STATES } from '../states.ts'
import type { Label, ListQuery } from '../store/contract.ts'

export const WAIT_MS_MAX = 60_000
const LOGS_LIMIT_MAX = 1_000
const LIST_LIMIT = 100

const texts = z
  .union([z.string(), z.array(z.string()).max(16)])
  .transform((value) => (typeof value === 'string' ? [value] : value))

/** `k:v`; the key has no colon. */
const label = z.string().transform((text, context): Label => {
  const at = text.indexOf(':')
  if (at > 0) return { key: text.slice(0, at), value: text.slice(at + 1) }
  context.addIssue({ code: 'custom', message: 'a label is key:value' })
  return z.NEVER
})

const List = z.strictObject({
  /** Repeated, or separated by commas. */
  state: texts
    .transform((all) => all.flatMap((one) => one.split(',')))
    .pipe(z.array(z.enum(JOB_STATES)))
    .optional(),
  type: z.string().min(1).max(128).optional(),
  queue: z.string().min(1).max(128).optional(),
  label: texts.pipe(z.array(label)).optional(),
  limit: z.coerce.number().int().min(1).max(LIMITS.listLimitMax).default(LIST_LIMIT),
  cursor: z.string().max(64).optional(),
})
const Get = z.strictObject({ wait: z.coerce.number().int().min(0).max(WAIT_MS_MAX).default(0) })
const Logs = z.strictObject({
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(LOGS_LIMIT_MAX).default(LOGS_LIMIT_MAX),
})
const SummaryOf = z.strictObject({ label: label.optional() })

export function parseList(query: unknown, tenant: string): ListQuery {
  const { state, type, queue, label: labels, limit, cursor } = parseWith(List, query, 'query')
  return {
    tenant,
    limit,
    ...(state === undefined ? {} : { states: state }),
    ...(type === undefined ? {} : { type }),
    ...(queue === undefined ? {} : { queue }),
    ...(labels === undefined ? {} : { labels }),
    ...(cursor === undefined ? {} : { cursor: openCursor(cursor) }),
  }
}

export const parseWait = (query: unknown): number => parseWith(Get, query, 'query').wait
export const parseLogs = (query: unknown): z.infer<typeof Logs> => parseWith(Logs, query, 'query')
export const parseSummaryLabel = (query: unknown): Label | undefined => parseWith(SummaryOf, query, 'query').label

/** Cursors are opaque to users: what stands in them may change. */
export const closeCursor = (place: string | null): string | null =>
  place === null ? null : Buffer.from(`1:${place}`).toString('base64url')

function openCursor(cursor: string): string {
  const place = /^1:(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'))?.[1]
  if (place !== undefined) return place
  const problems = [{ path: '$.cursor', message: 'is not a cursor of this list' }]
  throw new FairleadError('INVALID_INPUT', '$.cursor is not a cursor of this list.', { problems })
}

/** `If-Match: "<version>"`; absent or `*` = any. @throws INVALID_INPUT */
export function parseIfMatch(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined
  const version = /^(?:W\/)?"(\d{1,15})"$/.exec(header.trim())?.[1]
  if (version !== undefined) return Number(version)
  throw new FairleadError('INVALID_INPUT', 'If-Match is one ETag of this job, like "3".')
}
