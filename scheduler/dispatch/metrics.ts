// metrics.ts — what dispatch shows on the scheduler's /metrics.
//
// Labels are bounded: versions and instances by the sessions that are open, reasons by the two tables of codes.

import { Counter, Gauge, type Registry } from '../../kernel/metrics.ts'

export interface DispatchMetrics {
  sent(version: string, jobs: number): void
  ended(outcome: string, version: string): void
  refused(reason: string, jobs?: number): void
  attached(): void
  broken(): void
}

export interface InstanceGauge {
  readonly instance: string
  readonly version: string
  readonly window: number
  readonly held: number
}

const VERSIONS_MAX = 200
const REASONS_MAX = 64

export function dispatchMetrics(registry: Registry, read: () => readonly InstanceGauge[]): DispatchMetrics {
  const registers = [registry]
  const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
    new Counter({ name: `fairlead_${name}`, help, labelNames, registers })
  const dispatches = counter('dispatches_total', 'Jobs sent to workers, by version.', ['version'])
  const ended = counter('attempts_ended_total', 'Last words of workers, and lost attempts.', ['outcome', 'version'])
  const refusals = counter('dispatch_refusals_total', 'Jobs requeued without a charge, by reason.', ['reason'])
  const attaches = counter('dispatch_attaches_total', 'Attach streams opened.')
  const breaks = counter('dispatch_broken_streams_total', 'Streams that ended before their attempts did.')
  instanceGauges(registry, read)
  const versions = bounded(VERSIONS_MAX)
  const reasons = bounded(REASONS_MAX)
  return {
    sent: (version, jobs) => dispatches.labels(versions(version)).inc(jobs),
    ended: (outcome, version) => ended.labels(outcome, versions(version)).inc(),
    refused: (reason, jobs = 1) => refusals.labels(reasons(reason)).inc(jobs),
    attached: () => attaches.inc(),
    broken: () => breaks.inc(),
  }
}

/** The first `max` values as they are, the rest as `other`. */
function bounded(max: number): (value: string) => string {
  const seen = new Set<string>()
  return (value) => {
    if (seen.has(value)) return value
    if (seen.size >= max) return 'other'
    seen.add(value)
    return value
  }
}

function instanceGauges(registry: Registry, read: () => readonly InstanceGauge[]): void {
  const gauge = (name: string, help: string, value: (one: InstanceGauge) => number): void => {
    new Gauge({
      name: `fairlead_${name}`,
      help,
      labelNames: ['instance', 'version'],
      registers: [registry],
      collect() {
        this.reset()
        for (const one of read()) this.labels(one.instance, one.version).set(value(one))
      },
    })
  }
  gauge('dispatch_window', 'Attempts that an instance may hold.', (one) => one.window)
  gauge('dispatch_in_flight', 'Attempts that an instance holds.', (one) => one.held)
}
