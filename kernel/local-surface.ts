// local-surface.ts — what a process may ask of its own sidecar, and the headers between them (docs/dispatch.md §1).
//
// `GET /.fairlead/self`, `POST /.fairlead/quote`, `POST /.fairlead/outcome` on the outbound listener. The sidecar
// answers them itself, takes them from its own app only and strips every `fairlead-*` header that an app may not set.
// Shared by proxy (server), scheduler and workers (clients), which do not import each other.

import { parseWith, z } from './parse.ts'

/** Header names, lower-case. Request: `instance`, `quote`, `timeout`, `retry`. Response: `backend`, `instance`, `error`. */
export const HEADERS = {
  /** Request: exactly this instance (bypasses split, balance, ejection, breaker). Response: the instance that answered. */
  instance: 'fairlead-instance',
  /** Request: the quote that a dispatch draws its units from. */
  quote: 'fairlead-quote',
  /** Request: milliseconds left, decremented at each hop; taken from the own app only. */
  timeout: 'fairlead-timeout',
  /** Request: `1` when this is a repeat by the caller; draws on the sidecar's retry budget. */
  retry: 'fairlead-retry',
  /** Response: backend that the split chose. */
  backend: 'fairlead-backend',
  /** Response, set only when a sidecar (not the app) produced the answer: the error code. */
  error: 'fairlead-error',
} as const

export const SELF_PATH = '/.fairlead/self'
export const QUOTE_PATH = '/.fairlead/quote'
export const OUTCOME_PATH = '/.fairlead/outcome'

export const SelfSchema = z.object({
  instance: z.string(),
  service: z.string(),
  namespace: z.string(),
  version: z.string(),
  spiffeId: z.string(),
  /** '' until the first snapshot. */
  snapshotVersion: z.string(),
})
export type Self = z.infer<typeof SelfSchema>

export const QUOTE_UNITS_MAX = 10_000

export const QuoteRequestSchema = z.strictObject({
  authority: z.string().min(1),
  method: z.string().min(1),
  path: z.string().startsWith('/'),
  headers: z.record(z.string(), z.string()).default({}),
  /** How many requests will be sent. */
  units: z.int().min(1).max(QUOTE_UNITS_MAX),
  /** Version that the caller must have (a run pinned to it); the split is then skipped for other versions. */
  pinned: z.string().optional(),
})
export type QuoteRequest = z.infer<typeof QuoteRequestSchema>

const UnitsSchema = z.object({
  backend: z.string(),
  /** '' when the backend selects no version. */
  version: z.string(),
  units: z.int().min(0),
})

export const QuoteSchema = z.object({
  quote: z.string(),
  expiresInMs: z.number(),
  /** Units that may be dispatched now; the sum over `backends` and `refused` is the units asked for. */
  backends: z.array(UnitsSchema),
  /** Units that fell on a backend that takes none (breaker open, no such backend): requeue, charge nothing. */
  refused: z.array(UnitsSchema.extend({ code: z.string(), retryAfterMs: z.number() })),
  snapshotVersion: z.string(),
})
export type Quote = z.infer<typeof QuoteSchema>

export const OutcomeReportSchema = z.strictObject({
  /** Units of a quote that were not used; they go back to the split. */
  unused: z.array(z.strictObject({ quote: z.string(), backend: z.string(), units: z.int().min(1) })).default([]),
  outcomes: z
    .array(
      z.strictObject({
        authority: z.string(),
        backend: z.string(),
        instance: z.string(),
        succeeded: z.int().min(0),
        /** Transient failures and time-outs: what speaks against the version. Permanent errors (bad input) are not counted. */
        failed: z.int().min(0),
      }),
    )
    .max(1000)
    .default([]),
})
export type OutcomeReport = z.infer<typeof OutcomeReportSchema>

export const parseSelf = (value: unknown): Self => parseWith(SelfSchema, value, 'answer of /.fairlead/self')
export const parseQuoteRequest = (value: unknown): QuoteRequest => parseWith(QuoteRequestSchema, value, 'quote request')
export const parseQuote = (value: unknown): Quote => parseWith(QuoteSchema, value, 'quote')
export const parseOutcomeReport = (value: unknown): OutcomeReport =>
  parseWith(OutcomeReportSchema, value, 'outcome report')
