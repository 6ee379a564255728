// standalone-mode.ts — a sidecar without control plane: snapshot and, if given, certificates from files that are watched.

import type { Lifetime } from '../kernel/lifetime.ts'
import { FileIdentity } from './control/file-identity.ts'
import { SnapshotFile } from './control/snapshot-file.ts'
import { DataPath, type Surroundings } from './data-path.ts'
import type { IdentitySource } from './exchange.ts'
import type { Settings, StandaloneSettings } from './flags.ts'

const NOBODY: IdentitySource & { readonly notAfter: undefined } = {
  current: () => undefined,
  onChange: () => () => undefined,
  notAfter: undefined,
}
const UNNAMED = { service: 'standalone', namespace: 'default', version: '', instance: 'standalone' }

export async function startStandaloneSidecar(
  life: Lifetime,
  settings: Settings,
  standalone: StandaloneSettings,
  around: Surroundings,
): Promise<Record<string, number>> {
  const { clock, log } = around
  const identity = standalone.certificate ? life.own(new FileIdentity(standalone.certificate, clock, log)) : undefined
  await identity?.start()
  const path: DataPath = new DataPath({
    ...around,
    settings,
    self: () => path.tables.current?.snapshot.self ?? UNNAMED,
    identity: identity ?? NOBODY,
    unready: () => [],
    dangerPlainText: identity === undefined,
  })
  const file = new SnapshotFile({
    file: standalone.snapshotFile,
    clock,
    log,
    apply: (snapshot) => path.swap(snapshot),
  })
  life.own(file)
  await file.start()
  await path.start(life)
  return path.ports
}
