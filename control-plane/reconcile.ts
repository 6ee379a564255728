// reconcile.ts — config + instances → one snapshot per sidecar, sent where it differs.
//
// A control loop: it takes no input, reads what should be and what is, applies the difference, and can run twice.
// Events and a slow timer wake it. A snapshot that the proxy's own parser refuses is not published: that sidecar keeps
// what it has, and the others are served.

import type { Revoked } from '../certs/revoked.ts'
import type { Clock, MonotonicMs } from '../kernel/clock.ts'
import type { Closable } from '../kernel/lifetime.ts'
import type { Log } from '../kernel/log.ts'
import { compileSnapshot } from '../mesh-config/compile.ts'
import type { MeshConfig } from '../mesh-config/config.ts'
import { parseSnapshot } from '../mesh-config/snapshot.ts'
import type { Instance } from './contract.ts'
import { Debounce } from './debounce.ts'
import type { SidecarState, Sidecars } from './stream/sidecars.ts'

export const QUIET_MS = 50
export const BURST_MS_MAX = 500
const RESYNC_MS = 30_000

export interface ReconcileOptions {
  readonly sidecars: Sidecars
  config(): MeshConfig
  instances(): readonly Instance[]
  trustBundle(): readonly string[]
  revoked(): Revoked | undefined
  readonly clock: Clock
  readonly log: Log
}

export interface Reconciler extends Closable {
  /** Something changed; says not what. */
  wake(): void
}

export function startReconciler(options: ReconcileOptions): Reconciler {
  const { clock } = options
  const debounce = new Debounce({
    clock,
    quietMs: QUIET_MS,
    maxMs: BURST_MS_MAX,
    run: (since) => reconcile(options, since),
  })
  const resync = clock.every(RESYNC_MS, () => reconcile(options, clock.now()))
  return {
    wake: () => debounce.poke(),
    close: async () => {
      resync.cancel()
      await debounce.close()
    },
  }
}

function reconcile(options: ReconcileOptions, since: MonotonicMs): void {
  options.sidecars.prune(options.clock.wall())
  // Absent ones too: what they should run decides whether they count as missing.
  for (const state of options.sidecars.all()) publishTo(options, state, since)
}

function publishTo(options: ReconcileOptions, state: SidecarState, since: MonotonicMs): void {
  const { service, namespace, version, instance } = state.known
  try {
    const self = { service, namespace, version, instance }
    const snapshot = compileSnapshot(
      options.config(),
      options.instances(),
      self,
      options.trustBundle(),
      options.revoked(),
    )
    if (snapshot.version !== state.current) options.sidecars.publish(state, parseSnapshot(snapshot), since)
  } catch (error) {
    options.log.error({ error, instance }, 'no snapshot for this sidecar; it keeps what it has')
  }
}
