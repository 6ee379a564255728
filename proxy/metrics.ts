// metrics.ts — what a sidecar counts: Istio's names, so that dashboards and Flagger work as they are, and ours.
//
// Labels are bounded: services, backends and versions come from the snapshot, principals from certificates, codes and
// flags from closed sets; request-series.ts holds the cap. Never a path or an authority (a client could invent them).

import type { Clock } from '../kernel/clock.ts'
import { Counter, Gauge, type Registry } from '../kernel/metrics.ts'
import type { Backend } from '../mesh-config/snapshot.ts'
import type { Exchange, Observer } from './exchange.ts'
import { Recent } from './recent.ts'
import { ISTIO_LABELS, istioLabels, OTHER_LABELS, OWN_LABELS, ownLabels, type Party } from './request-labels.ts'
import {
  MILLISECONDS_BUCKETS,
  observe,
  RequestSeries,
  registerCounter,
  registerHistogram,
  SECONDS_BUCKETS,
  type Series,
} from './request-series.ts'
import { registerStateGauges, type StateParts } from './state-gauges.ts'

export interface MetricsParts extends StateParts {
  readonly clock: Clock
  readonly self: () => { readonly service: string; readonly namespace: string; readonly version: string }
}

const REASONS_MAX = 100

export class ProxyMetrics implements Observer {
  readonly #parts: MetricsParts
  readonly #series = new RequestSeries()
  readonly #connections: Gauge<'direction'>
  readonly #refused: Counter<'direction' | 'reason'>
  readonly #muxRefused: Counter<'direction' | 'code'>
  readonly #retries: Counter<'backend'>
  readonly #opened: Counter<'backend'>
  readonly #ejections: Counter<'backend'>
  readonly #renewals: Counter<'outcome'>
  readonly #snapshots: Counter<'outcome'>
  readonly #recent = new Recent<Series>(sameSeries)
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
    this.#muxRefused = counter('fairlead_mux_refused_total', 'Mux streams and connections refused, by code.', [
      'direction',
      'code',
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
    let series = this.#recent.find(exchange)
    if (series === undefined) {
      series = this.#seriesOf(exchange)
      this.#recent.keep(exchange, series)
    }
    observe(series, durationMs)
    if (exchange.attempts > 1) this.#retries.inc({ backend: exchange.backend }, exchange.attempts - 1)
  }

  connection(direction: 'outbound' | 'inbound', change: 'opened' | 'closed' | 'refused', reason = 'unknown'): void {
    if (change === 'opened') this.#connections.inc({ direction })
    else if (change === 'closed') this.#connections.dec({ direction })
    else this.#refused.inc({ direction, reason: this.#bounded(reason) })
  }

  /** `code` is one of the few of docs/mux.md. */
  muxRefused(direction: 'outbound' | 'inbound', code: string): void {
    this.#muxRefused.inc({ direction, code })
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

  #seriesOf(exchange: Exchange): Series {
    const { direction, service, backend, version, principal, status, flag } = exchange
    return this.#series.of(
      `${direction} ${service} ${backend} ${version} ${principal} ${status} ${flag}`,
      () => [istioLabels(exchange, this.#self(), this.#backendOf(exchange)), ownLabels(exchange)],
      () => OTHER_LABELS,
    )
  }

  #self(): Party {
    const { service, namespace, version } = this.#parts.self()
    return { app: service, namespace, version, principal: this.#parts.spiffeId() }
  }

  #backendOf({ backend }: Exchange): Backend | undefined {
    return this.#parts.table()?.backend(backend)?.backend
  }

  #bounded(reason: string): string {
    if (this.#reasons.size < REASONS_MAX) this.#reasons.add(reason)
    return this.#reasons.has(reason) ? reason : 'other'
  }
}

/** The fields of a series' key. */
const sameSeries = (a: Exchange, b: Exchange): boolean =>
  a.status === b.status &&
  a.flag === b.flag &&
  a.backend === b.backend &&
  a.version === b.version &&
  a.service === b.service &&
  a.principal === b.principal &&
  a.direction === b.direction

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
