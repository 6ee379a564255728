// outcomes.ts — how jobs ended, taken as calls of the backend: a 200 hides a failed job (docs/dispatch.md §1).
//
// Each unit settles the breaker and the instance's health once. The order inside a report is unknown: failures are laid
// evenly between successes, so that a run of failures is as long as the figures force it to be and no longer.

import { type Authority, parseAuthority } from '../../kernel/authority.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { OutcomeReport } from '../../kernel/local-surface.ts'
import type { BackendEntry, EndpointState, RouteTable } from '../exchange.ts'

/** Over all outcomes of one report. */
export const OUTCOME_UNITS_MAX = 100_000

type Outcome = OutcomeReport['outcomes'][number]

/** @throws FairleadError PAYLOAD_TOO_LARGE, BAD_REQUEST; outcomes of backends that left are passed over. */
export function applyOutcomes(table: RouteTable, outcomes: readonly Outcome[]): void {
  const units = outcomes.reduce((sum, outcome) => sum + outcome.succeeded + outcome.failed, 0)
  if (units > OUTCOME_UNITS_MAX) {
    throw new FairleadError('PAYLOAD_TOO_LARGE', `${units} outcomes in one report; at most ${OUTCOME_UNITS_MAX}.`)
  }
  const authorities = new Map<string, Authority>()
  for (const { authority } of outcomes) {
    if (!authorities.has(authority)) authorities.set(authority, parseAuthority(authority))
  }
  for (const outcome of outcomes) {
    const entry = table.service(authorities.get(outcome.authority)!) && table.backend(outcome.backend)
    if (!entry) continue
    settleUnits(entry, endpointOf(entry, outcome.instance), outcome)
  }
}

function endpointOf(entry: BackendEntry, instance: string): EndpointState | undefined {
  return entry.endpoints.find((state) => state.endpoint.instance === instance)
}

function settleUnits(entry: BackendEntry, endpoint: EndpointState | undefined, outcome: Outcome): void {
  const total = outcome.succeeded + outcome.failed
  for (let unit = 1; unit <= total; unit++) {
    const ok = Math.floor((unit * outcome.failed) / total) === Math.floor(((unit - 1) * outcome.failed) / total)
    entry.breaker.settle(ok)
    endpoint?.settle(ok)
  }
}
