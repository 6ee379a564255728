import { expect, test } from 'vitest'
import { seededRandom } from '../../../kernel/random.ts'
import { EndpointSet } from '../../../proxy/policy/endpoint-set.ts'
import { ManualClock } from '../../support/clock.ts'
import { endpoint, POLICY } from './fixtures.ts'

function setup(count: number) {
  const clock = new ManualClock()
  const ejected: string[] = []
  const set = new EndpointSet(
    { clock, random: seededRandom(1), onEject: (one, forMs) => ejected.push(`${one.instance} ${forMs}`) },
    POLICY,
  )
  const endpoints = Array.from({ length: count }, (_, i) => endpoint(`i${i}`, 2000 + i))
  set.update(endpoints, POLICY)
  const fail = (index: number, times = 5): void => {
    for (let i = 0; i < times; i++) set.members[index]!.settle(false)
  }
  return { clock, set, endpoints, ejected, fail }
}

test('outlier: ejects an endpoint after five failures in a row, for 30 s', async () => {
  const { clock, set, fail, ejected } = setup(2)
  fail(0, 4)
  expect(set.members[0]!.ejected).toBe(false)
  fail(0, 1)
  expect(set.members[0]!.ejected).toBe(true)
  expect(ejected).toEqual(['i0 30000'])
  await clock.advance(29_999)
  expect(set.members[0]!.ejected).toBe(true)
  await clock.advance(1)
  expect(set.members[0]!.ejected).toBe(false)
})

test('outlier: a success in between starts the count again', () => {
  const { set, fail } = setup(2)
  fail(0, 4)
  set.members[0]!.settle(true)
  fail(0, 4)
  expect(set.members[0]!.ejected).toBe(false)
})

test('outlier: ejects longer each time, at most 300 s', async () => {
  const { clock, fail, ejected } = setup(2)
  for (let round = 0; round < 12; round++) {
    fail(0)
    await clock.advance(Math.min(30_000 * (round + 1), 300_000))
  }
  expect(ejected.slice(0, 3)).toEqual(['i0 30000', 'i0 60000', 'i0 90000'])
  expect(ejected.at(-1)).toBe('i0 300000')
})

test('outlier: forgives one ejection for each base period served well', async () => {
  const { clock, fail, ejected } = setup(2)
  fail(0)
  await clock.advance(30_000)
  fail(0)
  await clock.advance(60_000 + 2 * 30_000)
  fail(0)
  expect(ejected).toEqual(['i0 30000', 'i0 60000', 'i0 30000'])
})

test.each([
  [1, 0],
  [2, 1],
  [3, 1],
  [4, 2],
  [5, 2],
])('outlier: of %i endpoints at most %i sit out when all fail', (count, most) => {
  const { set, fail } = setup(count)
  for (let i = 0; i < count; i++) fail(i)
  expect(set.members.filter((member) => member.ejected)).toHaveLength(most)
})

test('outlier: keeps the verdict over snapshots, and drops it for a restarted instance', () => {
  const { set, endpoints, fail } = setup(4)
  fail(0)
  fail(1)
  set.update([...endpoints.slice(1), { ...endpoints[0]! }], POLICY)
  expect(set.members.find((member) => member.endpoint.instance === 'i0')!.ejected).toBe(true)
  set.update([{ ...endpoints[0]!, port: 9999 }, ...endpoints.slice(1)], POLICY)
  expect(set.members[0]!.ejected).toBe(false)
  expect(set.members[1]!.ejected).toBe(true)
})

test('outlier: the ejection that ends first is lifted when the set shrinks below the cap', async () => {
  const { clock, set, endpoints, fail } = setup(4)
  fail(0)
  await clock.advance(1000)
  fail(1)
  set.update(endpoints.slice(0, 2), POLICY)
  expect(set.members.map((member) => member.ejected)).toEqual([false, true])
})
