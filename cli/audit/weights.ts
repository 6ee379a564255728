// weights.ts — the split that is configured for a service, as the sidecar that dispatches really has it.

import { FairleadError } from '../../kernel/errors.ts'
import { findRule } from '../../mesh-config/match.ts'
import { parseSnapshot, type Snapshot } from '../../mesh-config/snapshot.ts'
import { DISPATCH_PATH } from '../../workers/contract.ts'
import type { ApiClient } from '../client.ts'

/** Weight by version; `admin` is the sidecar's admin listener. */
export async function configuredWeights(admin: ApiClient, service: string): Promise<Record<string, number>> {
  return weightsIn(parseSnapshot(await admin.call('/config')), service)
}

/** Of the rule that takes dispatches. A backend that names no version stands under its own name. */
export function weightsIn(snapshot: Snapshot, service: string): Record<string, number> {
  const found = snapshot.services.find((candidate) => candidate.service === service)
  const rule =
    found && findRule(found.rules, { method: 'POST', path: DISPATCH_PATH, query: '', header: () => undefined })
  if (!rule) throw new FairleadError('ROUTE_NOT_FOUND', `The mesh has no route for dispatches to ${service}.`)
  const weights: Record<string, number> = {}
  for (const { backend, weight } of rule.backends) {
    const version = snapshot.backends.find((candidate) => candidate.name === backend)?.version || backend
    weights[version] = (weights[version] ?? 0) + weight
  }
  return weights
}
