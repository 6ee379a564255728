// fairlead.ts — our side of the bench: real proxy/main.ts processes in standalone mode, every feature on.
//
// Routing, split, retries, breaker, outlier detection, metrics, JSON access log, and 1 % tracing to a collector that the
// bench itself serves.

import { join } from 'node:path'
import type { Backend, Snapshot } from '../../mesh-config/snapshot.ts'
import { type MeshFiles, TRUST_DOMAIN } from './mesh-files.ts'
import { type Running, start } from './processes.ts'
import type { Scene, Side } from './sides.ts'

const MAIN = join(import.meta.dirname, '../../proxy/main.ts')

export async function fairleadSide(files: MeshFiles, scene: Scene, collector: string): Promise<Side> {
  if (scene.hops === 'one') {
    const one = await sidecar(files, 'caller', snapshot('caller', scene.tlsUpstream), collector, [])
    return { name: 'ours', port: one.ports['outbound']!, pids: [one.running.pid], stop: () => one.running.stop() }
  }
  const inboundFlags = ['--inbound', '127.0.0.1:0', '--app', `127.0.0.1:${scene.plainUpstream}`]
  const second = await sidecar(files, 'app', snapshot('app', scene.plainUpstream), collector, inboundFlags)
  const first = await sidecar(files, 'caller', snapshot('caller', second.ports['inbound']!), collector, [])
  return {
    name: 'ours',
    port: first.ports['outbound']!,
    pids: [first.running.pid, second.running.pid],
    async stop() {
      await first.running.stop()
      await second.running.stop()
    },
  }
}

interface Sidecar {
  readonly running: Running
  readonly ports: Readonly<Record<string, number>>
}

async function sidecar(
  files: MeshFiles,
  service: 'caller' | 'app',
  value: Snapshot,
  collector: string,
  more: readonly string[],
): Promise<Sidecar> {
  const profile = process.env['FAIRLEAD_BENCH_PROF']
  const nodeFlags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]
  const { cert, key } = files[service]
  const name = `${service}-${value.version}`
  const args = [
    ...nodeFlags,
    MAIN,
    ...['--snapshot', files.file(`${name}.json`, JSON.stringify(value))],
    ...['--cert', cert, '--key', key, '--trust-bundle', files.bundle],
    ...['--outbound', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
    ...['--access-log', join(files.dir, `${name}.access.log`)],
    ...more,
  ]
  const running = start(process.execPath, args, { OTEL_EXPORTER_OTLP_ENDPOINT: collector })
  return { running, ports: await readyPorts(running) }
}

async function readyPorts(running: Running): Promise<Record<string, number>> {
  const end = performance.now() + 15_000
  while (performance.now() < end && running.child.exitCode === null) {
    for (const line of running.output().split('\n')) {
      if (!line.includes('"message":"ready"')) continue
      const { ports } = JSON.parse(line) as { ports: Record<string, number> }
      return ports
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`the sidecar did not get ready: ${running.output().slice(-2_000)}`)
}

function snapshot(service: string, upstream: number): Snapshot {
  return {
    schema: 1,
    version: `bench-${upstream}`,
    self: { service, namespace: 'default', version: 'v1', instance: 'app-1' },
    trustDomain: TRUST_DOMAIN,
    trustBundle: [],
    tracing: { samplePercent: 1 },
    services: [
      {
        service: 'app',
        namespace: 'default',
        protocol: 'http',
        aliases: [],
        rules: [
          {
            id: 'default/app/0',
            route: 'default/app',
            index: 0,
            match: { path: { type: 'PathPrefix', value: '/' }, headers: [], query: [] },
            filters: {},
            backends: [{ backend: 'app', weight: 1, filters: {} }],
            timeouts: { requestMs: 15_000, backendRequestMs: null },
            retry: { attempts: 2, codes: [503], backoffMs: 25, backoffMaxMs: 250, anyMethod: false },
          },
        ],
      },
    ],
    backends: [backend(upstream)],
    inbound: { protocol: 'http', defaultAction: 'allow', rules: [], requestTimeoutMs: null },
  }
}

function backend(port: number): Backend {
  return {
    name: 'app',
    service: 'app',
    namespace: 'default',
    version: '',
    protocol: 'http',
    transport: 'mesh',
    identity: `spiffe://${TRUST_DOMAIN}/ns/default/sa/app`,
    policy: {
      balance: 'leastRequest',
      limits: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024 },
      connectTimeoutMs: 1_000,
      idleTimeoutMs: 60_000,
      breaker: { failures: 5, failurePercent: 50, windowMs: 10_000, openMs: 30_000 },
      outlier: { consecutiveFailures: 5, baseEjectionMs: 30_000, maxEjectionMs: 300_000, maxEjectionPercent: 50 },
      retryBudget: { percent: 20, minPerSecond: 10 },
    },
    endpoints: [{ instance: 'app-1', address: '127.0.0.1', port, version: 'v1', region: '' }],
  }
}
