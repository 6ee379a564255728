// control-plane.ts — all parts of one control plane, started in order and owned by one lifetime.
//
// state → registry → authorities → discovery → reconcile → port for sidecars → operator API. Closed in reverse.

import { join } from 'node:path'
import { writePrivateFile } from '../certs/private-file.ts'
import { createSealer } from '../certs/seal.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Lifetime } from '../kernel/lifetime.ts'
import type { Log } from '../kernel/log.ts'
import type { Random } from '../kernel/random.ts'
import { openApiKey } from './api/api-key.ts'
import { startApi } from './api/server.ts'
import { readConfigFiles } from './config-files.ts'
import { ConfigStore } from './config-store.ts'
import { type Discovery, startDiscovery } from './discovery/discovery.ts'
import { type Authorities, openAuthorities } from './identity/authorities.ts'
import { JoinTokens } from './identity/join-tokens.ts'
import { startOwnIdentity } from './identity/own-identity.ts'
import { Signer } from './identity/sign.ts'
import { meshStatus } from './mesh-status.ts'
import { createMetrics } from './metrics.ts'
import type { Options } from './options.ts'
import { startReconciler } from './reconcile.ts'
import { startRegistry } from './registry/server.ts'
import { Audit } from './state/audit.ts'
import { ConfigHistory, configVersion } from './state/config-history.ts'
import { openDatabase } from './state/database.ts'
import { Issued } from './state/issued.ts'
import { Kept } from './state/kept.ts'
import { openSecretFile } from './state/secret-file.ts'
import { startStreamServer } from './stream/server.ts'
import { Sidecars } from './stream/sidecars.ts'

export const TRUST_BUNDLE_FILE = 'trust-bundle.pem'
const PRUNE_MS = 3_600_000

export interface Ambient {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface Ports {
  readonly api: number
  readonly stream: number
  readonly registry?: number
}

export async function startControlPlane(options: Options, ambient: Ambient, life: Lifetime): Promise<Ports> {
  const { clock, random, log } = ambient
  const { trustDomain } = options
  const { sql } = life.own(openDatabase(options.state))
  const key = openApiKey(options.apiKeyFile)
  const audit = new Audit(sql, clock)
  const kept = new Kept(sql)
  const issued = new Issued(sql, clock)
  const registry = options.registry && life.own(await startRegistry({ listen: options.registry, ...ambient }))
  const authorities = await openIdentity(options, ambient, sql, audit)
  let wake = (): void => undefined // until there is a loop to wake
  const onChange = (): void => wake()
  const config = new ConfigStore({ history: new ConfigHistory(sql, clock), audit, trustDomain, log, onChange })
  applyConfigFlag(config, options.config, log)

  const metrics = createMetrics({
    connected: () => sidecars.connected().length,
    instances: () => discovery.instances.length,
  })
  const sidecars = new Sidecars({
    kept,
    clock,
    log,
    isRegistered: (instance) => discovery.isRegistered(instance),
    onConnected: onChange,
    onPushed: () => metrics.pushes.inc(),
    onAcked: (latencyMs) => metrics.convergence.observe(latencyMs / 1000),
    onNacked: () => metrics.rejects.inc(),
  })
  const discovery: Discovery = life.own(
    startDiscovery({
      consulUrl: options.consul ?? registry!.url,
      known: kept.instances(),
      onChange: (instances) => {
        kept.saveInstances(instances)
        onChange()
      },
      ...ambient,
    }),
  )
  const reconciler = life.own(
    startReconciler({
      sidecars,
      config: () => config.config,
      instances: () => discovery.instances,
      trustBundle: () => authorities.bundlePem,
      clock,
      log,
    }),
  )
  wake = () => reconciler.wake()

  const tokens = new JoinTokens({ trustDomain, keys: authorities.tokenKeys, clock })
  const signer = new Signer({
    sql,
    authorities,
    tokens,
    issued,
    audit,
    clock,
    random,
    leafTtlMs: () => options.dangerShortTtlMs ?? config.config.mesh.leafTtlMs,
    dangerShortTtl: options.dangerShortTtlMs !== undefined,
    onIssued: () => metrics.issued.inc(),
  })
  const own = life.own(
    await startOwnIdentity({
      signer,
      authorities,
      trustDomain,
      clock,
      log,
      onExpiry: (leafMs, issuerMs) => {
        metrics.expiry.labels('leaf').set((clock.wall() + leafMs) / 1000)
        metrics.expiry.labels('intermediate').set((clock.wall() + issuerMs) / 1000)
      },
    }),
  )
  const prune = clock.every(PRUNE_MS, () => issued.prune())
  life.onClose(() => prune.cancel())

  const streamParts = { listen: options.stream, trustDomain, authorities, own, signer, sidecars }
  const stream = life.own(await startStreamServer({ ...streamParts, ...ambient }))
  const api = life.own(
    await startApi({
      listen: options.api,
      key,
      metrics,
      tokens,
      config,
      audit,
      mesh: () =>
        meshStatus({
          trustDomain,
          applied: config.applied,
          sidecars: sidecars.all(),
          instances: discovery.instances,
        }),
      notReady: () => (discovery.reachable ? [] : ['the registry does not answer']),
      ...ambient,
    }),
  )
  return { api: api.port, stream: stream.port, ...(registry ? { registry: registry.port } : {}) }
}

async function openIdentity(
  options: Options,
  ambient: Ambient,
  sql: ReturnType<typeof openDatabase>['sql'],
  audit: Audit,
): Promise<Authorities> {
  const sealer = createSealer(Buffer.from(openSecretFile(options.sealSecretFile)), ambient.random)
  const { trustDomain } = options
  const authorities = await openAuthorities({ sql, audit, sealer, trustDomain, ...ambient })
  await writePrivateFile(join(options.state, TRUST_BUNDLE_FILE), authorities.bundlePem.join(''))
  return authorities
}

/** `--config` wins at start when it differs from what the state holds; the log says which one runs. */
function applyConfigFlag(config: ConfigStore, path: string | undefined, log: Log): void {
  const stored = config.applied
  if (path === undefined) {
    log.info({ version: stored?.version ?? '' }, stored ? 'config of the state runs' : 'no config yet')
    return
  }
  const files = readConfigFiles(path)
  if (stored?.version === configVersion(files)) {
    log.info({ version: stored.version, path }, 'config of the state runs; --config is the same')
    return
  }
  try {
    const { version } = config.apply(files, '--config')
    log.info({ version, path, before: stored?.version ?? '' }, 'config of --config runs; it differed from the state')
  } catch (error) {
    if (!stored) throw error
    log.error({ error, path, version: stored.version }, '--config is invalid; config of the state runs')
  }
}
