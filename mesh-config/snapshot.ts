// snapshot.ts — what one sidecar runs on: the only part of mesh-config that the proxy may see (with match.ts).
//
// Made by compile (mesh-config) and discovery (control-plane); carried by the control stream or a file; swapped whole.
// Everything is resolved: no defaults are left to apply, no references to follow, rules stand in order of precedence.
// Times in milliseconds, sizes in bytes, ratios in percent.

import { parseWith, z } from '../kernel/parse.ts'

export const SNAPSHOT_SCHEMA = 1

// ── matching (HTTPRoute semantics; the function is match.ts) ────────────────────────────────────────────────────────

const StringMatch = z.strictObject({
  type: z.enum(['Exact', 'RegularExpression']),
  name: z.string(),
  value: z.string(),
})
export const MatchSchema = z.strictObject({
  /** PathPrefix is by path element. Regular expressions are RE2-like and checked for linear time at validation. */
  path: z.strictObject({ type: z.enum(['Exact', 'PathPrefix', 'RegularExpression']), value: z.string() }),
  method: z.string().optional(),
  /** Names lower-case. */
  headers: z.array(StringMatch),
  query: z.array(StringMatch),
})
export type Match = z.infer<typeof MatchSchema>

const HeaderEdit = z.strictObject({
  set: z.array(z.strictObject({ name: z.string(), value: z.string() })),
  add: z.array(z.strictObject({ name: z.string(), value: z.string() })),
  remove: z.array(z.string()),
})
export type HeaderEdit = z.infer<typeof HeaderEdit>
const PathRewrite = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ReplaceFullPath'), value: z.string() }),
  z.strictObject({ type: z.literal('ReplacePrefixMatch'), prefix: z.string(), value: z.string() }),
])
export type PathRewrite = z.infer<typeof PathRewrite>
export const FiltersSchema = z.strictObject({
  requestHeaders: HeaderEdit.optional(),
  responseHeaders: HeaderEdit.optional(),
  rewrite: z.strictObject({ hostname: z.string().optional(), path: PathRewrite.optional() }).optional(),
  redirect: z
    .strictObject({
      scheme: z.string().optional(),
      hostname: z.string().optional(),
      path: PathRewrite.optional(),
      port: z.int().optional(),
      statusCode: z.int(),
    })
    .optional(),
})
export type Filters = z.infer<typeof FiltersSchema>

// ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export const BackendRefSchema = z.strictObject({
  /** Key into `Snapshot.backends`. */
  backend: z.string(),
  weight: z.int().min(0).max(1_000_000),
  filters: FiltersSchema,
  /** Set when the reference is invalid (BackendNotFound …): its share of requests answers 500 BACKEND_INVALID. */
  invalid: z.string().optional(),
})
export type BackendRef = z.infer<typeof BackendRefSchema>

export const RuleSchema = z.strictObject({
  /** Identity of the source rule: shared by the entries that its several matches become; split state hangs on it. */
  id: z.string(),
  route: z.string(),
  index: z.int(),
  name: z.string().optional(),
  match: MatchSchema,
  filters: FiltersSchema,
  backends: z.array(BackendRefSchema),
  timeouts: z.strictObject({
    /** Whole request, retries included. Infinity is written as null. */
    requestMs: z.number().nullable(),
    backendRequestMs: z.number().nullable(),
  }),
  retry: z.strictObject({
    /** Retries, not tries. */
    attempts: z.int().min(0),
    /** Status codes to retry besides connect failures. */
    codes: z.array(z.int()),
    /** Minimum wait before the first retry; full jitter on top, doubling to `backoffMaxMs`. */
    backoffMs: z.number(),
    backoffMaxMs: z.number(),
    /** Retry non-idempotent methods too (the route's author said so with `retry`). */
    anyMethod: z.boolean(),
  }),
})
export type Rule = z.infer<typeof RuleSchema>

export const ServiceSchema = z.strictObject({
  service: z.string(),
  namespace: z.string(),
  protocol: z.enum(['http', 'h2c', 'grpc', 'tcp']),
  /** Outside authorities (`host` or `host:port`, lower-case) that name this service (static endpoints only). */
  aliases: z.array(z.string()),
  /** In order of precedence: the first whose match fits wins; none = 404. */
  rules: z.array(RuleSchema),
})
export type Service = z.infer<typeof ServiceSchema>

// ── backends ────────────────────────────────────────────────────────────────────────────────────────────────────────

export const PolicySchema = z.strictObject({
  balance: z.enum(['leastRequest', 'roundRobin']),
  limits: z.strictObject({
    maxConnections: z.int(),
    maxPendingRequests: z.int(),
    maxRequests: z.int(),
  }),
  connectTimeoutMs: z.number(),
  idleTimeoutMs: z.number(),
  breaker: z.strictObject({
    failures: z.int(),
    failurePercent: z.number(),
    windowMs: z.number(),
    openMs: z.number(),
  }),
  outlier: z.strictObject({
    consecutiveFailures: z.int(),
    baseEjectionMs: z.number(),
    maxEjectionMs: z.number(),
    /** Share of the endpoints that may sit out at once. */
    maxEjectionPercent: z.number(),
  }),
  retryBudget: z.strictObject({ percent: z.number(), minPerSecond: z.number() }),
})
export type Policy = z.infer<typeof PolicySchema>

export const EndpointSchema = z.strictObject({
  instance: z.string(),
  address: z.string(),
  port: z.int(),
  version: z.string(),
  region: z.string(),
})
export type Endpoint = z.infer<typeof EndpointSchema>

export const BackendSchema = z.strictObject({
  name: z.string(),
  service: z.string(),
  namespace: z.string(),
  /** Version that the Service's selector names; '' = any. */
  version: z.string(),
  protocol: z.enum(['http', 'h2c', 'grpc', 'tcp']),
  /** `mesh`: mTLS to a sidecar that proves `identity`. `plain`: static endpoints without sidecar. */
  transport: z.enum(['mesh', 'plain']),
  /** SPIFFE ID that every endpoint must prove; '' for plain. */
  identity: z.string(),
  policy: PolicySchema,
  endpoints: z.array(EndpointSchema),
})
export type Backend = z.infer<typeof BackendSchema>

// ── inbound ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const AuthorizationRuleSchema = z.strictObject({
  policy: z.string(),
  action: z.enum(['ALLOW', 'DENY']),
  /** Empty list = any. Principals are SPIFFE IDs, exact or with one trailing `*`. */
  principals: z.array(z.string()),
  namespaces: z.array(z.string()),
  methods: z.array(z.string()),
  /** Exact, or prefix with one trailing `*`. */
  paths: z.array(z.string()),
})
export type AuthorizationRule = z.infer<typeof AuthorizationRuleSchema>

export const InboundSchema = z.strictObject({
  protocol: z.enum(['http', 'h2c', 'grpc', 'tcp']),
  /** `allow` without any AuthorizationPolicy on the service; `deny` from the first one on. */
  defaultAction: z.enum(['allow', 'deny']),
  /** DENY over ALLOW. */
  rules: z.array(AuthorizationRuleSchema),
  requestTimeoutMs: z.number().nullable(),
})
export type Inbound = z.infer<typeof InboundSchema>

// ── the whole ───────────────────────────────────────────────────────────────────────────────────────────────────────

export const SnapshotSchema = z.strictObject({
  schema: z.literal(SNAPSHOT_SCHEMA),
  /** Opaque; changes with every content change. */
  version: z.string(),
  self: z.strictObject({ service: z.string(), namespace: z.string(), version: z.string(), instance: z.string() }),
  trustDomain: z.string(),
  /** Root certificates, PEM. Empty only in standalone mode. */
  trustBundle: z.array(z.string()),
  tracing: z.strictObject({ samplePercent: z.number().min(0).max(100) }),
  /** Peers that count no more (certs/revoked.ts). Absent when there are none: older sidecars know no such field. */
  revoked: z.strictObject({ serials: z.array(z.string()), ids: z.array(z.string()) }).optional(),
  services: z.array(ServiceSchema),
  backends: z.array(BackendSchema),
  inbound: InboundSchema,
})
export type Snapshot = z.infer<typeof SnapshotSchema>

/** @throws FairleadError SNAPSHOT_INVALID with every problem, references between the parts included. */
export function parseSnapshot(value: unknown): Snapshot {
  const snapshot = parseWith(SnapshotSchema, value, 'snapshot', 'SNAPSHOT_INVALID')
  const known = new Set(snapshot.backends.map((backend) => backend.name))
  const dangling = snapshot.services.flatMap((service) =>
    service.rules.flatMap((rule) =>
      rule.backends.filter((ref) => ref.invalid === undefined && !known.has(ref.backend)).map((ref) => ref.backend),
    ),
  )
  if (dangling.length > 0) {
    const schema = SnapshotSchema.refine(
      () => false,
      `backends not in the snapshot: ${[...new Set(dangling)].join(', ')}`,
    )
    parseWith(schema, value, 'snapshot', 'SNAPSHOT_INVALID')
  }
  return snapshot
}
