// workers/contract.ts — the dispatch protocol, version 1 (docs/dispatch.md): what scheduler and worker say to each other.
//
// Scheduler → worker (through the mesh): dispatch, attach, ack, cancel. Worker → any scheduler: session, heartbeat, leave.
// Bodies of streams are NDJSON. Unknown fields of a newer minor version are ignored here, and only here (z.object).

import { FairleadError } from '../kernel/errors.ts'
import { parseJson, parseWith, z } from '../kernel/parse.ts'

export const DISPATCH_PROTOCOL = 1
export const DISPATCH_PATH = '/fairlead/v1/dispatch'
export const ATTACH_PATH = '/fairlead/v1/attach'
export const ACK_PATH = '/fairlead/v1/ack'
export const CANCEL_PATH = '/fairlead/v1/cancel'
export const SESSION_PATH = '/fairlead/v1/workers/session'
export const HEARTBEAT_PATH = '/fairlead/v1/workers/heartbeat'
export const LEAVE_PATH = '/fairlead/v1/workers/leave'

export const SESSION_TTL_MS = 30_000
export const HEARTBEAT_MS = 10_000
/** The worker aborts its handlers this long before its session ends. */
export const SESSION_MARGIN_MS = 5_000
export const DISPATCH_JOBS_MAX = 1_000
export const LINE_BYTES_MAX = 4 * 1024 * 1024
export const RESULT_BYTES_MAX = 1024 * 1024
export const LOG_BYTES_MAX = 256 * 1024

/** u64 as decimal digits: JSON numbers lose precision past 2^53. */
const Token = z.string().regex(/^(0|[1-9][0-9]{0,19})$/, 'token is a u64 in decimal digits')

// ── dispatch: one line per job ──────────────────────────────────────────────────────────────────────────────────────

export const DispatchJobSchema = z.object({
  job: z.string(),
  attempt: z.int().min(1),
  token: Token,
  type: z.string(),
  payload: z.unknown().optional(),
  /** Instead of `payload` when it is not JSON. */
  payloadBase64: z.string().optional(),
  env: z.record(z.string(), z.string()).default({}),
  /** Until the job's deadline; absent = none. */
  remainingMs: z.number().optional(),
  executionTimeoutMs: z.number(),
  heartbeatTimeoutMs: z.number().optional(),
  /** For receivers of effects to de-duplicate by: the job's id. */
  effectKey: z.string(),
  traceparent: z.string().optional(),
  checkpoint: z.unknown().optional(),
  labels: z.record(z.string(), z.string()).default({}),
  /** The session that the attempt was leased to; a worker that holds another one refuses it (`wrong-session`). */
  session: z.string().optional(),
})
export type DispatchJob = z.infer<typeof DispatchJobSchema>

export const REFUSAL_REASONS = ['full', 'draining', 'unknown-type', 'stale-token', 'wrong-session', 'needs'] as const
export type RefusalReason = (typeof REFUSAL_REASONS)[number]

export const OUTCOMES = ['succeeded', 'failed', 'timedOut', 'cancelled'] as const
export type Outcome = (typeof OUTCOMES)[number]

export const AttemptErrorSchema = z.object({
  code: z.string(),
  class: z.enum(['transient', 'permanent']),
  message: z.string(),
  exitCode: z.number().optional(),
})
export type AttemptError = z.infer<typeof AttemptErrorSchema>

const Ref = { job: z.string(), token: Token }

export const ResultSchema = z.object({
  t: z.literal('result'),
  ...Ref,
  outcome: z.enum(OUTCOMES),
  value: z.unknown().optional(),
  error: AttemptErrorSchema.optional(),
  startedMsAgo: z.number().optional(),
  durationMs: z.number().optional(),
})

/** Answer lines of dispatch and attach. */
export const WorkerEventSchema = z.discriminatedUnion('t', [
  z.object({ t: z.literal('accepted'), ...Ref }),
  z.object({ t: z.literal('refused'), ...Ref, reason: z.enum(REFUSAL_REASONS), message: z.string().optional() }),
  z.object({ t: z.literal('progress'), ...Ref, pct: z.number().min(0).max(100) }),
  z.object({
    t: z.literal('log'),
    ...Ref,
    seq: z.int(),
    stream: z.enum(['stdout', 'stderr', 'log']),
    text: z.string(),
  }),
  z.object({ t: z.literal('beat'), freeSlots: z.int().min(0) }),
  /** attach only: this attempt runs here. */
  z.object({ t: z.literal('running'), ...Ref }),
  /** attach only: everything that was running or unacked at the moment of the call has been named. */
  z.object({ t: z.literal('attached'), session: z.string() }),
  ResultSchema,
])
export type WorkerEvent = z.infer<typeof WorkerEventSchema>
export type WorkerResult = Extract<WorkerEvent, { t: 'result' }>

// ── ack, cancel, attach: small JSON bodies ──────────────────────────────────────────────────────────────────────────

export const AckSchema = z.object({ results: z.array(z.object(Ref)).max(10_000) })
export const CancelSchema = z.object({ ...Ref, reason: z.enum(['cancelled', 'timedOut', 'superseded']) })
/** The session that the scheduler believes this worker has; another one answers 409 SESSION_UNKNOWN. */
export const AttachSchema = z.object({ session: z.string() })
export type Ack = z.infer<typeof AckSchema>
export type Cancel = z.infer<typeof CancelSchema>
export type Attach = z.infer<typeof AttachSchema>

// ── worker → scheduler ──────────────────────────────────────────────────────────────────────────────────────────────

export const SessionRequestSchema = z.object({
  protocol: z.int(),
  instance: z.string(),
  service: z.string(),
  namespace: z.string(),
  version: z.string(),
  /** Random per process start: the same instance with another boot is another session. */
  boot: z.string(),
  types: z.array(z.string()).min(1).max(1000),
  slots: z.int().min(1).max(100_000),
  labels: z.record(z.string(), z.string()).default({}),
})
export type SessionRequest = z.infer<typeof SessionRequestSchema>

export const SessionGrantSchema = z.object({ session: z.string(), ttlMs: z.number(), heartbeatMs: z.number() })
export type SessionGrant = z.infer<typeof SessionGrantSchema>

export const HeartbeatSchema = z.object({
  session: z.string(),
  status: z.enum(['healthy', 'degraded', 'overloaded', 'draining']),
  freeSlots: z.int().min(0),
  running: z.array(z.object(Ref)).max(100_000),
  /** Results kept because no ack came yet. */
  unacked: z.int().min(0),
  cpuPct: z.number().optional(),
  rssBytes: z.number().optional(),
  errors: z.int().optional(),
  uptimeMs: z.number().optional(),
})
export type Heartbeat = z.infer<typeof HeartbeatSchema>
/** `stop`: attempts that the scheduler no longer counts as this worker's; the worker aborts them. */
export const HeartbeatAnswerSchema = z.object({ ttlMs: z.number(), stop: z.array(z.object(Ref)) })
export type HeartbeatAnswer = z.infer<typeof HeartbeatAnswerSchema>
/** Bytes of results in one `leave`; the rest is lost with the session. */
export const LEAVE_BYTES_MAX = 12 * 1024 * 1024
/** `results`: those that no ack came for. */
export const LeaveSchema = z.object({ session: z.string(), results: z.array(ResultSchema).max(10_000).default([]) })
export type Leave = z.infer<typeof LeaveSchema>

// ── parsers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const line = (text: string, what: string): unknown => parseJson(text, what, LINE_BYTES_MAX)
export const parseDispatchJob = (text: string): DispatchJob => {
  const job = parseWith(DispatchJobSchema, line(text, 'dispatch line'), 'dispatch line')
  if (job.payload !== undefined && job.payloadBase64 !== undefined) {
    throw new FairleadError('INVALID_INPUT', 'dispatch line has payload and payloadBase64; one of them is allowed')
  }
  return job
}
export const parseWorkerEvent = (text: string): WorkerEvent =>
  parseWith(WorkerEventSchema, line(text, 'worker event'), 'worker event')
export const parseAck = (value: unknown): Ack => parseWith(AckSchema, value, 'ack')
export const parseCancel = (value: unknown): Cancel => parseWith(CancelSchema, value, 'cancel')
export const parseAttach = (value: unknown): Attach => parseWith(AttachSchema, value, 'attach')
export const parseSessionRequest = (value: unknown): SessionRequest =>
  parseWith(SessionRequestSchema, value, 'worker session')
export const parseSessionGrant = (value: unknown): SessionGrant => parseWith(SessionGrantSchema, value, 'session grant')
export const parseHeartbeat = (value: unknown): Heartbeat => parseWith(HeartbeatSchema, value, 'heartbeat')
export const parseHeartbeatAnswer = (value: unknown): HeartbeatAnswer =>
  parseWith(HeartbeatAnswerSchema, value, 'heartbeat answer')

/** One NDJSON line with its newline. JSON.stringify escapes every control character, so a line is one line. */
export const formatLine = (value: DispatchJob | WorkerEvent): string => `${JSON.stringify(value)}\n`
