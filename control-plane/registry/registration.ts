// registration.ts — body of PUT /v1/agent/service/register, parsed the way Consul's agent parses it.
//
// The subset is services with TTL checks; every other kind of check is refused by name, never ignored.
// `Proxy` is kept without `Kind: connect-proxy` too, as in Consul: the `consul` package loses `Kind` on the way.

import { z } from '../../kernel/parse.ts'
import { parseDuration } from './duration.ts'
import { Refusal } from './refusal.ts'

export const CHECKS_PER_SERVICE_MAX = 8
const META_PAIRS_MAX = 64

export type CheckStatus = 'passing' | 'warning' | 'critical'
export const CHECK_STATUSES: readonly CheckStatus[] = ['passing', 'warning', 'critical']

export interface CheckDefinition {
  readonly id: string
  readonly name: string
  readonly notes: string
  readonly ttlMs: number
  readonly status: CheckStatus
  /** Undefined: never deregistered by itself. */
  readonly deregisterAfterMs: number | undefined
}

export interface Registration {
  readonly id: string
  readonly service: string
  readonly kind: '' | 'connect-proxy'
  readonly tags: readonly string[]
  readonly address: string
  readonly port: number
  readonly meta: Readonly<Record<string, string>> | null
  readonly weights: { readonly Passing: number; readonly Warning: number }
  readonly enableTagOverride: boolean
  readonly proxy: Readonly<Record<string, unknown>> | undefined
  readonly checks: readonly CheckDefinition[]
}

const Text = z.string().max(512)
const Check = z.strictObject({
  CheckID: Text.optional(),
  Name: Text.optional(),
  Notes: Text.optional(),
  TTL: z.union([z.string(), z.number()]),
  Status: z.string().optional(),
  DeregisterCriticalServiceAfter: z.union([z.string(), z.number()]).optional(),
  SuccessBeforePassing: z.number().optional(),
  FailuresBeforeWarning: z.number().optional(),
  FailuresBeforeCritical: z.number().optional(),
})
const ProxyBody = z.strictObject({
  DestinationServiceName: Text.optional(),
  DestinationServiceID: Text.optional(),
  LocalServiceAddress: Text.optional(),
  LocalServicePort: z.int().min(0).max(65_535).optional(),
  Config: z.record(z.string(), z.unknown()).optional(),
  Upstreams: z.array(z.unknown()).max(64).optional(),
  MeshGateway: z.record(z.string(), z.unknown()).optional(),
  Expose: z.record(z.string(), z.unknown()).optional(),
})
const Body = z.strictObject({
  ID: Text.optional(),
  Name: Text.optional(),
  Kind: Text.optional(),
  Tags: z.array(Text).max(64).nullish(),
  Address: Text.optional(),
  Port: z.int().min(0).max(65_535).optional(),
  Meta: z.record(z.string().max(128), z.string().max(512)).nullish(),
  Weights: z.strictObject({ Passing: z.int().min(0), Warning: z.int().min(0) }).nullish(),
  EnableTagOverride: z.boolean().optional(),
  Proxy: ProxyBody.nullish(),
  Check: Check.nullish(),
  Checks: z.array(Check).max(CHECKS_PER_SERVICE_MAX).nullish(),
})

/** @throws Refusal with the words that Consul uses for the same mistake. */
export function parseRegistration(value: unknown): Registration {
  const result = Body.safeParse(value)
  if (!result.success) throw decodeRefusal(result.error)
  const body = result.data
  const service = body.Name ?? ''
  if (service === '') throw new Refusal(400, 'Missing service name')
  const kind = parseKind(body.Kind ?? '')
  if (kind === 'connect-proxy' && !body.Proxy?.DestinationServiceName) {
    const text = 'Proxy.DestinationServiceName must be non-empty for Connect proxy services'
    throw new Refusal(400, `1 error occurred:\n\t* ${text}\n\n`)
  }
  if (body.Meta && Object.keys(body.Meta).length > META_PAIRS_MAX) {
    throw new Refusal(400, `Invalid Service Meta: Node metadata cannot contain more than ${META_PAIRS_MAX} key pairs`)
  }
  const id = body.ID || service
  const checks = [...(body.Checks ?? []), ...(body.Check ? [body.Check] : [])]
  return {
    id,
    service,
    kind,
    tags: body.Tags ?? [],
    address: body.Address ?? '',
    port: body.Port ?? 0,
    meta: body.Meta ?? null,
    weights: body.Weights ?? { Passing: 1, Warning: 1 },
    enableTagOverride: body.EnableTagOverride ?? false,
    proxy: body.Proxy ?? undefined,
    checks: checks.map((check, at) => parseCheck(check, id, service, checks.length > 1 ? at + 1 : 0)),
  }
}

function parseKind(text: string): '' | 'connect-proxy' {
  if (text === '' || text === 'connect-proxy') return text
  throw new Refusal(400, `Invalid service: kind ${JSON.stringify(text)} is not served by the built-in registry`)
}

function parseCheck(check: z.infer<typeof Check>, id: string, service: string, order: number): CheckDefinition {
  const ttlMs = durationOf(check.TTL)
  if (ttlMs <= 0) throw new Refusal(400, 'Invalid check: TTL must be > 0 for TTL checks')
  const after = check.DeregisterCriticalServiceAfter
  return {
    id: check.CheckID || (order === 0 ? `service:${id}` : `service:${id}:${order}`),
    name: check.Name || `Service '${service}' check`,
    notes: check.Notes ?? '',
    ttlMs,
    status: check.Status ? parseStatus(check.Status) : 'critical',
    deregisterAfterMs: after === undefined ? undefined : durationOf(after),
  }
}

export function parseStatus(text: string): CheckStatus {
  const status = CHECK_STATUSES.find((known) => known === text)
  if (status === undefined) throw new Refusal(400, `Invalid check status: '${text}'`)
  return status
}

/** Numbers are nanoseconds, as in Go's JSON. */
function durationOf(value: string | number): number {
  const ms = typeof value === 'number' ? value / 1e6 : parseDuration(value)
  if (ms === undefined) throw new Refusal(400, `Request decode failed: time: invalid duration "${value}"`)
  return ms
}

function decodeRefusal(error: z.ZodError): Refusal {
  const first = error.issues[0]!
  if (first.code === 'unrecognized_keys') {
    return new Refusal(400, `Request decode failed: json: unknown field "${first.keys[0]}"`)
  }
  return new Refusal(400, `Request decode failed: ${first.path.join('.')}: ${first.message}`)
}
