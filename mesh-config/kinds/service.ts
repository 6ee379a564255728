// service.ts — fairlead.dev/v1 Service: a name that routes and policies can speak of.
//
// Either discovered (`selector`: a registered service, or one version of it, so that worker-v1 is a backend) or static
// (`endpoints`: addresses without a sidecar; `hostnames` let apps call them by their outside names).

import { parseAuthority } from '../../kernel/authority.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { z } from '../../kernel/parse.ts'
import { HOSTNAME, Label, type Report, ServiceMetadata } from './common.ts'
import { OUR_API } from './mesh.ts'
import { principalFault } from './principal.ts'

const ENDPOINTS_MAX = 1000
const HOSTNAMES_MAX = 16

const StaticEndpoint = z.strictObject({
  /** IP address or host name. */
  address: z.string().min(1).max(253),
  port: z.int().min(1).max(65_535),
  /** Name in logs and metrics; default `<service>-<number>`. */
  instance: z.string().min(1).max(253).optional(),
  version: z.string().max(63).optional(),
  region: z.string().max(63).optional(),
})
export type StaticEndpoint = z.infer<typeof StaticEndpoint>

export const ServiceDocumentSchema = z.strictObject({
  apiVersion: z.literal(OUR_API),
  kind: z.literal('Service'),
  metadata: ServiceMetadata,
  spec: z.strictObject({
    protocol: z.enum(['http', 'h2c', 'grpc', 'tcp']).optional(),
    selector: z.strictObject({ service: Label.optional(), version: z.string().min(1).max(63).optional() }).optional(),
    endpoints: z.array(StaticEndpoint).min(1).max(ENDPOINTS_MAX).optional(),
    /** Outside `host` or `host:port` that lead here; only with endpoints. */
    hostnames: z.array(z.string().min(1).max(300)).max(HOSTNAMES_MAX).optional(),
    /** SPIFFE ID that every static endpoint must prove: makes the connection mTLS. */
    identity: z.string().max(2048).optional(),
  }),
})
export type ServiceDocument = z.infer<typeof ServiceDocumentSchema>

export function checkService(service: ServiceDocument, report: Report): void {
  const { selector, endpoints, hostnames, identity } = service.spec
  if (selector && endpoints) {
    const hint = 'Remove selector for static addresses, or endpoints for discovered ones.'
    report.error(['spec', 'endpoints'], 'key', 'CONFLICT', 'selector and endpoints exclude each other', hint)
  }
  for (const field of ['hostnames', 'identity'] as const) {
    if (service.spec[field] !== undefined && !endpoints) {
      report.error(['spec', field], 'key', 'CONFLICT', `${field} needs static endpoints`)
    }
  }
  for (const [index, name] of (hostnames ?? []).entries()) checkHostname(name, index, report)
  for (const [index, endpoint] of (endpoints ?? []).entries()) checkEndpoint(endpoint, index, report)
  const fault = identity === undefined ? undefined : identity.endsWith('*') ? 'is a pattern' : principalFault(identity)
  if (fault) report.error(['spec', 'identity'], 'value', 'BAD_PRINCIPAL', `"${identity}" ${fault}`)
}

function checkHostname(name: string, index: number, report: Report): void {
  const path = ['spec', 'hostnames', index]
  const authority = tryAuthority(name)
  if (authority === undefined || name !== name.toLowerCase() || name.endsWith('.')) {
    report.error(path, 'value', 'BAD_HOSTNAME', `"${name}" is no lower-case host or host:port`)
  } else if (authority.kind === 'mesh') {
    const hint = `A Service is called ${authority.canonical} without saying so.`
    report.error(path, 'value', 'BAD_HOSTNAME', 'names under .mesh are given by the mesh', hint)
  } else if (isUncallable(authority.host)) {
    report.error(path, 'value', 'BAD_HOSTNAME', `${authority.host} is link-local: no app may call it through the mesh`)
  }
}

function checkEndpoint(endpoint: StaticEndpoint, index: number, report: Report): void {
  const path = ['spec', 'endpoints', index, 'address']
  const authority = tryAuthority(endpoint.address.includes(':') ? `[${endpoint.address}]` : endpoint.address)
  const isHost = authority?.kind === 'outside' && authority.port === undefined
  if (!isHost || (authority.address === 'name' && !HOSTNAME.test(authority.host))) {
    report.error(path, 'value', 'BAD_ADDRESS', `"${endpoint.address}" is neither an IP address nor a host name`)
  } else if (isUncallable(authority.host)) {
    report.error(path, 'value', 'BAD_ADDRESS', `${endpoint.address} is link-local (metadata services live there)`)
  }
}

const isUncallable = (host: string): boolean =>
  host.startsWith('169.254.') ||
  /^fe[89ab][0-9a-f]:/.test(host) ||
  host === 'metadata.google.internal' ||
  host === 'fd00:ec2::254'

function tryAuthority(text: string): ReturnType<typeof parseAuthority> | undefined {
  try {
    return parseAuthority(text)
  } catch (error) {
    if (error instanceof FairleadError) return undefined
    throw error
  }
}
