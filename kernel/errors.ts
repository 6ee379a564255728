// errors.ts — the one table of error codes, and the error that carries them.
//
// Owns: every code that leaves a Fairlead process. A code is never renamed or reused (docs/errors.md is held equal to
// this table by a test).
// Never: knows who throws. Below the edge nobody reads `status`; the edge (rescue layer, API, CLI) does.
// `message` is for the client; `detail` objects and `cause` are for the log.

export interface ErrorSpec {
  /** HTTP status at the edge. */
  readonly status: number
  /** May the same request succeed later, unchanged? */
  readonly retry: boolean
  /** What the user should do. */
  readonly hint: string
}

export const ERRORS = {
  // Input
  INVALID_INPUT: { status: 400, retry: false, hint: 'Mend the fields listed in `problems`.' },
  INVALID_JSON: { status: 400, retry: false, hint: 'Send one JSON document with content-type application/json.' },
  PAYLOAD_TOO_LARGE: { status: 413, retry: false, hint: 'Send at most the limit named in the detail.' },
  CONFIG_INVALID: {
    status: 422,
    retry: false,
    hint: 'Run `fairlead config validate PATH` and mend every problem it lists.',
  },
  CONFIG_VERSION_UNKNOWN: {
    status: 404,
    retry: false,
    hint: 'Run `fairlead config history` for the versions that are kept.',
  },
  UNSUPPORTED: { status: 501, retry: false, hint: 'This build does not do that; see the CHANGELOG.' },
  // Who may call
  UNAUTHENTICATED: {
    status: 401,
    retry: false,
    hint: 'Send the API key of this data directory in the header X-API-Key.',
  },
  FORBIDDEN: { status: 403, retry: false, hint: 'Ask an operator for a key or policy that allows it.' },
  FOREIGN_ORIGIN: { status: 403, retry: false, hint: 'Call the API from its own origin, or without an Origin header.' },
  HOST_NOT_ALLOWED: {
    status: 403,
    retry: false,
    hint: 'Call the API by a host name of its allow-list (localhost, 127.0.0.1).',
  },
  RATE_LIMITED: { status: 429, retry: true, hint: 'Wait the seconds in Retry-After, then repeat.' },
  // Data path (sidecar)
  BAD_REQUEST: {
    status: 400,
    retry: false,
    hint: 'Send a request that RFC 9112 allows; the detail names the offence.',
  },
  HEADERS_TOO_LARGE: { status: 431, retry: false, hint: 'Send fewer or smaller headers (32 KiB, 100 fields).' },
  REQUEST_TIMEOUT: { status: 408, retry: true, hint: 'Send the request head within 10 s.' },
  EGRESS_DENIED: { status: 403, retry: false, hint: 'Declare a Service with static endpoints for that authority.' },
  ROUTE_NOT_FOUND: { status: 404, retry: false, hint: 'Run `fairlead route explain URL` to see the routes tried.' },
  BACKEND_INVALID: {
    status: 500,
    retry: false,
    hint: 'Run `fairlead config validate`: a backendRef names nothing that exists.',
  },
  POLICY_DENIED: {
    status: 403,
    retry: false,
    hint: 'Allow the caller in an AuthorizationPolicy of the called service.',
  },
  NO_HEALTHY_INSTANCE: {
    status: 503,
    retry: true,
    hint: 'Start an instance, or see `fairlead status` for why none is ready.',
  },
  INSTANCE_GONE: { status: 503, retry: true, hint: 'That instance left; let the mesh pick another.' },
  ENDPOINT_MISMATCH: {
    status: 503,
    retry: true,
    hint: 'The address belongs to another instance now; discovery will catch up.',
  },
  UPSTREAM_CIRCUIT_OPEN: {
    status: 503,
    retry: true,
    hint: 'The backend failed too often; it is probed again within 30 s.',
  },
  UPSTREAM_SATURATED: {
    status: 503,
    retry: true,
    hint: 'Raise maxPendingRequests in the TrafficPolicy or add instances.',
  },
  UPSTREAM_CONNECT_FAILED: {
    status: 503,
    retry: true,
    hint: 'See `fairlead status`; the instance does not accept connections.',
  },
  UPSTREAM_RESET: { status: 503, retry: true, hint: 'The instance closed the connection before it answered.' },
  UPSTREAM_PROTOCOL: { status: 502, retry: false, hint: 'The app answered with something that is not HTTP/1.1.' },
  UPSTREAM_TIMEOUT: {
    status: 504,
    retry: true,
    hint: 'Raise the route timeout or look at the trace for the slow hop.',
  },
  UPSTREAM_TLS: {
    status: 503,
    retry: true,
    hint: 'The peer did not prove the expected identity; see the log of this sidecar.',
  },
  RETRY_BUDGET_EXHAUSTED: {
    status: 503,
    retry: true,
    hint: 'Too many retries for the traffic; they resume when calls succeed.',
  },
  OVERLOADED: { status: 503, retry: true, hint: 'The sidecar is at a limit of its own; slow down or add capacity.' },
  DRAINING: { status: 503, retry: true, hint: 'This process is leaving; call another instance.' },
  NOT_READY: {
    status: 503,
    retry: true,
    hint: 'No snapshot or certificate yet; the control plane must be reachable once.',
  },
  QUOTE_UNKNOWN: { status: 409, retry: true, hint: 'Take a fresh quote; quotes expire after a few seconds.' },
  // Identity
  CSR_INVALID: { status: 400, retry: false, hint: 'Send a PKCS#10 request signed by its own EC P-256 key.' },
  JOIN_TOKEN_INVALID: {
    status: 401,
    retry: false,
    hint: 'Ask the control plane for a new join token; each works once.',
  },
  SPIFFE_ID_INVALID: { status: 400, retry: false, hint: 'Give spiffe://<trust-domain>/ns/<namespace>/sa/<service>.' },
  KEY_INVALID: { status: 400, retry: false, hint: 'Give an unencrypted EC P-256 private key in PEM (PKCS#8).' },
  KEY_SEAL_INVALID: {
    status: 500,
    retry: false,
    hint: 'Give the passphrase that sealed this key; if it is right, the file was changed.',
  },
  ISSUER_EXPIRED: {
    status: 503,
    retry: true,
    hint: 'The signing certificate is past its life; renew the intermediate of this control plane.',
  },
  CERT_INVALID: { status: 400, retry: false, hint: 'Give a PEM file with the certificate chain, leaf first.' },
  IDENTITY_REVOKED: {
    status: 403,
    retry: false,
    hint: 'An operator revoked it; `fairlead ca revocations` says who and why, `fairlead ca restore` takes it back.',
  },
  CERTIFICATE_UNKNOWN: {
    status: 404,
    retry: false,
    hint: 'Run `fairlead ca certificates` for the serials that were signed here, or revoke by --id.',
  },
  PEER_IDENTITY_INVALID: { status: 403, retry: false, hint: 'Present an X509-SVID of this trust domain.' },
  SNAPSHOT_INVALID: {
    status: 422,
    retry: false,
    hint: 'Sidecar and control plane disagree about the schema; update the older one.',
  },
  // Registry
  REGISTRY_UNREACHABLE: { status: 503, retry: true, hint: 'Check the Consul agent named by --consul.' },
  // Jobs
  JOB_NOT_FOUND: { status: 404, retry: false, hint: 'Check the id with `fairlead job list`.' },
  JOB_STATE_CONFLICT: {
    status: 409,
    retry: false,
    hint: 'The job is in a state that does not allow this; read it again.',
  },
  JOB_VERSION_CONFLICT: { status: 409, retry: true, hint: 'Read the job again and repeat with its current version.' },
  IDEMPOTENCY_CONFLICT: { status: 409, retry: false, hint: 'The same idempotency key was used with another body.' },
  ATOMIC_REFUSED: { status: 409, retry: false, hint: 'Another item of the same atomic batch was refused.' },
  QUEUE_FULL: { status: 429, retry: true, hint: 'Retry after the seconds in Retry-After, or raise the queue bound.' },
  SHARD_UNAVAILABLE: { status: 503, retry: true, hint: 'No leader yet; the submission is safe to repeat.' },
  STORE_UNAVAILABLE: { status: 503, retry: true, hint: 'The job store cannot commit; see the scheduler log.' },
  STORE_LOCKED: { status: 503, retry: false, hint: 'Another scheduler uses this data directory; stop it first.' },
  SCHEMA_TOO_NEW: { status: 500, retry: false, hint: 'The data was written by a newer Fairlead; use that version.' },
  SCHEMA_NOT_READY: {
    status: 500,
    retry: false,
    hint: 'Run `fairlead db migrate --database URL` with this version, then start again.',
  },
  SCHEMA_CHANGED: {
    status: 500,
    retry: false,
    hint: 'The database was migrated by another build of the same version; use that build or a fresh database.',
  },
  STORE_UNSAFE: {
    status: 500,
    retry: false,
    hint: 'Turn on the PostgreSQL setting named above; without it an accepted job can be lost.',
  },
  DATABASE_NOT_EMPTY: { status: 409, retry: false, hint: 'Copy into a database that was migrated and never used.' },
  SESSION_UNKNOWN: { status: 409, retry: true, hint: 'Register the worker again.' },
  TOKEN_STALE: { status: 409, retry: false, hint: 'A newer attempt exists; this one must stop.' },
  // Attempt outcomes that we write ourselves (never a handler's own codes)
  HANDLER_UNKNOWN: { status: 400, retry: false, hint: 'No handler of that name in this worker.' },
  HANDLER_FAILED: { status: 500, retry: true, hint: 'See the error and the logs of the attempt.' },
  EXECUTION_TIMEOUT: {
    status: 504,
    retry: true,
    hint: 'Raise executionTimeoutMs or make the handler honour its signal.',
  },
  DEADLINE_PASSED: { status: 504, retry: false, hint: 'Give the job a later deadline.' },
  WORKER_LOST: { status: 503, retry: true, hint: 'The worker session ended while the attempt ran.' },
  POISON: { status: 500, retry: false, hint: 'The job was lost with its worker three times; look at what it does.' },
  // Processes
  PORT_IN_USE: { status: 500, retry: false, hint: 'Stop the process named in the detail or choose another port.' },
  DATA_DIR_IN_USE: {
    status: 409,
    retry: true,
    hint: 'Stop that one first, or give this one another --data-dir.',
  },
  START_FAILED: { status: 500, retry: false, hint: 'Look into the log named above; every process has one.' },
  UNREACHABLE: { status: 503, retry: true, hint: 'Is it running? Start it with `npm start`.' },
  INTERNAL: { status: 500, retry: false, hint: 'This is our fault: report it with the request id.' },
} as const satisfies Record<string, ErrorSpec>

export type ErrorCode = keyof typeof ERRORS

/** One thing wrong with an input. `path` is a JSON path (`$.jobs[3].type`), a header name, or `file:line:column`. */
export interface Problem {
  readonly path: string
  readonly message: string
}

export interface ErrorExtra {
  readonly cause?: unknown
  readonly problems?: readonly Problem[]
  /** For the log only; never sent to a client. */
  readonly log?: Readonly<Record<string, unknown>>
  /** Seconds for Retry-After. */
  readonly retryAfterS?: number
}

/** The world failed in a way that we have a word for. */
export class FairleadError extends Error {
  readonly code: ErrorCode
  readonly problems: readonly Problem[]
  readonly log: Readonly<Record<string, unknown>>
  readonly retryAfterS: number | undefined

  constructor(code: ErrorCode, message: string, extra: ErrorExtra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause })
    this.name = 'FairleadError'
    this.code = code
    this.problems = extra.problems ?? []
    this.log = extra.log ?? {}
    this.retryAfterS = extra.retryAfterS
  }

  get spec(): ErrorSpec {
    return ERRORS[this.code]
  }
}

/** Body of every error answer: `application/problem+json` (RFC 9457) with our members. */
export interface ProblemDocument {
  readonly code: ErrorCode
  readonly title: string
  readonly detail: string
  readonly hint: string
  readonly retryable: boolean
  readonly problems: readonly Problem[]
  readonly requestId?: string
}

export function toProblem(error: FairleadError, requestId?: string): ProblemDocument {
  return {
    code: error.code,
    title: error.code.toLowerCase().replaceAll('_', ' '),
    detail: error.message,
    hint: error.spec.hint,
    retryable: error.spec.retry,
    problems: error.problems,
    ...(requestId === undefined ? {} : { requestId }),
  }
}

/** Anything thrown → FairleadError; what we have no word for becomes INTERNAL with the original as cause. */
export function asFairleadError(thrown: unknown, code: ErrorCode = 'INTERNAL'): FairleadError {
  if (thrown instanceof FairleadError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new FairleadError(code, code === 'INTERNAL' ? 'Internal error.' : message, { cause: thrown, log: { message } })
}

/** We failed: a broken invariant. Stays on in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}
