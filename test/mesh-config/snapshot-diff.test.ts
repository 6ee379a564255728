// `diffSnapshots`: what one sidecar would notice.

import { expect, test } from 'vitest'
import { compileSnapshot } from '../../mesh-config/compile.ts'
import { CHANGES_MAX, diffSnapshots } from '../../mesh-config/snapshot-diff.ts'
import { CALLER, instance, ours, route, service, valid } from './support.ts'

const snapshotOf = (texts: string, instances = [instance('worker-1')]) =>
  compileSnapshot(valid(texts), instances, CALLER, [])
const BASE = service('worker') + service('v1', '{selector: {service: worker, version: v1}}')
const split = (rules: string): string => BASE + route('r', 'worker', rules)
const ONE = split('[{name: a, backendRefs: [{name: v1, weight: 90}, {name: worker, weight: 10}]}]')

const brief = (before: string, after: string): string[] =>
  diffSnapshots(snapshotOf(before), snapshotOf(after)).changes.map((one) =>
    `${one.change} ${one.part} ${one.name}`.trim(),
  )

test('diff: finds nothing when both are equal', () => {
  expect(diffSnapshots(snapshotOf(ONE), snapshotOf(ONE))).toEqual({ changes: [], count: 0 })
})

test('diff: tells the weight that changed, before and after', () => {
  const { changes } = diffSnapshots(snapshotOf(ONE), snapshotOf(ONE.replace('weight: 90', 'weight: 50')))
  expect(changes).toEqual([
    {
      part: 'rule',
      name: 'worker: default/r#a',
      change: 'changed',
      details: [{ path: '[0].backends[0].weight', before: 90, after: 50 }],
    },
  ])
})

test('diff: tells services, backends and rules that come and go', () => {
  expect(brief(BASE, BASE + service('shop'))).toEqual(['added service shop', 'added backend shop'])
  expect(brief(BASE + service('shop'), BASE)).toEqual(['removed service shop', 'removed backend shop'])
  expect(brief(BASE, ONE)).toEqual(['removed rule worker: default:default/worker', 'added rule worker: default/r#a'])
})

test('diff: tells policies, inbound rules and the mesh', () => {
  const policy = ours('TrafficPolicy', 'p', '{targetRef: {kind: Service, name: worker}, breaker: {failures: 9}}')
  const { changes } = diffSnapshots(snapshotOf(BASE), snapshotOf(BASE + policy))
  expect(changes.map((one) => one.name)).toEqual(['v1', 'worker'])
  expect(changes[0]!.details).toEqual([{ path: 'policy.breaker.failures', before: 5, after: 9 }])
  const callers = service('scheduler')
  const access = ours('AuthorizationPolicy', 'a', '{targetRef: {kind: Service, name: scheduler}, rules: [{}]}')
  expect(brief(BASE + callers, BASE + callers + access)).toEqual(['changed inbound'])
  const mesh = 'apiVersion: fairlead.dev/v1\nkind: Mesh\nmetadata: {name: m}\nspec: {tracing: {samplePercent: 9}}\n'
  expect(brief(BASE, `${BASE}---\n${mesh}`)).toEqual(['changed mesh'])
})

test('diff: tells endpoints by instance when they come and go', () => {
  const [before, after] = [snapshotOf(BASE), snapshotOf(BASE, [instance('worker-0'), instance('worker-1')])]
  expect(diffSnapshots(before, after).changes[0]!.details).toMatchObject([
    { path: 'endpoints.worker-0', after: { instance: 'worker-0' } },
  ])
})

test('diff: tells a new order of rules, and none when one was added before them', () => {
  const rule = (name: string) =>
    `{name: ${name}, matches: [{headers: [{name: ${name}, value: "1"}]}], backendRefs: [{name: v1}]}`
  expect(brief(split(`[${rule('a')}, ${rule('b')}]`), split(`[${rule('b')}, ${rule('a')}]`))).toContain(
    'reordered rule worker',
  )
  expect(
    brief(
      split(`[${rule('a')}]`),
      split(
        `[{name: n, matches: [{method: GET, headers: [{name: x, value: "1"}]}], backendRefs: [{name: v1}]}, ${rule('a')}]`,
      ),
    ),
  ).not.toContain('reordered rule worker')
})

test('diff: is bounded, and counts all, when everything changes', () => {
  const many = Array.from({ length: 400 }, (_, at) => service(`s${at}`)).join('')
  const { changes, count } = diffSnapshots(snapshotOf(BASE), snapshotOf(BASE + many))
  expect([changes.length, count]).toEqual([CHANGES_MAX, 800])
})
