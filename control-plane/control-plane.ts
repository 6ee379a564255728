// control-plane.ts — all parts of one control plane, started in order and owned by one lifetime.
//
// state → registry → authorities → discovery → reconcile → port for sidecars → operator API. Closed in reverse.

import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { writePrivateFile } from '../certs/private-file.ts'
import { createSealer } from '../certs/seal.ts'
import type { Clock, WallMs } from '../kernel/clock.ts'
import type { Lifetime } from '../kernel/lifetime.ts'
import type { Log } from '../kernel/log.ts'
import type { Random } from '../kernel/random.ts'
import { readConfigFiles } from '../mesh-config/files.ts'
import { openApiKey } from './api/api-key.ts'
import { startApi } from './api/server.ts'
import { ConfigStore } from './config-store.ts'
import type { Ca, MeshStatus } from './contract.ts'
import { startDiscovery } from './discovery/discovery.ts'
import type { World } from './dry-compile.ts'
import { type Authorities, openAuthorities } from './identity/authorities.ts'
import { describeCa } from './identity/describe-ca.ts'
import { JoinTokens } from './identity/join-tokens.ts'
import { type OwnIdentity, startOwnIdentity } from './identity/own-identity.ts'
import { Revoker } from './identity/revoke.ts'
import { Signer } from './identity/sign.ts'
import { meshStatus } from './mesh-status.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import type { Options } from './options.ts'
import { startReconciler } from './reconcile.ts'
import { startRegistry } from './registry/server.ts'
import { Audit } from './state/audit.ts'
import { ConfigHistory, configVersion } from './state/config-history.ts'
import { openDatabase } from './state/database.ts'
import { Issued } from './state/issued.ts'
import { Kept } from './state/kept.ts'
import { Revocations } from './state/revocations.ts'
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
  const { clock, log } = ambient
  const { trustDomain } = options
  const key = openApiKey(options.apiKeyFile)
  const state = openState(options, ambient, life)
  const registry = options.registry && life.own(await startRegistry({ listen: options.registry, ...ambient }))
  const authorities = await openIdentity(options, ambient, state)

  let wake = (): void => undefined // until there is a loop to wake
  const onChange = (): void => wake()
  // Until discovery and sidecars are there: those that the state remembers.
  let world = (): World => ({
    sidecars: state.kept.sidecars(),
    instances: state.kept.instances(),
    trustBundle: authorities.bundlePem,
  })
  const config = new ConfigStore({ ...state, trustDomain, log, onChange, world: () => world() })
  await applyConfigFlag(config, options.config, log)
  const discovery = life.own(
    startDiscovery({
      consulUrl: options.consul ?? registry!.url,
      known: state.kept.instances(),
      onChange: (instances) => {
        state.kept.saveInstances(instances)
        onChange()
      },
      ...ambient,
    }),
  )
  const metrics = createMetrics({
    connected: () => sidecars.connected().length,
    instances: () => discovery.instances.length,
  })
  const sidecars = new Sidecars({
    kept: state.kept,
    clock,
    log,
    isRegistered: (instance) => discovery.isRegistered(instance),
    onConnected: onChange,
    onPushed: () => metrics.pushes.inc(),
    onAcked: (latencyMs) => metrics.convergence.observe(latencyMs / 1000),
    onNacked: () => metrics.rejects.inc(),
  })
  const reconciler = life.own(
    startReconciler({
      sidecars,
      config: () => config.config,
      instances: () => discovery.instances,
      trustBundle: () => authorities.bundlePem,
      revoked: () => state.revocations.current,
      clock,
      log,
    }),
  )
  wake = () => reconciler.wake()
  world = () => ({
    sidecars: sidecars.all().map((one) => one.known),
    instances: discovery.instances,
    trustBundle: authorities.bundlePem,
  })

  const { tokens, signer, own } = await startSigning({ options, ambient, life, state, authorities, config, metrics })
  const { revocations } = state
  const streamParts = { listen: options.stream, trustDomain, authorities, own, signer, sidecars, revocations }
  const stream = life.own(await startStreamServer({ ...streamParts, ...ambient }))
  const mesh = (): MeshStatus =>
    meshStatus({
      trustDomain,
      applied: config.applied,
      sidecars: sidecars.all(),
      instances: discovery.instances,
    })
  const notReady = (): string[] => (discovery.reachable ? [] : ['the registry does not answer'])
  const onRevoked = (): void => {
    sidecars.cut(revocations.current)
    onChange()
  }
  const revoker = new Revoker({ ...state, trustDomain, onChange: onRevoked })
  const ca = (): Ca => describeCa({ trustDomain, authorities, ...state })
  const apiParts = {
    listen: options.api,
    key,
    metrics,
    tokens,
    config,
    audit: state.audit,
    mesh,
    ca,
    notReady,
    revoker,
    issued: state.issued,
  }
  const api = life.own(await startApi({ ...apiParts, ...ambient }))
  return { api: api.port, stream: stream.port, ...(registry ? { registry: registry.port } : {}) }
}

interface State {
  readonly sql: DatabaseSync
  readonly audit: Audit
  readonly kept: Kept
  readonly issued: Issued
  readonly revocations: Revocations
  readonly history: ConfigHistory
}

function openState(options: Options, { clock }: Ambient, life: Lifetime): State {
  const { sql } = life.own(openDatabase(options.state))
  const issued = new Issued(sql, clock)
  const revocations = new Revocations(sql, clock)
  const prune = clock.every(PRUNE_MS, () => {
    issued.prune()
    revocations.prune()
  })
  life.onClose(() => prune.cancel())
  const history = new ConfigHistory(sql, clock)
  return { sql, audit: new Audit(sql, clock), kept: new Kept(sql), issued, revocations, history }
}

async function openIdentity(options: Options, ambient: Ambient, { sql, audit }: State): Promise<Authorities> {
  const sealer = createSealer(Buffer.from(openSecretFile(options.sealSecretFile)), ambient.random)
  const { trustDomain } = options
  const authorities = await openAuthorities({ sql, audit, sealer, trustDomain, ...ambient })
  await writePrivateFile(join(options.state, TRUST_BUNDLE_FILE), authorities.bundlePem.join(''))
  return authorities
}

interface SigningParts {
  readonly options: Options
  readonly ambient: Ambient
  readonly life: Lifetime
  readonly state: State
  readonly authorities: Authorities
  readonly config: ConfigStore
  readonly metrics: Metrics
}

async function startSigning(parts: SigningParts): Promise<{ tokens: JoinTokens; signer: Signer; own: OwnIdentity }> {
  const { options, ambient, life, state, authorities, config, metrics } = parts
  const { trustDomain, dangerShortTtlMs } = options
  const tokens = new JoinTokens({ trustDomain, keys: authorities.tokenKeys, clock: ambient.clock })
  const signer = new Signer({
    ...ambient,
    ...state,
    authorities,
    tokens,
    leafTtlMs: () => dangerShortTtlMs ?? config.config.mesh.leafTtlMs,
    dangerShortTtl: dangerShortTtlMs !== undefined,
    onIssued: () => metrics.issued.inc(),
  })
  const onEnds = (leaf: WallMs, intermediate: WallMs): void => {
    metrics.expiry.labels('leaf').set(leaf / 1000)
    metrics.expiry.labels('intermediate').set(intermediate / 1000)
  }
  const own = life.own(await startOwnIdentity({ signer, authorities, trustDomain, onEnds, ...ambient }))
  return { tokens, signer, own }
}

/** `--config` wins at start when it differs from what the state holds; the log says which one runs. */
async function applyConfigFlag(config: ConfigStore, path: string | undefined, log: Log): Promise<void> {
  const stored = config.applied
  if (path === undefined) {
    log.info({ version: stored?.version ?? '' }, stored ? 'config of the state runs' : 'no config yet')
    return
  }
  const files = await readConfigFiles(path)
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
