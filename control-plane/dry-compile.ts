// dry-compile.ts — a candidate config, compiled for every known sidecar before anything is recorded or sent.
//
// Pure. Sidecars of one service and version differ in their names only, so one compile stands for all of them.

import { asFairleadError, type Problem } from '../kernel/errors.ts'
import { compileSnapshot } from '../mesh-config/compile.ts'
import type { MeshConfig } from '../mesh-config/config.ts'
import { parseSnapshot, type Snapshot } from '../mesh-config/snapshot.ts'
import { diffSnapshots } from '../mesh-config/snapshot-diff.ts'
import type { ConfigDiff, Instance } from './contract.ts'

/** A sidecar that this control plane serves, connected or not. */
export interface KnownSelf {
  readonly instance: string
  readonly service: string
  readonly namespace: string
  readonly version: string
}

export interface World {
  readonly sidecars: readonly KnownSelf[]
  readonly instances: readonly Instance[]
  readonly trustBundle: readonly string[]
}

/** Why some sidecar could not run this config; empty = all could. */
export function compileProblems(config: MeshConfig, world: World): Problem[] {
  return groupsOf(world.sidecars).flatMap((group) => {
    try {
      compileFor(config, world, group[0]!)
      return []
    } catch (error) {
      const message = `does not compile for it: ${asFairleadError(error).message}`
      return [{ path: `sidecar ${group[0]!.instance}`, message }]
    }
  })
}

/** What each known sidecar would notice. */
export function configDiff(before: MeshConfig, after: MeshConfig, world: World): ConfigDiff['sidecars'] {
  return groupsOf(world.sidecars).map((group) => {
    const { service, namespace, version } = group[0]!
    const { changes, count } = diffSnapshots(compileFor(before, world, group[0]!), compileFor(after, world, group[0]!))
    const instances = group.map((one) => one.instance)
    return {
      service,
      namespace,
      version,
      instances,
      count,
      changes: changes.map((one) => ({ ...one, details: [...one.details] })),
    }
  })
}

/** By the proxy's own parser too. */
function compileFor(config: MeshConfig, world: World, self: KnownSelf): Snapshot {
  const { instance, service, namespace, version } = self
  return parseSnapshot(
    compileSnapshot(config, world.instances, { instance, service, namespace, version }, world.trustBundle),
  )
}

function groupsOf(sidecars: readonly KnownSelf[]): KnownSelf[][] {
  const groups = new Map<string, KnownSelf[]>()
  for (const one of sidecars) {
    const key = `${one.namespace}/${one.service} ${one.version}`
    const group = groups.get(key)
    if (group) group.push(one)
    else groups.set(key, [one])
  }
  return [...groups.values()]
}
