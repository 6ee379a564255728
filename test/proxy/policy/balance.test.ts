import { expect, test } from 'vitest'
import { seededRandom } from '../../../kernel/random.ts'
import type { Policy } from '../../../mesh-config/snapshot.ts'
import { EndpointSet } from '../../../proxy/policy/endpoint-set.ts'
import { ManualClock } from '../../support/clock.ts'
import { endpoint, POLICY } from './fixtures.ts'

function setup(count: number, balance: Policy['balance'] = 'leastRequest') {
  const set = new EndpointSet({ clock: new ManualClock(), random: seededRandom(5) }, { ...POLICY, balance })
  set.update(
    Array.from({ length: count }, (_, i) => endpoint(`i${i}`, 2000 + i)),
    { ...POLICY, balance },
  )
  const eject = (index: number): void => {
    for (let i = 0; i < 5; i++) set.members[index]!.settle(false)
  }
  return { set, eject, pick: (tried = new Set<never>()) => set.pick(tried)?.endpoint.instance }
}

test('balance: picks nothing when there is no endpoint', () => {
  expect(setup(0).pick()).toBeUndefined()
  expect(setup(0, 'roundRobin').pick()).toBeUndefined()
})

test('balance: picks the only endpoint', () => {
  expect(setup(1).pick()).toBe('i0')
})

test('balance: of two endpoints the less loaded one always wins', () => {
  const { set, pick } = setup(2)
  set.members[0]!.active = 3
  for (let i = 0; i < 50; i++) expect(pick()).toBe('i1')
})

test('balance: spreads evenly while requests stay under way', () => {
  const { set } = setup(5)
  for (let i = 0; i < 1000; i++) set.pick(new Set())!.active++
  for (const member of set.members) expect(Math.abs(member.active - 200)).toBeLessThan(10)
})

test('balance: never picks the most loaded endpoint', () => {
  const { set, pick } = setup(4)
  set.members[2]!.active = 100
  for (let i = 0; i < 200; i++) expect(pick()).not.toBe('i2')
})

test.each(['leastRequest', 'roundRobin'] as const)(
  'balance: %s passes over what was tried and what sits out',
  (how) => {
    const { set, eject } = setup(4, how)
    eject(1)
    const tried = new Set([set.members[0]!])
    for (let i = 0; i < 100; i++) expect(['i2', 'i3']).toContain(set.pick(tried)?.endpoint.instance)
  },
)

test.each(['leastRequest', 'roundRobin'] as const)(
  'balance: %s takes an ejected endpoint when nothing else is left',
  (how) => {
    const { set, eject } = setup(2, how)
    eject(0)
    expect(set.pick(new Set([set.members[1]!]))?.endpoint.instance).toBe('i0')
    expect(set.pick(new Set(set.members))).toBeUndefined()
  },
)

test('balance: round robin takes each in turn', () => {
  const { pick } = setup(3, 'roundRobin')
  const turns = Array.from({ length: 6 }, () => pick())
  expect(turns.slice(0, 3).toSorted()).toEqual(['i0', 'i1', 'i2'])
  expect(turns.slice(3)).toEqual(turns.slice(0, 3))
})
