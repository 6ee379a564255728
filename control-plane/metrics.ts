// metrics.ts — what a dashboard of the control plane shows.

import { Counter, createRegistry, Gauge, Histogram, type Registry } from '../kernel/metrics.ts'

export interface Metrics {
  readonly registry: Registry
  /** Change noticed → acked by a sidecar. */
  readonly convergence: Histogram
  readonly pushes: Counter
  readonly rejects: Counter
  readonly issued: Counter
  readonly expiry: Gauge<'certificate'>
  readonly apiRequests: Counter<'method' | 'route' | 'status'>
}

export interface Gauges {
  connected(): number
  instances(): number
}

export function createMetrics(gauges: Gauges): Metrics {
  const registry = createRegistry('control-plane')
  const registers = [registry]
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  }
  gauge('fairlead_sidecars_connected', 'Sidecars with a live control stream.', gauges.connected)
  gauge('fairlead_instances', 'Instances that discovery publishes.', gauges.instances)
  return {
    registry,
    convergence: new Histogram({
      name: 'fairlead_config_convergence_seconds',
      help: 'From noticing a change to the ack of one sidecar.',
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    pushes: new Counter({ name: 'fairlead_snapshots_pushed_total', help: 'Snapshots sent.', registers }),
    rejects: new Counter({
      name: 'fairlead_snapshots_rejected_total',
      help: 'Snapshots refused by sidecars.',
      registers,
    }),
    issued: new Counter({ name: 'fairlead_certificates_issued_total', help: 'Certificates signed.', registers }),
    expiry: new Gauge({
      name: 'fairlead_certificate_expiry_seconds',
      help: 'Seconds since 1970 at which a certificate of the control plane ends.',
      labelNames: ['certificate'],
      registers,
    }),
    apiRequests: new Counter({
      name: 'fairlead_api_requests_total',
      help: 'Requests of the operator API.',
      labelNames: ['method', 'route', 'status'],
      registers,
    }),
  }
}
