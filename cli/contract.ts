// cli/contract.ts — JSON that the command line promises: the audit report and `fairlead status --json` (docs/cli.md).

import { parseWith, z } from '../kernel/parse.ts'

const Version = z.strictObject({ jobs: z.int(), attempts: z.int(), succeeded: z.int(), failed: z.int() })

/** `npm start -- --report FILE` */
export const ReportSchema = z.strictObject({
  schema: z.literal(1),
  run: z.string(),
  jobs: z.int(),
  succeeded: z.int(),
  failed: z.int(),
  /** Attempts that ended `lost`. */
  lost: z.int(),
  attempts: z.int(),
  retries: z.int(),
  /** Lines of this run in the handlers' own sink file: how often a handler really ran. */
  executions: z.int(),
  byVersion: z.record(z.string(), Version),
  configuredWeights: z.record(z.string(), z.int()),
  breakerOpened: z.int(),
  submitToDoneMs: z.strictObject({ p50: z.number(), p99: z.number() }),
  licences: z.record(z.string(), z.int()),
  packages: z.array(
    z.strictObject({
      name: z.string(),
      version: z.string(),
      /** Relative to the audited directory, `/` as separator. */
      path: z.string(),
      licence: z.string(),
      files: z.int(),
      bytes: z.int(),
      sha256: z.string(),
    }),
  ),
})
export type Report = z.infer<typeof ReportSchema>

/** `fairlead status --json` */
export const StatusSchema = z.object({
  processes: z.array(
    z.object({
      name: z.string(),
      role: z.enum(['control-plane', 'proxy', 'scheduler', 'worker']),
      /** null while it is dead and waits to be started again: never a number that `kill` would take for a group. */
      pid: z.int().min(1).nullable(),
      version: z.string(),
      ports: z.record(z.string(), z.int()),
      restarts: z.int(),
    }),
  ),
})
export type Status = z.infer<typeof StatusSchema>

/** `fairlead schedule next --json` */
export const ScheduleNextSchema = z.strictObject({
  /** As asked for. */
  zone: z.string(),
  /** Version of the zone rules that this was computed with, e.g. `2026c`. */
  tzdata: z.string(),
  fires: z.array(
    z.strictObject({
      /** UTC. */
      at: z.string(),
      /** `2025-03-09T03:00:00`, on the wall clock of the zone. */
      local: z.string(),
      /** `-04:00` */
      offset: z.string(),
      /** Which rule made it fire here, for people. */
      why: z.string(),
    }),
  ),
})
export type ScheduleNext = z.infer<typeof ScheduleNextSchema>
/** `fairlead db migrate --json` */
export const DbMigrateSchema = z.strictObject({
  applied: z.array(z.strictObject({ version: z.int(), name: z.string() })),
  version: z.int(),
})
/** `fairlead db status --json` */
export const DbStatusSchema = z.strictObject({
  server: z.string(),
  settings: z.record(z.string(), z.string()),
  schema: z.int(),
  needed: z.int(),
  pending: z.array(z.string()),
  sessions: z.array(z.strictObject({ id: z.string(), shards: z.int(), leftMs: z.number() })),
  sessionTtlMs: z.int(),
  jobsAbout: z.number(),
  bytes: z.number(),
})
export type DbStatus = z.infer<typeof DbStatusSchema>
/** `fairlead db copy --json`; `checksum` is the sum of the rows' SHA-256, equal on both sides. */
export const DbCopySchema = z.strictObject({
  tables: z.record(z.string(), z.strictObject({ rows: z.int(), checksum: z.string() })),
})
export type DbCopy = z.infer<typeof DbCopySchema>

/** `fairlead check --json` */
export const CheckSchema = z.object({
  /** Nothing failed; there may be warnings. */
  ok: z.boolean(),
  checks: z.array(
    z.object({
      /** Stable. */
      code: z.string(),
      status: z.enum(['ok', 'warning', 'failed', 'skipped']),
      /** Process, instance, service or identity; '' = the whole. */
      subject: z.string(),
      message: z.string(),
      hint: z.string(),
      /** What mends it; '' when there is nothing to do. */
      command: z.string(),
    }),
  ),
})

/** Payload and result of the job type `package.audit`. */
export const AuditPayloadSchema = z.strictObject({ root: z.string(), path: z.string(), run: z.string() })
export const AuditResultSchema = z.object({
  name: z.string(),
  version: z.string(),
  path: z.string(),
  /** SPDX expression as found, `UNLICENSED`, or `NONE`. */
  licence: z.string(),
  /** What the licence file's text says, when there is one that we recognise. */
  licenceText: z.string().nullable(),
  licenceNote: z.enum(['ok', 'missing', 'odd', 'differs']),
  files: z.int(),
  bytes: z.int(),
  sha256: z.string(),
  installScripts: z.array(z.string()),
  handlerVersion: z.string(),
})
export type AuditResult = z.infer<typeof AuditResultSchema>

export const parseReport = (value: unknown): Report => parseWith(ReportSchema, value, 'report')
export const parseStatus = (value: unknown): Status => parseWith(StatusSchema, value, 'status')
export const parseDbMigrate = (value: unknown): z.infer<typeof DbMigrateSchema> =>
  parseWith(DbMigrateSchema, value, 'db migrate')
export const parseDbStatus = (value: unknown): DbStatus => parseWith(DbStatusSchema, value, 'db status')
export const parseDbCopy = (value: unknown): DbCopy => parseWith(DbCopySchema, value, 'db copy')
