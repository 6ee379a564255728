// standalone.ts — config → a snapshot for one sidecar without control plane: static endpoints only.
//
// Upstreams are plain unless the sidecar is given certificates (`mtls`); then every endpoint must prove its Service's
// `identity`, or the identity that a control plane would have given it.

import { compileSnapshot, type Self, stamped } from './compile.ts'
import type { MeshConfig } from './config.ts'
import { serviceIdentity } from './kinds/principal.ts'
import { policiesFor, resolvePolicy } from './policy.ts'
import type { Backend, Snapshot } from './snapshot.ts'

export interface StandaloneOptions {
  /** Whose AuthorizationPolicies the inbound listener enforces. Default: nobody's. */
  readonly self?: Partial<Self>
  /** The sidecar has a certificate: speak mTLS to every static endpoint. */
  readonly mtls?: boolean
  /** Roots, PEM; with `mtls`. */
  readonly trustBundle?: readonly string[]
}

export const STANDALONE_SELF: Self = {
  service: 'standalone',
  namespace: 'default',
  version: '',
  instance: 'standalone',
}

export function compileStandalone(config: MeshConfig, options: StandaloneOptions = {}): Snapshot {
  const self = { ...STANDALONE_SELF, ...options.self }
  const snapshot = compileSnapshot(config, [], self, options.trustBundle ?? [])
  if (!options.mtls) return snapshot
  return stamped({ ...snapshot, backends: snapshot.backends.map((backend) => withMtls(config, backend)) })
}

function withMtls(config: MeshConfig, backend: Backend): Backend {
  if (backend.transport === 'mesh') return backend
  const specs = policiesFor(config, backend.namespace, backend.service, backend.service)
  return {
    ...backend,
    transport: 'mesh',
    identity: serviceIdentity(config.mesh.trustDomain, backend.namespace, backend.service),
    policy: resolvePolicy(specs, 'mesh'),
  }
}
