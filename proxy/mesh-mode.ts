// mesh-mode.ts — a sidecar in a mesh: identity, snapshots and registration by control plane and registry.
//
// Statically stable: with a valid identity and a snapshot on disk it serves at once, whoever else is away. Resolves when
// it can serve. It registers only then, and counts as passing only while its app does.

import { mkdir } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { FairleadError } from '../kernel/errors.ts'
import type { Lifetime } from '../kernel/lifetime.ts'
import { parseSnapshot, type Snapshot } from '../mesh-config/snapshot.ts'
import { AppHealth } from './control/app-health.ts'
import { SidecarIdentity } from './control/identity.ts'
import { Registration } from './control/registration.ts'
import { SnapshotStore } from './control/snapshot-store.ts'
import { ControlStream } from './control/stream.ts'
import { DataPath, type Surroundings } from './data-path.ts'
import type { MeshSettings, Settings } from './flags.ts'

const SIDECAR_VERSION = '0.1.0'

export async function startMeshSidecar(
  life: Lifetime,
  settings: Settings,
  mesh: MeshSettings,
  around: Surroundings,
): Promise<Record<string, number>> {
  const { clock, random, log } = around
  const { service, namespace, version, instance, stateDir } = mesh
  const self = { service, namespace, version, instance }
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const identity = new SidecarIdentity({ ...mesh, clock, random, log, onRenewal: (how) => path.metrics.renewal(how) })
  const path = new DataPath({
    ...around,
    settings,
    self: () => self,
    identity,
    unready: () => (identity.current() ? [] : ['no certificate yet']),
    dangerPlainText: false,
  })
  const store = new SnapshotStore(stateDir)
  await takeUpSnapshot(store, path, mesh, around)
  life.own(identity)
  await identity.start()
  await path.start(life)
  startStream({ life, identity, path, store, mesh, around })
  await servable(path, identity, life)
  startRegistration({ life, path, settings, mesh, around })
  return path.ports
}

/** What the last run left behind; what cannot be used is told and left alone. */
async function takeUpSnapshot(
  store: SnapshotStore,
  path: DataPath,
  mesh: MeshSettings,
  { log }: Surroundings,
): Promise<void> {
  try {
    const snapshot = await store.load()
    if (snapshot) path.swap(own(snapshot, mesh))
  } catch (error) {
    log.warn({ error }, 'the stored snapshot cannot be used; waiting for the control plane')
  }
}

interface StreamParts {
  readonly life: Lifetime
  readonly identity: SidecarIdentity
  readonly path: DataPath
  readonly store: SnapshotStore
  readonly mesh: MeshSettings
  readonly around: Surroundings
}

function startStream({ life, identity, path, store, mesh, around }: StreamParts): void {
  const { clock, random, log } = around
  const { service, namespace, version, instance, controlPlanes } = mesh
  const stream = new ControlStream({
    clock,
    random,
    log,
    controlPlanes,
    identity,
    hello: { instance, service, namespace, version, sidecarVersion: SIDECAR_VERSION },
    have: () => path.tables.current?.snapshot.version ?? '',
    async apply(value) {
      const snapshot = parseOwn(value, path, mesh)
      path.swap(snapshot)
      // In force is in force, whether or not the disk keeps it.
      await Promise.all([store.save(snapshot), identity.updateBundle(snapshot.trustBundle)]).catch((error: unknown) =>
        log.error({ error }, 'the last good snapshot could not be kept on disk'),
      )
    },
    onRefused: () => identity.renewSoon(),
  })
  life.own(stream)
  stream.start()
}

function parseOwn(value: unknown, path: DataPath, mesh: MeshSettings): Snapshot {
  try {
    return own(parseSnapshot(value), mesh)
  } catch (error) {
    path.metrics.snapshot('rejected')
    throw error
  }
}

/** @throws FairleadError SNAPSHOT_INVALID when it was made for another service. */
function own(snapshot: Snapshot, { service, namespace }: MeshSettings): Snapshot {
  const { self } = snapshot
  if (self.service === service && self.namespace === namespace) return snapshot
  const message = `is for ${self.service}.${self.namespace}, not ${service}.${namespace}`
  throw new FairleadError('SNAPSHOT_INVALID', `The snapshot ${message}.`, { problems: [{ path: '$.self', message }] })
}

/** Resolves when there is a snapshot and a certificate; never when the process closes first. */
function servable(path: DataPath, identity: SidecarIdentity, life: Lifetime): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!path.ready) return
      for (const leave of leaves) leave()
      resolve()
    }
    const leaves = [path.tables.onSwap(look), identity.onChange(look)]
    life.onClose(() => {
      for (const leave of leaves) leave()
    })
    look()
  })
}

interface RegistrationParts {
  readonly life: Lifetime
  readonly path: DataPath
  readonly settings: Settings
  readonly mesh: MeshSettings
  readonly around: Surroundings
}

function startRegistration({ life, path, settings, mesh, around }: RegistrationParts): void {
  const { app, inbound } = settings
  if (!mesh.consul || !app || !inbound) return
  const { clock, log } = around
  const { service, namespace, version, instance, region, consul } = mesh
  const address = advertised(inbound.host)
  const registration: Registration = new Registration({
    clock,
    log,
    consul,
    instance: { service, namespace, version, instance, region, address, port: path.ports['inbound']! },
    appPort: app.port,
    appState: () => (path.ready ? health.state : 'draining'),
  })
  const health = new AppHealth({ clock, log, ...app, path: mesh.healthPath, onChange: () => registration.wake() })
  life.own(health)
  life.own(registration)
  path.onDrain(() => void registration.close())
  health.start()
  registration.start()
}

/** The address under which others reach a listener that takes all of them. */
function advertised(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1'
}
