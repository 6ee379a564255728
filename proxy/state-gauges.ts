// state-gauges.ts — what is so now, read at a scrape: breakers, endpoints, load, certificate, snapshot.

import { Gauge, type Registry } from '../kernel/metrics.ts'
import type { LiveTable } from './policy/route-table.ts'
import type { Labels } from './request-series.ts'

export interface StateParts {
  readonly registry: Registry
  /** Own SPIFFE ID; '' without one. */
  readonly spiffeId: () => string
  /** End of the own certificate, milliseconds since 1970; undefined without one. */
  readonly certificateEnds: () => number | undefined
  readonly table: () => LiveTable | undefined
}

const BREAKER_VALUES = { closed: 0, halfOpen: 1, open: 2 } as const

/** Read from the table at a scrape; backends that left take their lines with them. */
export function registerStateGauges(parts: StateParts): void {
  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    each: (set: (labels: Labels, value: number) => void) => void,
  ): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [parts.registry],
      collect() {
        this.reset()
        each((labels, value) => this.set({ ...labels }, value))
      },
    })
  }
  const backends = () => [...(parts.table()?.backends ?? [])]
  gauge('fairlead_breaker_state', '0 closed, 1 half-open, 2 open.', ['backend'], (set) => {
    for (const { backend, breaker } of backends()) set({ backend: backend.name }, BREAKER_VALUES[breaker.state])
  })
  gauge('fairlead_active_requests', 'Requests under way to a backend.', ['backend'], (set) => {
    for (const { backend, active } of backends()) set({ backend: backend.name }, active)
  })
  gauge('fairlead_endpoints', 'Endpoints of a backend.', ['backend', 'state'], (set) => {
    for (const { backend, endpoints } of backends()) {
      const ejected = endpoints.filter((endpoint) => endpoint.ejected).length
      set({ backend: backend.name, state: 'ejected' }, ejected)
      set({ backend: backend.name, state: 'serving' }, endpoints.length - ejected)
    }
  })
  gauge('fairlead_retry_budget_refused', 'Retries refused by the budget since start.', ['backend'], (set) => {
    for (const { backend, budget } of backends()) set({ backend: backend.name }, budget.refused)
  })
  gauge('fairlead_snapshot_info', 'The snapshot that is served.', ['version'], (set) => {
    const version = parts.table()?.snapshot.version
    if (version !== undefined) set({ version }, 1)
  })
  gauge('fairlead_certificate_not_after_seconds', 'End of the own certificate, Unix time.', ['spiffe_id'], (set) => {
    const ends = parts.certificateEnds()
    if (ends !== undefined) set({ spiffe_id: parts.spiffeId() }, ends / 1000)
  })
}
