// snapshots.ts — snapshots for tests of the request paths: everything has a value, a test names what it is about.

import type { Backend, Inbound, Policy, Rule, Snapshot } from '../../../mesh-config/snapshot.ts'

export function policyOf(changes: Partial<Policy> = {}): Policy {
  return {
    balance: 'leastRequest',
    limits: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024 },
    connectTimeoutMs: 1_000,
    idleTimeoutMs: 60_000,
    breaker: { failures: 1_000, failurePercent: 50, windowMs: 10_000, openMs: 30_000 },
    outlier: { consecutiveFailures: 1_000, baseEjectionMs: 30_000, maxEjectionMs: 300_000, maxEjectionPercent: 50 },
    retryBudget: { percent: 20, minPerSecond: 10 },
    ...changes,
  }
}

export function backendOf(
  name: string,
  endpoints: { instance: string; port: number; version?: string }[],
  changes: Partial<Backend> = {},
): Backend {
  return {
    name,
    service: name,
    namespace: 'default',
    version: '',
    protocol: 'http',
    transport: changes.identity === undefined ? 'plain' : 'mesh',
    identity: '',
    policy: policyOf(),
    endpoints: endpoints.map((endpoint) => ({ address: '127.0.0.1', version: 'v1', region: '', ...endpoint })),
    ...changes,
  }
}

export function ruleOf(backend: string, changes: Partial<Rule> = {}): Rule {
  return {
    id: `rule-${backend}`,
    route: `default/${backend}`,
    index: 0,
    match: { path: { type: 'PathPrefix', value: '/' }, headers: [], query: [] },
    filters: {},
    backends: [{ backend, weight: 1, filters: {} }],
    timeouts: { requestMs: 15_000, backendRequestMs: null },
    retry: { attempts: 2, codes: [], backoffMs: 1, backoffMaxMs: 5, anyMethod: false },
    ...changes,
  }
}

export function inboundOf(changes: Partial<Inbound> = {}): Inbound {
  return { protocol: 'http', defaultAction: 'allow', rules: [], requestTimeoutMs: null, ...changes }
}

/** One service per backend, each with one rule to it, unless `services` says otherwise. */
export function snapshotOf(changes: Partial<Snapshot>): Snapshot {
  const backends = changes.backends ?? []
  return {
    schema: 1,
    version: '1',
    self: { service: 'app', namespace: 'default', version: 'v1', instance: 'app-1' },
    trustDomain: 'fairlead.local',
    trustBundle: [],
    tracing: { samplePercent: 0 },
    services: backends.map(({ name }) => ({
      service: name,
      namespace: 'default',
      protocol: 'http',
      aliases: [],
      rules: [ruleOf(name)],
    })),
    inbound: inboundOf(),
    ...changes,
    backends,
  }
}
