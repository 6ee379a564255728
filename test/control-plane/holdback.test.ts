import { expect, test } from 'vitest'
import type { Instance } from '../../control-plane/contract.ts'
import { HOLD_MS, Holdback, type Seen } from '../../control-plane/discovery/holdback.ts'
import type { MonotonicMs } from '../../kernel/clock.ts'

const at = (ms: number): MonotonicMs => ms as MonotonicMs
const instance = (name: string, passing = true, service = 'worker'): Instance => ({
  instance: name,
  service,
  namespace: 'default',
  version: 'v1',
  region: '',
  address: '127.0.0.1',
  port: 1,
  passing,
})
const up = (...names: string[]): Seen[] => names.map((name) => ({ instance: instance(name), deliberate: false }))
const ranOut = (name: string): Seen => ({ instance: instance(name, false), deliberate: false })
const saysNo = (name: string): Seen => ({ instance: instance(name, false), deliberate: true })
const passing = (holdback: Holdback, seen: Seen[], now: number): string[] =>
  holdback
    .next(seen, at(now))
    .instances.filter((one) => one.passing)
    .map((one) => one.instance)

const LATER = HOLD_MS + 1_000
/** One whose start is long past and which published `names`. */
function settled(...names: string[]): Holdback {
  const holdback = new Holdback([], at(0))
  holdback.next(up(...names), at(LATER))
  return holdback
}

test('holdback: takes nothing away for 2 × TTL when the control plane has just restarted', () => {
  const holdback = new Holdback([instance('a'), instance('b')], at(0))
  expect(passing(holdback, [], 0)).toEqual(['a', 'b'])
  expect(passing(holdback, up('c'), HOLD_MS - 1)).toEqual(['a', 'b', 'c'])
  expect(holdback.next(up('c'), at(HOLD_MS - 1)).again).toBe(HOLD_MS)
})

test('holdback: takes one of three away at once when nothing was known at the start', () => {
  const holdback = new Holdback([], at(0))
  holdback.next(up('a', 'b', 'c'), at(1))
  expect(passing(holdback, up('a', 'b'), 2)).toEqual(['a', 'b'])
})

test('holdback: takes away who did not come back when 2 × TTL are over', () => {
  const holdback = new Holdback([instance('a'), instance('b'), instance('c')], at(0))
  holdback.next(up('a', 'b'), at(10))
  expect(passing(holdback, up('a', 'b'), HOLD_MS)).toEqual(['a', 'b'])
})

test('holdback: takes one of three away at once', () => {
  expect(passing(settled('a', 'b', 'c'), up('a', 'b'), LATER + 1)).toEqual(['a', 'b'])
})

test('holdback: keeps them for 2 × TTL when most of a service vanishes at once, by silence or altogether', () => {
  for (const left of [up('a'), [...up('a'), ranOut('b'), ranOut('c')], []]) {
    const holdback = settled('a', 'b', 'c')
    expect(passing(holdback, left, LATER + 1)).toEqual(['a', 'b', 'c'])
    expect(holdback.next(left, at(LATER + 2)).again).toBe(LATER + 1 + HOLD_MS)
    expect(passing(holdback, left, LATER + HOLD_MS)).toEqual(['a', 'b', 'c'])
    expect(passing(holdback, left, LATER + 1 + HOLD_MS)).toEqual(left.length === 0 ? [] : ['a'])
  }
})

test('holdback: believes at once when instances say themselves that they are not ready', () => {
  expect(passing(settled('a', 'b'), [saysNo('a'), saysNo('b')], LATER + 1)).toEqual([])
})

test('holdback: forgets the hold when they come back, and holds anew when they vanish again', () => {
  const holdback = settled('a', 'b')
  holdback.next([], at(LATER + 1))
  expect(holdback.next(up('a', 'b'), at(LATER + 2)).again).toBeUndefined()
  expect(passing(holdback, [], LATER + HOLD_MS)).toEqual(['a', 'b'])
  expect(holdback.next([], at(LATER + HOLD_MS + 1)).again).toBe(LATER + 2 * HOLD_MS)
})

test('holdback: follows the address when a held instance comes back elsewhere', () => {
  const holdback = settled('a')
  holdback.next([], at(LATER + 1))
  const moved = { ...instance('a'), port: 2 }
  const { instances } = holdback.next([{ instance: moved, deliberate: false }], at(LATER + 2))
  expect(instances).toEqual([moved])
})

test('holdback: of one service holds nothing of another', () => {
  const holdback = new Holdback([], at(0))
  const other: Seen = { instance: instance('x', true, 'billing'), deliberate: false }
  holdback.next([...up('a', 'b', 'c'), other], at(LATER))
  const { instances } = holdback.next(up('a', 'b'), at(LATER + 1))
  expect(instances.map((one) => one.instance)).toEqual(['x', 'a', 'b'])
})
