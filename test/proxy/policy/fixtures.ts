// fixtures.ts — small snapshots for policy tests.

import type { Backend, Endpoint, Policy, Rule, Snapshot } from '../../../mesh-config/snapshot.ts'
import { parseSnapshot } from '../../../mesh-config/snapshot.ts'

export const POLICY: Policy = {
  balance: 'leastRequest',
  limits: { maxConnections: 64, maxPendingRequests: 64, maxRequests: 1024 },
  connectTimeoutMs: 1000,
  idleTimeoutMs: 4000,
  breaker: { failures: 5, failurePercent: 50, windowMs: 10_000, openMs: 30_000 },
  outlier: { consecutiveFailures: 5, baseEjectionMs: 30_000, maxEjectionMs: 300_000, maxEjectionPercent: 50 },
  retryBudget: { percent: 20, minPerSecond: 10 },
}

export const endpoint = (instance: string, port: number, version = 'v1'): Endpoint => ({
  instance,
  address: '127.0.0.1',
  port,
  version,
  region: '',
})

export function backend(name: string, version: string, endpoints: Endpoint[], policy: Partial<Policy> = {}): Backend {
  return {
    name,
    service: 'worker',
    namespace: 'default',
    version,
    protocol: 'http',
    transport: 'mesh',
    identity: 'spiffe://fairlead.local/ns/default/sa/worker',
    policy: { ...POLICY, ...policy },
    endpoints,
  }
}

export function rule(weights: Record<string, number>, more: Partial<Rule> = {}): Rule {
  return {
    id: 'default/worker/0',
    route: 'default/worker',
    index: 0,
    match: { path: { type: 'PathPrefix', value: '/' }, headers: [], query: [] },
    filters: {},
    backends: Object.entries(weights).map(([name, weight]) => ({ backend: name, weight, filters: {} })),
    timeouts: { requestMs: null, backendRequestMs: null },
    retry: { attempts: 2, codes: [], backoffMs: 25, backoffMaxMs: 250, anyMethod: false },
    ...more,
  }
}

export function snapshot(parts: Partial<Snapshot> & { rules?: Rule[] } = {}): Snapshot {
  const { rules, ...more } = parts
  return parseSnapshot({
    schema: 1,
    version: 's1',
    self: { service: 'scheduler', namespace: 'default', version: 'v1', instance: 'scheduler-1' },
    trustDomain: 'fairlead.local',
    trustBundle: [],
    tracing: { samplePercent: 0 },
    services: [
      {
        service: 'worker',
        namespace: 'default',
        protocol: 'http',
        aliases: ['legacy.example:8080', 'plain.example'],
        rules: rules ?? [rule({ 'worker-v1': 90, 'worker-v2': 10 })],
      },
    ],
    backends: [
      backend('worker-v1', 'v1', [endpoint('w1a', 1001), endpoint('w1b', 1002)]),
      backend('worker-v2', 'v2', [endpoint('w2a', 1003, 'v2')]),
    ],
    inbound: { protocol: 'http', defaultAction: 'allow', rules: [], requestTimeoutMs: null },
    ...more,
  })
}
