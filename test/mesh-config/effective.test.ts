// `effectiveConfig`: the value that a sidecar gets, and the line or default that it comes from.

import { expect, test } from 'vitest'
import { compileSnapshot } from '../../mesh-config/compile.ts'
import { parseConfig } from '../../mesh-config/config.ts'
import { DEFAULT_POLICY } from '../../mesh-config/defaults.ts'
import { type Effective, type EffectiveConfig, effectiveConfig, POLICY_FIELDS } from '../../mesh-config/effective.ts'
import { Located } from '../../mesh-config/located.ts'
import { CALLER, ours, route, service } from './support.ts'

const PARTS = service('worker') + service('worker-v1', '{selector: {service: worker, version: v1}}')

function effective(text: string): EffectiveConfig {
  const files = [{ name: 'a.yaml', text }]
  const parsed = parseConfig(files)
  if ('problems' in parsed) throw new Error(parsed.problems[0]!.message)
  return effectiveConfig(parsed.config, new Located(files))
}
const of = (config: EffectiveConfig, name: string): Map<string, Effective> =>
  new Map(config.services.find((one) => one.service === name)!.fields.map((one) => [one.field, one]))

test('effective: takes the nearest policy that says the field, then the next, then the default', () => {
  const near = ours('TrafficPolicy', 'near', '{targetRef: {kind: Service, name: worker-v1}, breaker: {failures: 9}}')
  const far = ours(
    'TrafficPolicy',
    'far',
    '{targetRef: {kind: Service, name: worker}, breaker: {failures: 7, open: 1m}, timeouts: {request: 3s}}',
  )
  const v1 = of(effective(PARTS + near + far), 'worker-v1')
  expect(v1.get('breaker.failures')).toMatchObject({
    value: 9,
    origin: { from: 'config', resource: 'TrafficPolicy default/near', file: 'a.yaml', line: 15 },
  })
  expect(v1.get('breaker.open')).toMatchObject({
    value: 60_000,
    unit: 'ms',
    origin: { resource: 'TrafficPolicy default/far' },
  })
  expect(v1.get('timeouts.request')).toMatchObject({ value: 3000, origin: { resource: 'TrafficPolicy default/far' } })
  expect(v1.get('breaker.window')).toMatchObject({ value: 10_000, origin: { from: 'default' } })
  expect(of(effective(PARTS + near + far), 'worker').get('breaker.failures')).toMatchObject({ value: 7 })
})

test('effective: says so when a cap follows from a longer base', () => {
  const policy = ours('TrafficPolicy', 'p', '{targetRef: {kind: Service, name: worker}, outlier: {baseEjection: 10m}}')
  expect(of(effective(PARTS + policy), 'worker').get('outlier.maxEjection')).toMatchObject({
    value: 600_000,
    origin: { from: 'derived' },
  })
})

test('effective: shows transport, access and rules with their lines', () => {
  const text =
    PARTS +
    service('old', '{endpoints: [{address: 10.0.0.1, port: 80}]}') +
    ours('AuthorizationPolicy', 'a', '{targetRef: {kind: Service, name: worker}, rules: [{}]}') +
    route(
      'r',
      'worker',
      '[{name: one, timeouts: {request: 1s}, retry: {codes: [503]}, backendRefs: [{name: worker-v1}]}]',
    )
  const all = effective(text)
  expect(of(all, 'old').get('transport')).toMatchObject({ value: 'plain', origin: { resource: 'Service default/old' } })
  expect(of(all, 'old').get('timeouts.idle')).toMatchObject({ value: 4000 })
  expect(of(all, 'worker').get('inbound.defaultAction')).toMatchObject({ value: 'deny', origin: { from: 'config' } })
  const [rule] = all.services.find((one) => one.service === 'worker')!.rules
  expect(rule).toMatchObject({
    rule: 'default/r rule 1 (one)',
    fields: [
      { field: 'timeouts.request', value: 1000, origin: { from: 'config' } },
      { field: 'timeouts.backendRequest', value: null, origin: { from: 'default' } },
      { field: 'retry.attempts', value: 2, origin: { from: 'default' } },
      { field: 'retry.codes', value: [503], origin: { from: 'config' } },
      { field: 'retry.backoff', value: 25 },
      { field: 'retry.anyMethod', value: true, origin: { from: 'config' } },
    ],
  })
})

test('effective: has a line for every value of a compiled policy', () => {
  const files = [{ name: 'a.yaml', text: PARTS }]
  const parsed = parseConfig(files)
  const policy = 'config' in parsed && compileSnapshot(parsed.config, [], CALLER, []).backends[0]!.policy
  const leaves = (value: unknown): unknown[] =>
    typeof value === 'object' && value !== null ? Object.values(value).flatMap(leaves) : [value]
  const told = POLICY_FIELDS.map((one) => one.value(policy as Exclude<typeof policy, false>))
  expect([...told].sort()).toEqual(leaves(policy).sort())
  expect(leaves(DEFAULT_POLICY)).toHaveLength(POLICY_FIELDS.length - 1) // idle: by transport
})

test('effective: knows where the settings of the mesh come from', () => {
  const mesh = 'apiVersion: fairlead.dev/v1\nkind: Mesh\nmetadata: {name: m}\nspec: {tracing: {samplePercent: 50}}\n'
  expect(effective(mesh).mesh).toMatchObject([
    { field: 'trustDomain', origin: { from: 'default' } },
    { field: 'tracing.samplePercent', value: 50, origin: { from: 'config', line: 4, column: 33 } },
    { field: 'ttl.leaf', value: 14_400_000, origin: { from: 'default' } },
  ])
})
