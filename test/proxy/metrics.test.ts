import { expect, onTestFinished, test } from 'vitest'
import { createRegistry } from '../../kernel/metrics.ts'
import { seededRandom } from '../../kernel/random.ts'
import type { Exchange } from '../../proxy/exchange.ts'
import { ProxyMetrics } from '../../proxy/metrics.ts'
import { RouteTables } from '../../proxy/policy/route-table.ts'
import { SERIES_MAX } from '../../proxy/request-series.ts'
import { ManualClock } from '../support/clock.ts'
import { exchange } from './exchange-fixture.ts'
import { snapshot } from './policy/fixtures.ts'

function setup() {
  const clock = new ManualClock()
  const tables = new RouteTables({ clock, random: seededRandom(1) })
  onTestFinished(() => tables.close())
  tables.swap(snapshot())
  const registry = createRegistry('proxy')
  const metrics = new ProxyMetrics({
    registry,
    clock,
    self: () => ({ service: 'scheduler', namespace: 'default', version: 'v1' }),
    spiffeId: () => 'spiffe://fairlead.local/ns/default/sa/scheduler',
    certificateEnds: () => 1_000_000,
    table: () => tables.current,
  })
  const done = (more: Partial<Exchange> = {}, tookMs = 3): void =>
    metrics.done(exchange({ startedMs: clock.now() - tookMs, ...more }))
  const lines = async (pattern: RegExp): Promise<string[]> =>
    (await registry.metrics()).split('\n').filter((line) => !line.startsWith('#') && pattern.test(line))
  return { clock, tables, metrics, done, lines }
}

test("metrics: count outbound requests under Istio's names and ours", async () => {
  const { done, lines } = setup()
  done()
  done()
  const [istio] = await lines(/^istio_requests_total/)
  expect(istio).toMatch(/ 2$/)
  for (const label of [
    'reporter="source"',
    'source_principal="spiffe://fairlead.local/ns/default/sa/scheduler"',
    'destination_principal="spiffe://fairlead.local/ns/default/sa/worker"',
    'destination_service="worker.default.mesh"',
    'destination_version="v1"',
    'response_code="200"',
    'response_flags="-"',
    'connection_security_policy="unknown"',
  ]) {
    expect(istio).toContain(label)
  }
  expect(await lines(/^fairlead_requests_total/)).toEqual([
    'fairlead_requests_total{direction="outbound",service="worker",backend="worker-v1",version="v1",code="200",flags="-",process="proxy"} 2',
  ])
})

test('metrics: count inbound requests with the proven peer', async () => {
  const { done, lines } = setup()
  done({ direction: 'inbound', principal: 'spiffe://fairlead.local/ns/jobs/sa/caller', backend: '' })
  const [line] = await lines(/^istio_requests_total/)
  for (const label of [
    'reporter="destination"',
    'source_workload="caller"',
    'source_workload_namespace="jobs"',
    'destination_app="scheduler"',
    'connection_security_policy="mutual_tls"',
  ]) {
    expect(line).toContain(label)
  }
})

test('metrics: count once per scrape, however often they are scraped', async () => {
  const { done, lines } = setup()
  done()
  await lines(/^istio/)
  await lines(/^istio/)
  done()
  expect((await lines(/^fairlead_requests_total/))[0]).toMatch(/ 2$/)
  expect((await lines(/^fairlead_request_duration_seconds_count/))[0]).toMatch(/ 2$/)
})

test('metrics: place durations in cumulative buckets of both histograms', async () => {
  const { done, lines } = setup()
  for (const ms of [0.4, 5, 5.001, 99, 100_000]) done({}, ms)
  const buckets = async (name: string): Promise<Record<string, number>> =>
    Object.fromEntries(
      (await lines(new RegExp(`^${name}_bucket`))).map((line) => [
        /le="([^"]+)"/.exec(line)![1],
        Number(line.split(' ').at(-1)),
      ]),
    )
  expect(await buckets('fairlead_request_duration_seconds')).toMatchObject({
    '0.005': 2,
    '0.01': 3,
    '0.1': 4,
    '10': 4,
    '+Inf': 5,
  })
  expect(await buckets('istio_request_duration_milliseconds')).toMatchObject({
    '0.5': 1,
    '5': 2,
    '10': 3,
    '100': 4,
    '60000': 4,
    '300000': 5,
    '+Inf': 5,
  })
  const [sum] = await lines(/^istio_request_duration_milliseconds_sum/)
  expect(Number(sum!.split(' ').at(-1))).toBeCloseTo(100_109.401, 2)
})

test('metrics: stay bounded when principals and codes never end', async () => {
  const { done, lines } = setup()
  for (let i = 0; i < SERIES_MAX + 500; i++) done({ direction: 'inbound', principal: `spiffe://x/ns/a/sa/b${i}` })
  const all = await lines(/^istio_requests_total/)
  expect(all).toHaveLength(SERIES_MAX + 1)
  expect(all.find((line) => line.includes('reporter="other"'))).toMatch(/ 500$/)
})

test('metrics: show breakers, endpoints, certificate and snapshot as they are', async () => {
  const { tables, lines, metrics } = setup()
  for (let i = 0; i < 5; i++) {
    tables.current!.backend('worker-v1')!.breaker.settle(false)
    tables.current!.backend('worker-v1')!.endpoints[0]!.settle(false)
  }
  metrics.breakerOpened('worker-v1')
  metrics.connection('inbound', 'refused', 'EXPIRED')
  metrics.connection('inbound', 'opened')
  const text = (await lines(/^fairlead_(breaker|endpoints|certificate|snapshot_info|connections)/)).join('\n')
  for (const line of [
    'fairlead_breaker_state{backend="worker-v1",process="proxy"} 2',
    'fairlead_breaker_state{backend="worker-v2",process="proxy"} 0',
    'fairlead_breaker_opened_total{backend="worker-v1",process="proxy"} 1',
    'fairlead_endpoints{backend="worker-v1",state="ejected",process="proxy"} 1',
    'fairlead_endpoints{backend="worker-v1",state="serving",process="proxy"} 1',
    'fairlead_snapshot_info{version="s1",process="proxy"} 1',
    'fairlead_connections{direction="inbound",process="proxy"} 1',
    'fairlead_connections_refused_total{direction="inbound",reason="EXPIRED",process="proxy"} 1',
  ]) {
    expect(text).toContain(line)
  }
  expect(text).toMatch(/fairlead_certificate_not_after_seconds\{spiffe_id="spiffe:[^"]+",process="proxy"\} 1000\b/)
})

test('metrics: forget the gauges of a snapshot that left, and bound the reasons of refusals', async () => {
  const { tables, lines, metrics } = setup()
  await lines(/./)
  tables.swap(snapshot({ version: 's2' }))
  expect(await lines(/^fairlead_snapshot_info/)).toEqual(['fairlead_snapshot_info{version="s2",process="proxy"} 1'])
  for (let i = 0; i < 300; i++) metrics.connection('inbound', 'refused', `reason ${i}`)
  expect((await lines(/^fairlead_connections_refused_total/)).length).toBeLessThanOrEqual(101)
})
