// request-series.ts — requests counted and timed per bounded set of labels, cheap enough for every request.
//
// One Map lookup and a few additions a request; prom-client's own `inc` and `observe` hash a dozen labels each time
// (four of them would cost more than routing). The figures become prom-client metrics when somebody scrapes.
// At most SERIES_MAX sets of labels; what is above that counts under `other`.

import { Counter, Histogram, type Registry } from '../kernel/metrics.ts'

export const SERIES_MAX = 2000
/** OpenTelemetry's advice for http.server.request.duration, seconds. */
export const SECONDS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
/** Istio's buckets of istio_request_duration_milliseconds. */
export const MILLISECONDS_BUCKETS = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
]
/** Both bucket lists in one, milliseconds: one search places a request in either histogram. */
const BOUNDS = [...new Set([...MILLISECONDS_BUCKETS, ...SECONDS_BUCKETS.map((seconds) => seconds * 1000)])].sort(
  (a, b) => a - b,
)

export type Labels = Readonly<Record<string, string>>

export interface Series {
  readonly labels: readonly Labels[]
  /** Index i: requests with BOUNDS[i−1] < duration ≤ BOUNDS[i]; the last is +Inf. */
  readonly counts: Float64Array
  sumMs: number
  total: number
}

export class RequestSeries {
  readonly #series = new Map<string, Series>()

  get all(): Iterable<Series> {
    return this.#series.values()
  }

  /** `labelsOf` is called once per key, or not at all when there are too many. */
  of(key: string, labelsOf: () => readonly Labels[], other: () => readonly Labels[]): Series {
    const series = this.#series.get(key)
    if (series !== undefined) return series
    return this.#series.size >= SERIES_MAX ? this.#other(other) : this.#add(key, labelsOf())
  }

  #other(labelsOf: () => readonly Labels[]): Series {
    return this.#series.get('other') ?? this.#add('other', labelsOf())
  }

  #add(key: string, labels: readonly Labels[]): Series {
    const series = { labels, counts: new Float64Array(BOUNDS.length + 1), sumMs: 0, total: 0 }
    this.#series.set(key, series)
    return series
  }
}

export function observe(series: Series, durationMs: number): void {
  series.total++
  series.sumMs += durationMs
  series.counts[boundIndex(durationMs)]!++
}

function boundIndex(ms: number): number {
  let low = 0
  let high = BOUNDS.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ms <= BOUNDS[middle]!) high = middle
    else low = middle + 1
  }
  return low
}

export interface SeriesMetric {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
  /** Which of a series' label sets is this metric's. */
  readonly set: number
}

export function registerCounter(registry: Registry, series: RequestSeries, metric: SeriesMetric): void {
  const told = new WeakMap<Series, number>()
  new Counter({
    name: metric.name,
    help: metric.help,
    labelNames: [...metric.labelNames],
    registers: [registry],
    collect() {
      for (const one of series.all) {
        this.inc({ ...one.labels[metric.set] }, one.total - (told.get(one) ?? 0))
        told.set(one, one.total)
      }
    },
  })
}

export function registerHistogram(
  registry: Registry,
  series: RequestSeries,
  metric: SeriesMetric & { readonly buckets: readonly number[]; readonly perMs: number },
): void {
  registry.registerMetric(new SeriesHistogram(series, metric))
}

type HistogramMetric = Parameters<typeof registerHistogram>[2]

/** Writes the buckets out at a scrape; `observe` is never called on it. */
class SeriesHistogram extends Histogram<string> {
  readonly #series: RequestSeries
  readonly #metric: HistogramMetric

  constructor(series: RequestSeries, metric: HistogramMetric) {
    super({
      name: metric.name,
      help: metric.help,
      labelNames: [...metric.labelNames],
      buckets: [...metric.buckets],
      registers: [],
    })
    this.#series = series
    this.#metric = metric
  }

  override get(): ReturnType<Histogram<string>['get']> {
    return this.getForPromString()
  }

  /** What the exposition asks first. */
  async getForPromString(): ReturnType<Histogram<string>['get']> {
    const { name, help } = this.#metric
    const values = [...this.#series.all].flatMap((series) => bucketLines(series, this.#metric))
    return { name, help, type: 'histogram', aggregator: 'sum', collect: () => undefined, values }
  }
}

function bucketLines(series: Series, metric: HistogramMetric): Awaited<ReturnType<Histogram<string>['get']>>['values'] {
  const labels = series.labels[metric.set]!
  const bounds = metric.buckets.map((bound) => bound / metric.perMs)
  const upTo = (limit: number): number =>
    series.counts.reduce((sum, count, index) => ((BOUNDS[index] ?? Infinity) <= limit ? sum + count : sum), 0)
  const line = (metricName: string, value: number, more: Labels = {}) => ({
    metricName,
    value,
    labels: { ...labels, ...more },
  })
  return [
    ...bounds.map((bound, index) => line(`${metric.name}_bucket`, upTo(bound), { le: String(metric.buckets[index]) })),
    line(`${metric.name}_bucket`, series.total, { le: '+Inf' }),
    line(`${metric.name}_sum`, series.sumMs * metric.perMs),
    line(`${metric.name}_count`, series.total),
  ]
}
