// metrics.ts — one prom-client registry per process, and its exposition.
//
// Hot paths resolve children once (`counter.labels(…)`) and hold them. Label values are bounded by their owners.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export { Counter, Gauge, Histogram, Registry }

export function createRegistry(role: string): Registry {
  const registry = new Registry()
  registry.setDefaultLabels({ process: role })
  collectDefaultMetrics({ register: registry })
  return registry
}
