// metrics.ts — what a sidecar counts: Istio's names, so that dashboards and Flagger work as they are, and ours.
//
// Labels are bounded: services, backends and versions come from the snapshot, principals from certificates, codes and
// flags from closed sets; request-series.ts holds the cap. Never a path or an authority (a client could invent them).

import type { Clock } from '../kernel/clock.ts'
import { Counter, Gauge, type Registry } from '../kernel/metrics.ts'
import type { Exchange, Observer } from './exchange.ts'
import type { LiveTable } from './policy/route-table.ts'
import {
  type Labels,
  MILLISECONDS_BUCKETS,
  RequestSeries,
  registerCounter,
  registerHistogram,
  SECONDS_BUCKETS,
} from './request-series.ts'

export interface MetricsParts {
  readonly registry: Registry
  readonly clock: Clock
  readonly self: () => { readonly service: string; readonly namespace: string; readonly version: string }
  /** Own SPIFFE ID; '' without one. */
  readonly spiffeId: () => string
  /** End of the own certificate, milliseconds since 1970; undefined without one. */
  readonly certificateEnds: () => number | undefined
  readonly table: () => LiveTable | undefined
}

const ISTIO_LABELS = [
  'reporter',
  'source_workload',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'destination_workload',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_service',
  'destination_service_name',
  'destination_service_namespace',
  'request_protocol',
  'response_code',
  'response_flags',
  'connection_security_policy',
] as const
const OWN_LABELS = ['direction', 'service', 'backend', 'version', 'code', 'flags'] as const
const REASONS_MAX = 100
const UNKNOWN = 'unknown'

export class ProxyMetrics implements Observer {
  readonly #parts: MetricsParts
  readonly #series = new RequestSeries()
  readonly #connections: Gauge<'direction'>
  readonly #refused: Counter<'direction' | 'reason'>
  readonly #retries: Counter<'backend'>
  readonly #opened: Counter<'backend'>
  readonly #ejections: Counter<'backend'>
  readonly #renewals: Counter<'outcome'>
  readonly #snapshots: Counter<'outcome'>
  readonly #reasons = new Set<string>()

  constructor(parts: MetricsParts) {
    this.#parts = parts
    const { registry } = parts
    registerRequestMetrics(registry, this.#series)
    const counter = <T extends string>(name: string, help: string, labelNames: T[]): Counter<T> =>
      new Counter({ name, help, labelNames, registers: [registry] })
    this.#connections = new Gauge({
      name: 'fairlead_connections',
      help: 'Open downstream connections.',
      labelNames: ['direction'],
      registers: [registry],
    })
    this.#refused = counter('fairlead_connections_refused_total', 'Connections refused before a request, by reason.', [
      'direction',
      'reason',
    ])
    this.#retries = counter('fairlead_retries_total', 'Attempts after the first.', ['backend'])
    this.#opened = counter('fairlead_breaker_opened_total', 'How often the breaker of a backend opened.', ['backend'])
    this.#ejections = counter('fairlead_ejections_total', 'Endpoints ejected by outlier detection.', ['backend'])
    this.#renewals = counter('fairlead_certificate_renewals_total', 'Certificates asked for, by outcome.', ['outcome'])
    this.#snapshots = counter('fairlead_snapshots_total', 'Snapshots received, by outcome.', ['outcome'])
    registerStateGauges(parts)
  }

  done(exchange: Exchange): void {
    const durationMs = Math.max(0, this.#parts.clock.now() - exchange.startedMs)
    const { direction, service, backend, version, principal, status, flag } = exchange
    const key = `${direction} ${service} ${backend} ${version} ${principal} ${status} ${flag}`
    this.#series.observe(
      key,
      durationMs,
      () => [this.#istioLabels(exchange), ownLabels(exchange)],
      () => OTHER_LABELS,
    )
    if (exchange.attempts > 1) this.#retries.inc({ backend }, exchange.attempts - 1)
  }

  connection(direction: 'outbound' | 'inbound', change: 'opened' | 'closed' | 'refused', reason = UNKNOWN): void {
    if (change === 'opened') this.#connections.inc({ direction })
    else if (change === 'closed') this.#connections.dec({ direction })
    else this.#refused.inc({ direction, reason: this.#bounded(reason) })
  }

  breakerOpened(backend: string): void {
    this.#opened.inc({ backend })
  }

  ejected(backend: string): void {
    this.#ejections.inc({ backend })
  }

  renewal(outcome: 'ok' | 'failed'): void {
    this.#renewals.inc({ outcome })
  }

  snapshot(outcome: 'accepted' | 'rejected'): void {
    this.#snapshots.inc({ outcome })
  }

  #bounded(reason: string): string {
    if (this.#reasons.size < REASONS_MAX) this.#reasons.add(reason)
    return this.#reasons.has(reason) ? reason : 'other'
  }

  #istioLabels(exchange: Exchange): Labels {
    const self = this.#parts.self()
    const outbound = exchange.direction === 'outbound'
    const backend = outbound ? this.#parts.table()?.backend(exchange.backend)?.backend : undefined
    const own = {
      app: self.service,
      namespace: self.namespace,
      version: self.version,
      principal: this.#parts.spiffeId(),
    }
    const peer = peerOf(exchange, backend)
    const [source, destination] = outbound ? [own, peer] : [peer, own]
    return {
      reporter: outbound ? 'source' : 'destination',
      source_workload: source.app,
      source_workload_namespace: source.namespace,
      source_principal: source.principal || UNKNOWN,
      source_app: source.app,
      source_version: source.version,
      destination_workload: destination.app,
      destination_workload_namespace: destination.namespace,
      destination_principal: destination.principal || UNKNOWN,
      destination_app: destination.app,
      destination_version: destination.version,
      destination_service: destination.app === UNKNOWN ? UNKNOWN : `${destination.app}.${destination.namespace}.mesh`,
      destination_service_name: destination.app,
      destination_service_namespace: destination.namespace,
      request_protocol: 'http',
      response_code: String(exchange.status),
      response_flags: exchange.flag,
      connection_security_policy: outbound ? UNKNOWN : exchange.principal ? 'mutual_tls' : 'none',
    }
  }
}

interface Party {
  readonly app: string
  readonly namespace: string
  readonly version: string
  readonly principal: string
}

const SERVICE_ID = /\/ns\/([^/]+)\/sa\/([^/]+)$/

function peerOf(
  exchange: Exchange,
  backend: { service: string; namespace: string; identity: string } | undefined,
): Party {
  if (exchange.direction === 'outbound') {
    return {
      app: backend?.service ?? (exchange.service || UNKNOWN),
      namespace: backend?.namespace ?? UNKNOWN,
      version: exchange.version || UNKNOWN,
      principal: backend?.identity ?? '',
    }
  }
  const id = SERVICE_ID.exec(exchange.principal)
  return {
    app: id?.[2] ?? UNKNOWN,
    namespace: id?.[1] ?? UNKNOWN,
    version: UNKNOWN,
    principal: exchange.principal,
  }
}

const ownLabels = (exchange: Exchange): Labels => ({
  direction: exchange.direction,
  service: exchange.service,
  backend: exchange.backend,
  version: exchange.version,
  code: String(exchange.status),
  flags: exchange.flag,
})

const OTHER_LABELS: readonly Labels[] = [
  Object.fromEntries(ISTIO_LABELS.map((name) => [name, 'other'])),
  Object.fromEntries(OWN_LABELS.map((name) => [name, 'other'])),
]

function registerRequestMetrics(registry: Registry, series: RequestSeries): void {
  const istio = { labelNames: ISTIO_LABELS, set: 0 }
  const own = { labelNames: OWN_LABELS, set: 1 }
  registerCounter(registry, series, { name: 'istio_requests_total', help: 'Requests (Istio).', ...istio })
  registerHistogram(registry, series, {
    name: 'istio_request_duration_milliseconds',
    help: 'Request duration (Istio).',
    buckets: MILLISECONDS_BUCKETS,
    perMs: 1,
    ...istio,
  })
  registerCounter(registry, series, { name: 'fairlead_requests_total', help: 'Requests.', ...own })
  registerHistogram(registry, series, {
    name: 'fairlead_request_duration_seconds',
    help: 'Request duration.',
    buckets: SECONDS_BUCKETS,
    perMs: 0.001,
    ...own,
  })
}

const BREAKER_VALUES = { closed: 0, halfOpen: 1, open: 2 } as const

/** Read from the table at a scrape; backends that left take their lines with them. */
function registerStateGauges(parts: MetricsParts): void {
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
