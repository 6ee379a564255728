// mesh-status.ts — GET /api/v1/mesh: what runs where, and who has not accepted it yet.

import type { Instance, MeshStatus } from './contract.ts'
import type { AppliedConfig } from './state/config-history.ts'
import { hasAccepted, type SidecarState } from './stream/sidecars.ts'

export interface MeshStatusInput {
  readonly trustDomain: string
  readonly applied: AppliedConfig | undefined
  readonly sidecars: readonly SidecarState[]
  readonly instances: readonly Instance[]
}

export function meshStatus(input: MeshStatusInput): MeshStatus {
  const { applied, sidecars } = input
  const missing = sidecars.filter((state) => !hasAccepted(state)).map((state) => state.known.instance)
  return {
    trustDomain: input.trustDomain,
    config: {
      version: applied?.version ?? '',
      appliedAt: applied?.appliedAt ?? '',
      sources: (applied?.files ?? []).map((file) => file.name),
    },
    accepted: { n: sidecars.length - missing.length, m: sidecars.length, missing },
    sidecars: sidecars.map(({ known, stream, current, nack }) => ({
      instance: known.instance,
      service: known.service,
      namespace: known.namespace,
      version: known.version,
      connected: stream !== undefined,
      acked: known.acked,
      current,
      nack: [...nack],
    })),
    instances: input.instances.map(({ instance, service, namespace, version, address, port, passing }) => ({
      instance,
      service,
      namespace,
      version,
      address,
      port,
      passing,
    })),
  }
}
