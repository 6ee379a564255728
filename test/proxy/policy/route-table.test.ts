import { expect, onTestFinished, test } from 'vitest'
import { parseAuthority } from '../../../kernel/authority.ts'
import { seededRandom } from '../../../kernel/random.ts'
import { RouteTables } from '../../../proxy/policy/route-table.ts'
import { ManualClock } from '../../support/clock.ts'
import { backend, endpoint, POLICY, rule, snapshot } from './fixtures.ts'

function setup(first = snapshot()) {
  const clock = new ManualClock()
  const events: string[] = []
  const tables = new RouteTables({
    clock,
    random: seededRandom(1),
    events: {
      ejected: (name, one) => events.push(`ejected ${name} ${one.instance}`),
      breakerOpened: (name) => events.push(`opened ${name}`),
    },
  })
  onTestFinished(() => tables.close())
  return { clock, tables, events, table: tables.swap(first) }
}

test.each([
  ['worker.mesh', true],
  ['worker.default.mesh', true],
  ['WORKER.mesh.', true],
  ['worker.mesh:9999', true],
  ['legacy.example:8080', true],
  ['plain.example', true],
  ['plain.example:81', true],
  ['worker.other.mesh', false],
  ['other.mesh', false],
  ['legacy.example', false],
  ['legacy.example:8081', false],
  ['169.254.169.254', false],
])('route table: knows %s: %s', (authority, known) => {
  const { table } = setup()
  expect(table.service(parseAuthority(authority)) !== undefined).toBe(known)
})

test('route table: finds the first rule in order of precedence, and none when none fits', () => {
  const { table } = setup(
    snapshot({
      rules: [
        rule(
          { 'worker-v2': 1 },
          {
            id: 'canary',
            match: {
              path: { type: 'PathPrefix', value: '/x' },
              headers: [{ type: 'Exact', name: 'x-canary', value: 'yes' }],
              query: [],
            },
          },
        ),
        rule(
          { 'worker-v1': 1 },
          { id: 'plain', match: { path: { type: 'PathPrefix', value: '/x' }, headers: [], query: [] } },
        ),
      ],
    }),
  )
  const service = table.service(parseAuthority('worker.mesh'))!
  expect(service.rule('GET', '/x/1', '', ['x-canary', 'yes'])?.rule.id).toBe('canary')
  expect(service.rule('GET', '/x/1', '', ['x-canary', 'no'])?.rule.id).toBe('plain')
  expect(service.rule('GET', '/y', '', [])).toBeUndefined()
})

test('route table: an invalid backend keeps its share and has no entry', () => {
  const broken = rule({ 'worker-v1': 1, nowhere: 1 })
  broken.backends[1]!.invalid = 'BackendNotFound'
  const { table } = setup(snapshot({ rules: [broken] }))
  const entry = table.service(parseAuthority('worker.mesh'))!.rule('GET', '/', '', [])!
  const picked = [entry.next()!, entry.next()!].map((to) => [to.ref.backend, to.entry?.backend.name])
  expect(picked).toEqual(
    expect.arrayContaining([
      ['worker-v1', 'worker-v1'],
      ['nowhere', undefined],
    ]),
  )
})

test('route table: finds an instance under the version that serves it', () => {
  const both = [endpoint('w1a', 1001), endpoint('w2a', 1003, 'v2')]
  const { table } = setup(
    snapshot({
      backends: [
        backend('worker', '', both),
        backend('worker-v1', 'v1', [both[0]!]),
        backend('worker-v2', 'v2', [both[1]!]),
      ],
    }),
  )
  const service = table.service(parseAuthority('worker.mesh'))!
  expect(service.instance('w2a')?.backend.backend.name).toBe('worker-v2')
  expect(service.instance('gone')).toBeUndefined()
})

test('route table: carries breaker, ejections, load and split over a swap', async () => {
  const { tables, table, events } = setup()
  const before = table.backend('worker-v1')!
  before.active = 7
  before.endpoints[0]!.active = 3
  for (let i = 0; i < 5; i++) before.endpoints[0]!.settle(false)
  for (let i = 0; i < 5; i++) before.breaker.settle(false)
  const rules = table.service(parseAuthority('worker.mesh'))!.rule('GET', '/', '', [])!
  expect(rules.share(50)).toHaveLength(2)
  const next = tables.swap(snapshot({ version: 's2' }))
  const after = next.backend('worker-v1')!
  expect(next).not.toBe(table)
  expect(table.snapshot.version).toBe('s1')
  expect([after.active, after.endpoints[0]!.active, after.endpoints[0]!.ejected]).toEqual([7, 3, true])
  expect([after.breaker.state, after.breaker.opened]).toEqual(['open', 1])
  expect(events).toEqual(['ejected worker-v1 w1a', 'opened worker-v1'])
  const again = next.service(parseAuthority('worker.mesh'))!.rule('GET', '/', '', [])!
  expect(again.share(50).map((share) => share.units)).toEqual([45, 5])
})

test('route table: a table that was handed out does not change when the next comes', () => {
  const { tables, table } = setup()
  tables.swap(snapshot({ version: 's2', backends: [backend('worker-v1', 'v1', []), backend('worker-v2', 'v2', [])] }))
  expect(table.backend('worker-v1')!.endpoints).toHaveLength(2)
  // But nobody is sent to an instance that left.
  expect(table.backend('worker-v1')!.pick(new Set())).toBeUndefined()
})

test('route table: a breaker policy that changed takes effect, and what opened stays counted', () => {
  const { tables, table } = setup()
  for (let i = 0; i < 5; i++) table.backend('worker-v1')!.breaker.settle(false)
  const strict = { ...POLICY.breaker, failures: 1 }
  const next = tables.swap(
    snapshot({ backends: [backend('worker-v1', 'v1', [], { breaker: strict }), backend('worker-v2', 'v2', [])] }),
  )
  const { breaker } = next.backend('worker-v1')!
  expect([breaker.state, breaker.opened]).toEqual(['closed', 1])
  breaker.settle(false)
  expect([breaker.state, breaker.opened]).toEqual(['open', 2])
})

test('route table: tells who listens of each swap until they leave', () => {
  const { tables } = setup()
  const seen: string[] = []
  const leave = tables.onSwap((table) => seen.push(table.snapshot.version))
  tables.swap(snapshot({ version: 's2' }))
  leave()
  tables.swap(snapshot({ version: 's3' }))
  expect(seen).toEqual(['s2'])
})
