// scheduler/contract.ts — the job API (DESIGN.md §10): shapes that CLI, dashboard and tests share with the scheduler.
//
// `/api/v1`, JSON, `X-API-Key` (it carries the tenant). Times are RFC 3339 in UTC, durations milliseconds.

import { parseWith, z } from '../kernel/parse.ts'
import { ATTEMPT_OUTCOMES, JOB_STATES } from './states.ts'

export const CLASSES = ['critical', 'high', 'normal', 'low'] as const
export type JobClass = (typeof CLASSES)[number]
/** Priority 10–9 critical, 8–7 high, 6–4 normal, 3–1 low; a class alone means its middle. */
export const CLASS_PRIORITY = { critical: 9, high: 7, normal: 5, low: 2 } as const satisfies Record<JobClass, number>
export const LIMITS = {
  payloadBytesMax: 1024 * 1024,
  envBytesMax: 64 * 1024,
  batchJobsMax: 10_000,
  bodyBytesMax: 32 * 1024 * 1024,
  labelsMax: 32,
  listLimitMax: 1_000,
} as const

export const DEFAULTS = {
  queue: 'default',
  class: 'normal' as JobClass,
  maxAttempts: 5,
  /** 1 s × 2 ≤ 5 min, + 0–1 s jitter (H1). */
  retryBaseMs: 1_000,
  retryMaxMs: 300_000,
  retryJitterMs: 1_000,
  executionTimeoutMs: 60_000,
} as const

const name = z
  .string()
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._:/-]{0,126}[A-Za-z0-9])?$/, 'letters, digits and . _ : / -, at most 128')
const key = z.string().min(1).max(256)
const labels = z
  .record(z.string().min(1).max(64), z.string().max(256))
  .refine((map) => Object.keys(map).length <= LIMITS.labelsMax, `at most ${LIMITS.labelsMax} labels`)
const duration = z
  .int()
  .min(1)
  .max(30 * 24 * 3600 * 1000)

export const SubmitSchema = z
  .strictObject({
    type: name,
    payload: z.unknown().optional(),
    /** Instead of `payload` for bytes that are not JSON. */
    payloadBase64: z.base64().optional(),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).optional(),
    queue: name.default(DEFAULTS.queue),
    class: z.enum(CLASSES).optional(),
    priority: z.int().min(1).max(10).optional(),
    /** Not before this time (`scheduledTime` is taken as an alias). */
    runAt: z.iso.datetime({ offset: true }).optional(),
    scheduledTime: z.iso.datetime({ offset: true }).optional(),
    orderingKey: key.optional(),
    concurrencyKey: key.optional(),
    fairnessKey: key.optional(),
    idempotencyKey: key.optional(),
    dedupKey: key.optional(),
    deadline: z.iso.datetime({ offset: true }).optional(),
    scheduleToStartMs: duration.optional(),
    executionTimeoutMs: duration.default(DEFAULTS.executionTimeoutMs),
    heartbeatTimeoutMs: duration.optional(),
    retry: z
      .strictObject({
        maxAttempts: z.int().min(1).max(1000).default(DEFAULTS.maxAttempts),
        baseMs: z.int().min(0).max(3_600_000).default(DEFAULTS.retryBaseMs),
        maxMs: z.int().min(0).max(86_400_000).default(DEFAULTS.retryMaxMs),
      })
      .prefault({}),
    labels: labels.default({}),
    name: z.string().max(256).optional(),
    description: z.string().max(4096).optional(),
    owner: z.string().max(256).optional(),
  })
  .refine((job) => job.payload === undefined || job.payloadBase64 === undefined, {
    path: ['payloadBase64'],
    message: 'payload and payloadBase64 exclude each other',
  })
  .refine((job) => job.orderingKey === undefined || job.concurrencyKey === undefined, {
    path: ['concurrencyKey'],
    message: 'orderingKey and concurrencyKey exclude each other',
  })
  .refine((job) => job.class === undefined || job.priority === undefined, {
    path: ['priority'],
    message: 'class and priority exclude each other',
  })
  .refine((job) => job.runAt === undefined || job.scheduledTime === undefined, {
    path: ['scheduledTime'],
    message: 'scheduledTime is an alias of runAt; give one',
  })
export type Submit = z.infer<typeof SubmitSchema>
export type SubmitInput = z.input<typeof SubmitSchema>

/** POST /api/v1/jobs/batch. `atomic`: one bad item refuses all; `each`: good items are taken. */
export const BatchSchema = z.strictObject({
  mode: z.enum(['atomic', 'each']).default('atomic'),
  jobs: z.array(z.unknown()).min(1).max(LIMITS.batchJobsMax),
})

/** 202 of POST /jobs; with the same idempotency key 200 and `created: false`. */
export const SubmitAnswerSchema = z.object({
  id: z.string(),
  created: z.boolean(),
  state: z.enum(JOB_STATES),
  warnings: z.array(z.string()),
})
export type SubmitAnswer = z.infer<typeof SubmitAnswerSchema>
/** 202 of POST /jobs/batch; in mode `each` an item may be an error instead. */
export const BatchAnswerSchema = z.object({
  accepted: z.int(),
  jobs: z.array(z.union([SubmitAnswerSchema, z.object({ error: z.object({ code: z.string(), detail: z.string() }) })])),
})

export const AttemptSchema = z.object({
  attempt: z.int(),
  token: z.string(),
  instance: z.string(),
  backend: z.string(),
  version: z.string(),
  leasedAt: z.string(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
  outcome: z.enum(ATTEMPT_OUTCOMES).nullable(),
  error: z
    .object({ code: z.string(), class: z.string(), message: z.string(), exitCode: z.number().optional() })
    .nullable(),
})
export type Attempt = z.infer<typeof AttemptSchema>

export const JobSchema = z.object({
  id: z.string(),
  tenant: z.string(),
  type: z.string(),
  queue: z.string(),
  class: z.enum(CLASSES),
  priority: z.int(),
  state: z.enum(JOB_STATES),
  /** Row version for If-Match and conflict detection. */
  version: z.int(),
  name: z.string().nullable(),
  description: z.string().nullable(),
  owner: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  createdAt: z.string(),
  runAt: z.string(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
  /** Attempts charged so far. */
  attempts: z.int(),
  maxAttempts: z.int(),
  progress: z.number(),
  deadline: z.string().nullable(),
  executionTimeoutMs: z.number(),
  idempotencyKey: z.string().nullable(),
  error: AttemptSchema.shape.error,
  /** Only on GET /jobs/:id. */
  payload: z.unknown().optional(),
  payloadBase64: z.string().optional(),
  env: z.record(z.string(), z.string()).optional(),
  result: z.unknown().optional(),
  attemptLog: z.array(AttemptSchema).optional(),
})
export type Job = z.infer<typeof JobSchema>
export const JobListSchema = z.object({ jobs: z.array(JobSchema), cursor: z.string().nullable() })

/** GET /api/v1/summary?label=k:v — for progress and reports. */
export const SummarySchema = z.object({
  total: z.int(),
  byState: z.partialRecord(z.enum(JOB_STATES), z.int()),
  /** All attempts that were leased, uncharged ones included. */
  attempts: z.int(),
  /** Attempts beyond the first of each job. */
  retries: z.int(),
  byOutcome: z.partialRecord(z.enum(ATTEMPT_OUTCOMES), z.int()),
  /** By worker version: `jobs` = first attempts (what the split decided), `succeeded`/`failed` = attempts by outcome. */
  byVersion: z.record(z.string(), z.object({ jobs: z.int(), attempts: z.int(), succeeded: z.int(), failed: z.int() })),
  submitToDoneMs: z.object({ p50: z.number(), p99: z.number() }).nullable(),
})
export type Summary = z.infer<typeof SummarySchema>

export const WorkerSchema = z.object({
  instance: z.string(),
  service: z.string(),
  version: z.string(),
  session: z.string(),
  status: z.string(),
  types: z.array(z.string()),
  slots: z.int(),
  running: z.int(),
  lastHeartbeatMsAgo: z.number(),
})

export const parseSubmit = (value: unknown): Submit => parseWith(SubmitSchema, value, 'job')
export const parseBatch = (value: unknown): z.infer<typeof BatchSchema> => parseWith(BatchSchema, value, 'batch')
export const parseJob = (value: unknown): Job => parseWith(JobSchema, value, 'job')
export const parseSummary = (value: unknown): Summary => parseWith(SummarySchema, value, 'summary')
