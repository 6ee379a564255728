import { expect, onTestFinished, test, vi } from 'vitest'
import { asFairleadError } from '../../kernel/errors.ts'
import { parseQuote, parseSelf, type Quote } from '../../kernel/local-surface.ts'
import { seededRandom } from '../../kernel/random.ts'
import type { Snapshot } from '../../mesh-config/snapshot.ts'
import { localSurface } from '../../proxy/local-surface.ts'
import { QUOTE_TTL_MS, QUOTES_MAX, QuoteLedger } from '../../proxy/policy/quotes.ts'
import { RouteTables } from '../../proxy/policy/route-table.ts'
import { ManualClock } from '../support/clock.ts'
import { backend, endpoint, rule, snapshot } from './policy/fixtures.ts'

function setup(first: Snapshot | undefined = snapshot()) {
  const clock = new ManualClock()
  const random = seededRandom(1)
  const tables = new RouteTables({ clock, random })
  onTestFinished(() => tables.close())
  if (first) tables.swap(first)
  const quotes = new QuoteLedger(clock, random)
  const self = {
    instance: 's-1',
    service: 'scheduler',
    namespace: 'default',
    version: 'v1',
    spiffeId: 'spiffe://x/ns/a/sa/b',
  }
  const surface = localSurface({ self: () => self, table: () => tables.current, quotes })
  const call = async (
    method: string,
    path: string,
    body: unknown = undefined,
  ): Promise<{ status: number; body: unknown }> => {
    const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body ?? ''))
    return surface.handle(method, path, [], bytes).catch((error: unknown) => {
      const { code, spec } = asFairleadError(error)
      return { status: spec.status, body: code }
    })
  }
  const quote = async (units: number, more: object = {}): Promise<Quote> => {
    const request = {
      authority: 'worker.mesh',
      method: 'POST',
      path: '/fairlead/v1/dispatch',
      headers: {},
      units,
      ...more,
    }
    const answer = await call('POST', '/.fairlead/quote', request)
    if (answer.status !== 200) throw new Error(String(answer.body))
    return parseQuote(answer.body)
  }
  const report = (body: object) => call('POST', '/.fairlead/outcome', body)
  const outcome = (name: string, instance: string, succeeded: number, failed: number) => ({
    outcomes: [{ authority: 'worker.mesh', backend: name, instance, succeeded, failed }],
  })
  return { clock, tables, quotes, surface, call, quote, report, outcome }
}

const unitsOf = (quote: Quote) => Object.fromEntries(quote.backends.map(({ backend: name, units }) => [name, units]))

test('self: says who this is and which snapshot it runs on', async () => {
  const { call } = setup()
  const answer = await call('GET', '/.fairlead/self')
  expect(parseSelf(answer.body)).toMatchObject({ instance: 's-1', service: 'scheduler', snapshotVersion: 's1' })
})

test('self: answers before the first snapshot', async () => {
  const clock = new ManualClock()
  const self = { instance: 'a', service: 'b', namespace: 'c', version: 'd', spiffeId: '' }
  const parts = { self: () => self, table: () => undefined, quotes: new QuoteLedger(clock, seededRandom(1)) }
  const answer = await localSurface(parts).handle('GET', '/.fairlead/self', [], Buffer.alloc(0))
  expect(answer).toMatchObject({ status: 200, body: { snapshotVersion: '' } })
  await expect(localSurface(parts).handle('POST', '/.fairlead/outcome', [], Buffer.from('{}'))).rejects.toMatchObject({
    code: 'NOT_READY',
  })
})

test('quote: shares 100 units exactly as configured', async () => {
  const { quote } = setup()
  const first = await quote(100)
  expect(unitsOf(first)).toEqual({ 'worker-v1': 90, 'worker-v2': 10 })
  expect(first.backends.map((one) => one.version)).toEqual(['v1', 'v2'])
  expect(first).toMatchObject({ refused: [], snapshotVersion: 's1', expiresInMs: QUOTE_TTL_MS })
})

test('quote: carries the remainder from one quote to the next', async () => {
  const { quote } = setup()
  const total: Record<string, number> = {}
  for (let i = 0; i < 25; i++) {
    for (const { backend: name, units } of (await quote(4)).backends) total[name] = (total[name] ?? 0) + units
  }
  expect(total).toEqual({ 'worker-v1': 90, 'worker-v2': 10 })
})

test('quote: takes the route that the headers choose', async () => {
  const canary = rule(
    { 'worker-v2': 1 },
    {
      id: 'canary',
      match: {
        path: { type: 'PathPrefix', value: '/fairlead' },
        headers: [{ type: 'Exact', name: 'x-canary', value: '1' }],
        query: [],
      },
    },
  )
  const { quote } = setup(snapshot({ rules: [canary, rule({ 'worker-v1': 1 })] }))
  expect(unitsOf(await quote(3, { headers: { 'X-Canary': '1' } }))).toEqual({ 'worker-v2': 3 })
  expect(unitsOf(await quote(3))).toEqual({ 'worker-v1': 3 })
})

test('quote: a pinned version gets every unit and leaves the split alone', async () => {
  const { quote } = setup()
  expect(unitsOf(await quote(50, { pinned: 'v2' }))).toEqual({ 'worker-v2': 50 })
  expect(unitsOf(await quote(100))).toEqual({ 'worker-v1': 90, 'worker-v2': 10 })
})

test('quote: a pinned version that no backend has is refused', async () => {
  const { quote } = setup()
  const { backends, refused } = await quote(5, { pinned: 'v9' })
  expect(backends).toEqual([])
  expect(refused).toMatchObject([{ version: 'v9', units: 5, code: 'NO_HEALTHY_INSTANCE' }])
})

test('quote: a backend without instances has its share refused', async () => {
  const { quote } = setup(
    snapshot({ backends: [backend('worker-v1', 'v1', [endpoint('w1a', 1)]), backend('worker-v2', 'v2', [])] }),
  )
  const { backends, refused } = await quote(100)
  expect(backends).toMatchObject([{ backend: 'worker-v1', units: 90 }])
  expect(refused).toMatchObject([{ backend: 'worker-v2', units: 10, code: 'NO_HEALTHY_INSTANCE' }])
})

test('quote: weights of 0 leave nothing to give', async () => {
  const { quote } = setup(snapshot({ rules: [rule({ 'worker-v1': 0 })] }))
  expect(await quote(3)).toMatchObject({ backends: [], refused: [{ units: 3, code: 'BACKEND_INVALID' }] })
})

test('quote: an open breaker has its share refused until it may be probed, then takes one unit', async () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const { quote, report, outcome, tables, clock, surface } = setup()
  await report(outcome('worker-v2', 'w2a', 0, 5))
  expect(tables.current!.backend('worker-v2')!.breaker.state).toBe('open')
  const whileOpen = await quote(100)
  surface.drawn(whileOpen.quote, 'worker-v1')
  expect(unitsOf(whileOpen)).toEqual({ 'worker-v1': 90 })
  expect(whileOpen.refused).toMatchObject([
    { backend: 'worker-v2', units: 10, code: 'UPSTREAM_CIRCUIT_OPEN', retryAfterMs: 30_000 },
  ])
  await vi.advanceTimersByTimeAsync(30_000)
  await clock.advance(30_000)
  const half = await quote(100)
  expect(unitsOf(half)).toEqual({ 'worker-v1': 90, 'worker-v2': 1 })
  expect(half.refused).toMatchObject([{ backend: 'worker-v2', units: 9, code: 'UPSTREAM_CIRCUIT_OPEN' }])
  expect(unitsOf(await quote(100))).toEqual({ 'worker-v1': 90 })
  // The probe's unit comes back unused: the next may probe.
  await report({ unused: [{ quote: half.quote, backend: 'worker-v2', units: 1 }] })
  const probing = await quote(100)
  expect(unitsOf(probing)['worker-v2']).toBe(1)
  await report(outcome('worker-v2', 'w2a', 1, 0))
  await vi.advanceTimersByTimeAsync(0)
  expect(tables.current!.backend('worker-v2')!.breaker.state).toBe('closed')
})

test('quote: unused units go back, once and never more than were given', async () => {
  const { quote, report } = setup()
  const first = await quote(100)
  const unused = { quote: first.quote, backend: 'worker-v2', units: 4 }
  await report({ unused: [unused, { ...unused, units: 1000 }, unused] })
  // Ten came back; they are paid on top of what is due.
  const next = await quote(200)
  expect(unitsOf(next)['worker-v2']).toBe(29)
})

test('quote: what was not drawn goes back when it expires, what was drawn does not', async () => {
  const { quote, quotes, surface, clock } = setup()
  const first = await quote(100)
  surface.drawn(first.quote, 'worker-v1')
  await clock.advance(QUOTE_TTL_MS)
  quotes.sweep()
  expect(quotes.size).toBe(0)
  expect(unitsOf(await quote(200))).toEqual({ 'worker-v1': 171, 'worker-v2': 29 })
})

test('quote: the number of open quotes is bounded', async () => {
  const { quotes, tables } = setup()
  const request = { authority: 'worker.mesh', method: 'POST', path: '/', headers: {}, units: 1 }
  for (let i = 0; i < QUOTES_MAX + 10; i++) quotes.quote(tables.current!, request)
  expect(quotes.size).toBe(QUOTES_MAX)
})

test.each([
  ['an authority outside the mesh', { authority: 'example.com' }, 'EGRESS_DENIED'],
  ['an authority that is none', { authority: 'a b' }, 'BAD_REQUEST'],
  ['no unit', { units: 0 }, 'INVALID_INPUT'],
  ['too many units', { units: 10_001 }, 'INVALID_INPUT'],
  ['half a unit', { units: 1.5 }, 'INVALID_INPUT'],
  ['a path without slash', { path: 'x' }, 'INVALID_INPUT'],
  ['an unknown field', { more: 1 }, 'INVALID_INPUT'],
])('quote: refuses %s', async (_what, more, code) => {
  const { quote } = setup()
  await expect(quote(1, more)).rejects.toThrow(code)
})

test('quote: refuses a path that no rule takes', async () => {
  const only = rule({ 'worker-v1': 1 }, { match: { path: { type: 'Exact', value: '/only' }, headers: [], query: [] } })
  const { quote } = setup(snapshot({ rules: [only] }))
  await expect(quote(1)).rejects.toThrow('ROUTE_NOT_FOUND')
  expect(unitsOf(await quote(1, { path: '/only?x=1' }))).toEqual({ 'worker-v1': 1 })
})

test('outcome: five failed jobs in a row eject the instance and open the breaker', async () => {
  const { report, outcome, tables } = setup()
  expect((await report(outcome('worker-v1', 'w1a', 0, 5))).status).toBe(204)
  const entry = tables.current!.backend('worker-v1')!
  expect(entry.endpoints.map((one) => one.ejected)).toEqual([true, false])
  expect(entry.breaker.state).toBe('open')
})

test('outcome: a few failures among many successes do neither', async () => {
  const { report, outcome, tables } = setup()
  await report(outcome('worker-v1', 'w1a', 95, 8))
  await report(outcome('worker-v1', 'w1a', 95, 8))
  const entry = tables.current!.backend('worker-v1')!
  expect(entry.endpoints[0]!.ejected).toBe(false)
  expect(entry.breaker.state).toBe('closed')
})

test('outcome: of backends and instances that left is passed over', async () => {
  const { report, outcome, tables } = setup()
  expect((await report(outcome('gone', 'w1a', 0, 50))).status).toBe(204)
  expect((await report(outcome('worker-v1', 'gone', 3, 0))).status).toBe(204)
  expect(tables.current!.backend('worker-v1')!.breaker.state).toBe('closed')
})

test.each([
  [
    'a negative count',
    { outcomes: [{ authority: 'worker.mesh', backend: 'b', instance: 'i', succeeded: -1, failed: 0 }] },
    400,
  ],
  [
    'an authority that is none',
    { outcomes: [{ authority: '..', backend: 'b', instance: 'i', succeeded: 1, failed: 0 }] },
    400,
  ],
  [
    'more units than it takes',
    { outcomes: [{ authority: 'worker.mesh', backend: 'worker-v1', instance: 'i', succeeded: 1e9, failed: 0 }] },
    413,
  ],
  ['an unknown field', { extra: 1 }, 400],
  ['what is not JSON', '{', 400],
])('outcome: refuses %s', async (_what, body, status) => {
  const { call } = setup()
  expect((await call('POST', '/.fairlead/outcome', body)).status).toBe(status)
})

test.each([
  ['GET', '/.fairlead/nothing', 404],
  ['POST', '/.fairlead/self', 400],
  ['GET', '/.fairlead/quote', 400],
  ['GET', '/.fairlead/toString', 404],
])('local surface: refuses %s %s', async (method, path, status) => {
  const { call } = setup()
  expect((await call(method, path)).status).toBe(status)
})
