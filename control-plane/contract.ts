// control-plane/contract.ts — what sidecars and tools say to the control plane.
//
// Identity (sign), the control stream (snapshots down, acks up), registration by Consul's conventions, operator API.
// The stream is NDJSON both ways over one mTLS HTTP/1.1 POST: the request body is the sidecar's side.

import { parseJson, parseWith, z } from '../kernel/parse.ts'
import { SnapshotSchema } from '../mesh-config/snapshot.ts'

// ── identity: POST /v1/identity/sign (TLS; client certificate or join token) ────────────────────────────────────────

export const SIGN_PATH = '/v1/identity/sign'
export const SignRequestSchema = z.strictObject({
  /** PKCS#10, PEM. Only its public key and proof of possession are used. */
  csr: z.string().max(16 * 1024),
  /** JWT; absent when the caller proves itself with its current SVID. */
  joinToken: z
    .string()
    .max(8 * 1024)
    .optional(),
})
export type SignRequest = z.infer<typeof SignRequestSchema>
export const SignAnswerSchema = z.strictObject({
  /** Leaf first, then intermediates; PEM. */
  certificateChain: z.string(),
  trustBundle: z.array(z.string()),
  spiffeId: z.string(),
  notBefore: z.string(),
  notAfter: z.string(),
})
export type SignAnswer = z.infer<typeof SignAnswerSchema>

/** Claims of a join token (JWT, ES256, one use). */
export const JoinTokenClaimsSchema = z.object({
  jti: z.string(),
  sub: z.string().startsWith('spiffe://'),
  aud: z.literal('fairlead-join'),
  iat: z.number(),
  exp: z.number(),
})
export type JoinTokenClaims = z.infer<typeof JoinTokenClaimsSchema>

// ── control stream: POST /v1/stream (mTLS) ──────────────────────────────────────────────────────────────────────────

export const STREAM_PATH = '/v1/stream'
export const STREAM_PROTOCOL = 1
export const STREAM_LINE_BYTES_MAX = 16 * 1024 * 1024
/** Either side closes a stream that stays silent this long; pings go out at a third of it. */
export const STREAM_SILENCE_MS = 30_000

const ProblemSchema = z.object({ path: z.string(), message: z.string() })
export const FromSidecarSchema = z.discriminatedUnion('t', [
  z.object({
    t: z.literal('hello'),
    protocol: z.int(),
    instance: z.string(),
    service: z.string(),
    namespace: z.string(),
    version: z.string(),
    /** Version of the Fairlead that runs the sidecar. */
    sidecarVersion: z.string(),
    /** Snapshot that it serves already; '' = none. */
    have: z.string(),
  }),
  z.object({ t: z.literal('ack'), version: z.string() }),
  z.object({ t: z.literal('nack'), version: z.string(), problems: z.array(ProblemSchema) }),
  z.object({ t: z.literal('pong') }),
])
export type FromSidecar = z.infer<typeof FromSidecarSchema>
export const ToSidecarSchema = z.discriminatedUnion('t', [
  z.object({ t: z.literal('snapshot'), snapshot: SnapshotSchema }),
  z.object({ t: z.literal('ping') }),
  /** Reconnect to another control plane; keep serving. */
  z.object({ t: z.literal('goaway') }),
])
export type ToSidecar = z.infer<typeof ToSidecarSchema>
export const parseFromSidecar = (text: string): FromSidecar =>
  parseWith(FromSidecarSchema, parseJson(text, 'stream line', STREAM_LINE_BYTES_MAX), 'stream line')
/** The snapshot inside is parsed again by parseSnapshot, so that a bad one can be nacked by version. */
export const parseToSidecarKind = (text: string): { t: string; snapshot?: unknown } =>
  parseWith(
    z.object({ t: z.string(), snapshot: z.unknown().optional() }),
    parseJson(text, 'stream line', STREAM_LINE_BYTES_MAX),
    'stream line',
  )

// ── registration, by Consul's conventions (DESIGN.md §7) ────────────────────────────────────────────────────────────

export const CHECK_TTL_MS = 10_000
/** Sidecars refresh their TTL check at a third of it. */
export const CHECK_REFRESH_MS = 3_000
const SIDECAR_SUFFIX = '-sidecar-proxy'

/** One process of a service, as the catalogue knows it. Address and port are its sidecar's inbound listener. */
export interface Instance {
  readonly instance: string
  readonly service: string
  readonly namespace: string
  readonly version: string
  readonly region: string
  readonly address: string
  readonly port: number
  readonly passing: boolean
}

/** Bodies for PUT /v1/agent/service/register: the service (with its app's port) and its sidecar. */
export function registrationOf(instance: Omit<Instance, 'passing'>, appPort: number): [ConsulService, ConsulService] {
  const meta = {
    version: instance.version,
    namespace: instance.namespace,
    region: instance.region,
    'fairlead-instance': instance.instance,
  }
  const sidecarId = `${instance.instance}${SIDECAR_SUFFIX}`
  return [
    { ID: instance.instance, Name: instance.service, Address: '127.0.0.1', Port: appPort, Meta: meta },
    {
      ID: sidecarId,
      Name: `${instance.service}${SIDECAR_SUFFIX}`,
      Kind: 'connect-proxy',
      Address: instance.address,
      Port: instance.port,
      Meta: meta,
      Proxy: { DestinationServiceName: instance.service, DestinationServiceID: instance.instance },
      Check: {
        CheckID: checkIdOf(instance.instance),
        Name: 'Fairlead sidecar',
        TTL: `${CHECK_TTL_MS / 1000}s`,
        Status: 'critical',
        DeregisterCriticalServiceAfter: '10m',
      },
    },
  ]
}

export const checkIdOf = (instance: string): string => `fairlead:${instance}`
export const sidecarServiceOf = (service: string): string => `${service}${SIDECAR_SUFFIX}`
export const isSidecarService = (name: string): boolean => name.endsWith(SIDECAR_SUFFIX)

export interface ConsulService {
  readonly ID: string
  readonly Name: string
  readonly Kind?: 'connect-proxy'
  readonly Address: string
  readonly Port: number
  readonly Meta: Readonly<Record<string, string>>
  readonly Proxy?: { readonly DestinationServiceName: string; readonly DestinationServiceID: string }
  readonly Check?: Readonly<Record<string, string>>
}

const HealthEntrySchema = z.object({
  Service: z.object({
    ID: z.string(),
    Service: z.string(),
    Address: z.string(),
    Port: z.int(),
    Meta: z.record(z.string(), z.string()).nullish(),
    Proxy: z.object({ DestinationServiceName: z.string(), DestinationServiceID: z.string().nullish() }).nullish(),
  }),
  Node: z.object({ Address: z.string() }).nullish(),
  Checks: z.array(z.object({ Status: z.string() })).nullish(),
})

/** One entry of GET /v1/health/service/<name>-sidecar-proxy; undefined when it is no Fairlead sidecar. */
export function parseHealthEntry(value: unknown): Instance | undefined {
  const { Service, Node, Checks } = parseWith(HealthEntrySchema, value, 'health entry')
  const meta = Service.Meta ?? {}
  const instance = meta['fairlead-instance']
  if (instance === undefined || !Service.Proxy) return undefined
  return {
    instance,
    service: Service.Proxy.DestinationServiceName,
    namespace: meta['namespace'] ?? 'default',
    version: meta['version'] ?? '',
    region: meta['region'] ?? '',
    address: Service.Address || Node?.Address || '127.0.0.1',
    port: Service.Port,
    passing: (Checks ?? []).every((check) => check.Status === 'passing'),
  }
}

// ── revocation (operator API) ───────────────────────────────────────────────────────────────────────────────────────

/** POST /api/v1/revocations: one certificate, or an identity with all that it has and gets. */
export const RevokeRequestSchema = z
  .strictObject({
    serial: z
      .string()
      .regex(/^[0-9a-fA-F:]{1,80}$/)
      .optional(),
    id: z.string().max(2048).optional(),
    reason: z.string().max(256).default(''),
  })
  .refine(({ serial, id }) => (serial === undefined) !== (id === undefined), 'give either serial or id')
export type RevokeRequest = z.infer<typeof RevokeRequestSchema>

export const RevocationSchema = z.object({
  kind: z.enum(['serial', 'id']),
  value: z.string(),
  spiffeId: z.string(),
  reason: z.string(),
  author: z.string(),
  revokedAt: z.string(),
  endsAt: z.string(),
})
export const RevokeAnswerSchema = z.object({ changed: z.boolean(), revocation: RevocationSchema })
/** GET /api/v1/revocations */
export const RevocationsSchema = z.object({ revocations: z.array(RevocationSchema) })
const AuthoritySchema = z.object({
  pem: z.string(),
  serial: z.string(),
  notBefore: z.string(),
  notAfter: z.string(),
  /** Of the DER, hex. */
  sha256: z.string(),
})
/** GET /api/v1/ca: certificates only; keys never leave the control plane. */
export const CaSchema = z.object({
  trustDomain: z.string(),
  roots: z.array(AuthoritySchema),
  /** What signs leaves here. */
  intermediate: AuthoritySchema,
  /** Certificates that have not ended. */
  issued: z.int(),
  revoked: z.int(),
})
export type Ca = z.infer<typeof CaSchema>

/** GET /api/v1/certificates?id=&limit=: those that are valid by their dates, newest first. */
export const CertificatesSchema = z.object({
  certificates: z.array(
    z.object({
      serial: z.string(),
      spiffeId: z.string(),
      proof: z.string(),
      notAfter: z.string(),
      revoked: z.boolean(),
    }),
  ),
})

// ── operator API (http, loopback, X-API-Key) ────────────────────────────────────────────────────────────────────────

/** POST /api/v1/join-tokens */
export const JoinTokenRequestSchema = z.strictObject({
  service: z.string(),
  namespace: z.string().default('default'),
  ttlMs: z.int().min(1000).max(600_000).default(600_000),
})
export const JoinTokenAnswerSchema = z.object({ token: z.string(), spiffeId: z.string(), expiresAt: z.string() })

/** GET /api/v1/mesh: the state of config and sidecars. */
export const MeshStatusSchema = z.object({
  trustDomain: z.string(),
  config: z.object({ version: z.string(), appliedAt: z.string(), sources: z.array(z.string()) }),
  accepted: z.object({ n: z.int(), m: z.int(), missing: z.array(z.string()) }),
  sidecars: z.array(
    z.object({
      instance: z.string(),
      service: z.string(),
      namespace: z.string(),
      version: z.string(),
      connected: z.boolean(),
      /** Snapshot version acked last; '' = none. */
      acked: z.string(),
      current: z.string(),
      nack: z.array(ProblemSchema),
    }),
  ),
  instances: z.array(
    z.object({
      instance: z.string(),
      service: z.string(),
      namespace: z.string(),
      version: z.string(),
      address: z.string(),
      port: z.int(),
      passing: z.boolean(),
    }),
  ),
})
export type MeshStatus = z.infer<typeof MeshStatusSchema>
/** GET /api/v1/config/history, newest first; the newest one runs. */
export const ConfigHistorySchema = z.object({
  history: z.array(
    z.object({
      seq: z.int(),
      version: z.string(),
      appliedAt: z.string(),
      author: z.string(),
      sources: z.array(z.string()),
    }),
  ),
})
export type ConfigHistoryAnswer = z.infer<typeof ConfigHistorySchema>

/** POST /api/v1/config/rollback: a version of the history, or its first 6 digits or more. */
export const RollbackRequestSchema = z.strictObject({ version: z.string().regex(/^[0-9a-f]{6,16}$/) })
/** Answer of PUT /api/v1/config and of a rollback. */
export const ConfigAppliedSchema = z.object({
  version: z.string(),
  /** Version that ran before; '' = none. */
  before: z.string(),
  changed: z.boolean(),
  warnings: z.array(ProblemSchema),
})

const SnapshotChangeSchema = z.object({
  part: z.enum(['mesh', 'service', 'rule', 'backend', 'inbound']),
  name: z.string(),
  change: z.enum(['added', 'removed', 'changed', 'reordered']),
  details: z.array(z.object({ path: z.string(), before: z.unknown().optional(), after: z.unknown().optional() })),
})
/** POST /api/v1/config/diff `{files}` or `{version}`: a dry compile for every known sidecar against what runs. */
export const ConfigDiffSchema = z.object({
  version: z.string(),
  current: z.string(),
  warnings: z.array(ProblemSchema),
  sidecars: z.array(
    z.object({
      service: z.string(),
      namespace: z.string(),
      version: z.string(),
      /** Sidecars that notice the same. */
      instances: z.array(z.string()),
      /** Of all changes; `changes` is bounded. */
      count: z.int(),
      changes: z.array(SnapshotChangeSchema),
    }),
  ),
})
export type ConfigDiff = z.infer<typeof ConfigDiffSchema>

/** PUT /api/v1/config: {files: [{name, text}]}; answers {version} or 422 CONFIG_INVALID with problems `file:line:col`. */
export const ConfigPutSchema = z.strictObject({
  files: z.array(z.strictObject({ name: z.string(), text: z.string().max(1024 * 1024) })).max(1000),
})
export const ConfigDiffRequestSchema = z.union([ConfigPutSchema, RollbackRequestSchema])
