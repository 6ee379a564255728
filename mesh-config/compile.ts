// compile.ts — config and what discovery found → the snapshot of one sidecar. Pure; the same input gives the same bytes.
//
// Two sidecars of one service get equal routes and differ in `self` only. What cannot be resolved here becomes an
// `invalid` marker (its share of requests is answered 500), never an exception: discovery may change under a config
// that was valid when it was applied.

import { createHash } from 'node:crypto'
import { DEFAULT_NAMESPACE } from '../kernel/authority.ts'
import type { MeshConfig, ServiceResource } from './config.ts'
import { DEFAULT_PROTOCOL } from './defaults.ts'
import { serviceIdentity } from './kinds/principal.ts'
import { targetsOf } from './kinds/traffic-policy.ts'
import { canonicalSpelling } from './path.ts'
import { policiesFor, requestTimeoutOf, resolvePolicy } from './policy.ts'
import { type RankedRule, rulesOf } from './rules.ts'
import type { AuthorizationRule, Backend, Endpoint, Inbound, Service, Snapshot } from './snapshot.ts'
import { SNAPSHOT_SCHEMA } from './snapshot.ts'

/** One process of a service, as discovery knows it (control-plane/contract.ts has the same shape). */
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

/** Whose snapshot it is. */
export interface Self {
  readonly service: string
  readonly namespace: string
  readonly version: string
  readonly instance: string
}

/** Only passing instances become endpoints. `trustBundle`: root certificates, PEM. */
export function compileSnapshot(
  config: MeshConfig,
  instances: readonly Instance[],
  self: Self,
  trustBundle: readonly string[],
  revoked?: { readonly serials: readonly string[]; readonly ids: readonly string[] },
): Snapshot {
  const destinations = destinationsOf(config, instances)
  const { trustDomain, samplePercent } = config.mesh
  return stamped({
    schema: SNAPSHOT_SCHEMA,
    version: '',
    self: { service: self.service, namespace: self.namespace, version: self.version, instance: self.instance },
    trustDomain,
    trustBundle: [...trustBundle],
    tracing: { samplePercent },
    ...(revoked === undefined ? {} : { revoked: { serials: [...revoked.serials], ids: [...revoked.ids] } }),
    services: destinations.map((one) => ({
      service: one.name,
      namespace: one.namespace,
      protocol: one.protocol,
      aliases: one.aliases,
      rules: rulesTo(config, destinations, one, self.namespace).map((ranked) => ranked.rule),
    })),
    backends: destinations.map((one) => backendOf(config, one, instances)),
    inbound: inboundOf(config, self),
  })
}

/** The version is a hash of everything else. */
export function stamped(snapshot: Snapshot): Snapshot {
  const content = JSON.stringify({ ...snapshot, version: '' })
  return { ...snapshot, version: createHash('sha256').update(content).digest('hex').slice(0, 16) }
}

// ── destinations ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Something that can be called: a Service document, or a discovered service that has none. */
export interface Destination {
  readonly name: string
  readonly namespace: string
  readonly protocol: Service['protocol']
  readonly aliases: string[]
  /** The registered service and version behind it; '' = any version. */
  readonly service: string
  readonly version: string
  readonly resource: ServiceResource | undefined
}

/** Sorted by namespace and name. */
export function destinationsOf(config: MeshConfig, instances: readonly Instance[]): Destination[] {
  const byId = new Map<string, Destination>()
  for (const { service: name, namespace } of instances) {
    const bare = { name, namespace, protocol: DEFAULT_PROTOCOL, aliases: [], service: name, version: '' } as const
    byId.set(`${namespace}/${name}`, { ...bare, aliases: [], resource: undefined })
  }
  for (const resource of config.services) {
    const { name, namespace, spec } = resource
    byId.set(`${namespace}/${name}`, {
      name,
      namespace,
      protocol: spec.protocol ?? DEFAULT_PROTOCOL,
      aliases: [...(spec.hostnames ?? [])],
      service: spec.selector?.service ?? name,
      version: spec.selector?.version ?? '',
      resource,
    })
  }
  return [...byId.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, destination]) => destination)
}

/** Key into Snapshot.backends: the name; outside the default namespace `name.namespace` (names hold no dots). */
export function backendKey(name: string, namespace: string): string {
  return namespace === DEFAULT_NAMESPACE ? name : `${name}.${namespace}`
}

export function rulesTo(
  config: MeshConfig,
  destinations: readonly Destination[],
  to: Destination,
  callerNamespace: string,
): RankedRule[] {
  return rulesOf(config.routes, {
    service: { name: to.name, namespace: to.namespace },
    callerNamespace,
    backend: ({ name, namespace }) => {
      const found = destinations.find((one) => one.name === name && one.namespace === namespace)
      if (!found) return { invalid: 'BackendNotFound' }
      // An HTTP request cannot go to a Service that speaks bare TCP, nor the other way round.
      const bothTcp = (found.protocol === 'tcp') === (to.protocol === 'tcp')
      return bothTcp ? { key: backendKey(name, namespace) } : { invalid: 'UnsupportedProtocol' }
    },
    requestMs: requestTimeoutOf(policiesFor(config, to.namespace, to.name, to.service)),
  })
}

// ── backends ────────────────────────────────────────────────────────────────────────────────────────────────────────

function backendOf(config: MeshConfig, to: Destination, instances: readonly Instance[]): Backend {
  const spec = to.resource?.spec
  const isStatic = spec?.endpoints !== undefined
  const transport = isStatic && spec.identity === undefined ? 'plain' : 'mesh'
  const identity = spec?.identity ?? serviceIdentity(config.mesh.trustDomain, to.namespace, to.service)
  return {
    name: backendKey(to.name, to.namespace),
    service: isStatic ? to.name : to.service,
    namespace: to.namespace,
    version: to.version,
    protocol: to.protocol,
    transport,
    identity: transport === 'plain' ? '' : identity,
    policy: resolvePolicy(policiesFor(config, to.namespace, to.name, to.service), transport),
    endpoints: isStatic ? staticEndpoints(to) : discoveredEndpoints(to, instances),
  }
}

function staticEndpoints(to: Destination): Endpoint[] {
  return (to.resource?.spec.endpoints ?? []).map((endpoint, index) => ({
    instance: endpoint.instance ?? `${to.name}-${index + 1}`,
    address: endpoint.address,
    port: endpoint.port,
    version: endpoint.version ?? '',
    region: endpoint.region ?? '',
  }))
}

function discoveredEndpoints(to: Destination, instances: readonly Instance[]): Endpoint[] {
  return instances
    .filter((one) => one.passing && one.service === to.service && one.namespace === to.namespace)
    .filter((one) => to.version === '' || one.version === to.version)
    .map(({ instance, address, port, version, region }) => ({ instance, address, port, version, region }))
    .sort((a, b) => (a.instance < b.instance ? -1 : a.instance > b.instance ? 1 : 0))
}

// ── inbound ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A policy is for us when its target is our service, or a Service whose selector selects us. */
export function inboundOf(config: MeshConfig, self: Self): Inbound {
  const names = namesOf(config, self)
  const own = config.services.find((one) => one.name === self.service && one.namespace === self.namespace)
  const policies = config.authorizationPolicies.filter(
    (policy) => policy.namespace === self.namespace && targetsOf(policy).some((target) => names.has(target.name)),
  )
  return {
    protocol: own?.spec.protocol ?? DEFAULT_PROTOCOL,
    defaultAction: policies.length > 0 ? 'deny' : 'allow',
    rules: policies.flatMap(authorizationRules).sort((a, b) => denyFirst(a) - denyFirst(b)),
    requestTimeoutMs: requestTimeoutOf(policiesFor(config, self.namespace, self.service, self.service)),
  }
}

function namesOf(config: MeshConfig, self: Self): Set<string> {
  const selecting = config.services.filter(
    ({ name, namespace, spec }) =>
      namespace === self.namespace &&
      spec.endpoints === undefined &&
      (spec.selector?.service ?? name) === self.service &&
      (spec.selector?.version ?? self.version) === self.version,
  )
  return new Set([self.service, ...selecting.map((service) => service.name)])
}

function authorizationRules(policy: MeshConfig['authorizationPolicies'][number]): AuthorizationRule[] {
  return (policy.spec.rules ?? []).map((rule) => ({
    policy: `${policy.namespace}/${policy.name}`,
    action: policy.spec.action ?? 'ALLOW',
    principals: rule.from?.principals ?? [],
    namespaces: rule.from?.namespaces ?? [],
    methods: rule.to?.methods ?? [],
    paths: (rule.to?.paths ?? []).map(canonicalSpelling),
  }))
}

const denyFirst = (rule: AuthorizationRule): number => (rule.action === 'DENY' ? 0 : 1)
