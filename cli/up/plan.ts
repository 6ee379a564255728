// plan.ts — which processes `up` runs, and with which flags. Pure, apart from taking ports.
//
// Every app listens before its sidecar is up and keeps trying (docs/dispatch.md), so apps and control plane start at
// the same time; sidecars need the control plane's trust bundle and a join token, so they come second.

import { join, resolve } from 'node:path'
import type { Paths } from './data-dir.ts'
import type { Ports } from './ports.ts'
import type { ProcessSpec } from './supervised.ts'

export const ROOT = resolve(import.meta.dirname, '../..')
const HOST = '127.0.0.1'
const NAMESPACE = 'default'
const DEMO_WORKERS = [
  { version: 'v1', instance: 'worker-v1-1' },
  { version: 'v1', instance: 'worker-v1-2' },
  { version: 'v2', instance: 'worker-v2-1' },
] as const

export interface PlanInput {
  readonly paths: Paths
  readonly ports: Ports
  readonly env: Readonly<Record<string, string | undefined>>
  readonly fairleadVersion: string
  readonly demo: boolean
  readonly badCanary: boolean
  /** undefined: the built-in registry. */
  readonly consul: string | undefined
  /** undefined: the embedded store. In the environment of the scheduler only: it may hold a password. */
  readonly database: string | undefined
}

/** A sidecar and the app that it stands beside. */
export interface Pair {
  readonly app: ProcessSpec
  readonly sidecar: ProcessSpec
  readonly service: string
  readonly namespace: string
  /** Where the join token for the sidecar's next start belongs. */
  readonly joinTokenFile: string
}

export interface Plan {
  readonly controlPlane: ProcessSpec
  readonly pairs: readonly Pair[]
  readonly addresses: {
    readonly controlApi: string
    readonly jobs: string
    readonly proxy: string
    readonly admin: string
  }
}

export async function planProcesses(input: PlanInput): Promise<Plan> {
  const { ports, demo } = input
  const control = {
    api: await ports.wellKnown('controlApi'),
    stream: await ports.wellKnown('controlStream'),
    registry: input.consul === undefined ? await ports.wellKnown('registry') : 0,
  }
  const jobs = await ports.wellKnown('jobs')
  const proxy = await ports.wellKnown('proxy')
  const consul = input.consul ?? `http://${HOST}:${control.registry}`
  const shared = { input, consul, stream: control.stream }
  const scheduler = await schedulerPair(shared, jobs, proxy)
  const workers: Pair[] = []
  for (const worker of demo ? DEMO_WORKERS : []) workers.push(await workerPair(shared, worker))
  return {
    controlPlane: controlPlane(input, control),
    pairs: [scheduler.pair, ...workers],
    addresses: {
      controlApi: `http://${HOST}:${control.api}`,
      jobs: `http://${HOST}:${jobs}`,
      proxy: `http://${HOST}:${proxy}`,
      admin: `http://${HOST}:${scheduler.admin}`,
    },
  }
}

interface Shared {
  readonly input: PlanInput
  readonly consul: string
  readonly stream: number
}

function controlPlane(input: PlanInput, ports: { api: number; stream: number; registry: number }): ProcessSpec {
  const { paths, consul } = input
  return {
    name: 'control-plane',
    role: 'control-plane',
    version: input.fairleadVersion,
    script: join(ROOT, 'control-plane', 'main.ts'),
    env: input.env,
    args: [
      ...['--state', paths.controlPlane, '--api-key-file', paths.apiKey],
      ...['--api', at(ports.api), '--stream', at(ports.stream)],
      ...(consul === undefined ? ['--registry', at(ports.registry)] : ['--consul', consul]),
    ],
  }
}

async function schedulerPair(shared: Shared, jobs: number, outbound: number): Promise<{ pair: Pair; admin: number }> {
  const { input } = shared
  const admin = await input.ports.other()
  const app: ProcessSpec = {
    name: 'scheduler',
    role: 'scheduler',
    version: input.fairleadVersion,
    script: join(ROOT, 'scheduler', 'main.ts'),
    env: input.database === undefined ? input.env : { ...input.env, DATABASE_URL: input.database },
    args: [
      ...['--state', input.paths.scheduler, '--api-key-file', input.paths.apiKey],
      ...['--listen', at(jobs), '--sidecar', `http://${at(outbound)}`],
      ...['--database', input.database === undefined ? 'embedded' : 'env'],
    ],
  }
  const identity = { service: 'scheduler', version: input.fairleadVersion, instance: 'scheduler' }
  const ports = { app: jobs, outbound, inbound: await input.ports.other(), admin }
  return { pair: pairOf(app, shared, identity, ports), admin }
}

async function workerPair(shared: Shared, worker: { version: string; instance: string }): Promise<Pair> {
  const { ports, paths, env, badCanary } = shared.input
  const own = { app: await ports.other(), outbound: await ports.other(), inbound: await ports.other() }
  const app: ProcessSpec = {
    name: worker.instance,
    role: 'worker',
    version: worker.version,
    script: join(ROOT, 'workers', 'audit', 'main.ts'),
    env,
    args: [
      ...['--version', worker.version, '--listen', at(own.app), '--sidecar', `http://${at(own.outbound)}`],
      ...['--sink', paths.executions],
      ...(badCanary && worker.version === 'v2' ? ['--bad-canary'] : []),
    ],
  }
  return pairOf(app, shared, { service: 'worker', ...worker }, { ...own, admin: await ports.other() })
}

function pairOf(
  app: ProcessSpec,
  { input, consul, stream }: Shared,
  identity: { service: string; version: string; instance: string },
  ports: { app: number; outbound: number; inbound: number; admin: number },
): Pair {
  const state = input.paths.sidecar(identity.instance)
  const joinTokenFile = join(state, 'join-token')
  const sidecar: ProcessSpec = {
    name: `${identity.instance}-sidecar`,
    role: 'proxy',
    version: input.fairleadVersion,
    script: join(ROOT, 'proxy', 'main.ts'),
    env: input.env,
    args: [
      ...['--service', identity.service, '--namespace', NAMESPACE],
      ...['--version', identity.version, '--instance', identity.instance],
      ...['--app', at(ports.app), '--outbound', at(ports.outbound)],
      ...['--inbound', at(ports.inbound), '--admin', at(ports.admin)],
      ...['--control-plane', `https://${at(stream)}`, '--trust-bundle', input.paths.trustBundle],
      ...['--join-token-file', joinTokenFile, '--consul', consul, '--state', state],
    ],
  }
  return { app, sidecar, service: identity.service, namespace: NAMESPACE, joinTokenFile }
}

const at = (port: number): string => `${HOST}:${port}`
