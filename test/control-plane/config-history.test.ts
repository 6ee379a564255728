// Config history: the way back, and what a candidate would change, over the operator API.

import { expect, test } from 'vitest'
import { ConfigAppliedSchema, ConfigDiffSchema, ConfigHistorySchema } from '../../control-plane/contract.ts'
import { compileProblems } from '../../control-plane/dry-compile.ts'
import { parseConfig } from '../../mesh-config/config.ts'
import { type Plane, sharedPlane, startPlane } from './plane.ts'

const shared = sharedPlane()
const files = (...names: string[]) =>
  names.map((name) => ({
    name: `${name}.yaml`,
    text: `apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {}\n`,
  }))
const BY_ADA = { 'x-fairlead-author': 'ada' }

async function apply(plane: Plane, ...names: string[]): Promise<string> {
  const answer = await plane.api('PUT', '/api/v1/config', { files: files(...names) }, BY_ADA)
  return ConfigAppliedSchema.parse(answer.body).version
}

test('rollback: runs an earlier version again, reaches sidecars, and is recorded with before and after', async () => {
  const plane = await startPlane()
  const first = await apply(plane, 'worker')
  const second = await apply(plane, 'worker', 'billing')
  const stream = plane.stream(await plane.join('worker'), {})
  await stream.snapshotWith((snapshot) => snapshot.backends.some((one) => one.name === 'billing'))
  const answer = await plane.api(
    'POST',
    '/api/v1/config/rollback',
    { version: first.slice(0, 8) },
    { 'x-fairlead-author': 'bob' },
  )
  expect(answer.body).toEqual({ version: first, before: second, changed: true, warnings: [] })
  await stream.snapshotWith((snapshot) => snapshot.backends.map((one) => one.name).join() === 'worker')
  const { history } = ConfigHistorySchema.parse((await plane.api('GET', '/api/v1/config/history')).body)
  expect(history.map((one) => [one.version, one.author])).toEqual([
    [first, 'bob'],
    [second, 'ada'],
    [first, 'ada'],
  ])
  expect(await plane.audit('config.rollback')).toMatchObject([
    { actor: 'bob', subject: first, detail: { before: second, after: first, files: ['worker.yaml'] } },
  ])
  expect(await plane.audit('config.apply')).toMatchObject([
    { actor: 'ada', detail: { before: first, after: second } },
    { actor: 'ada', detail: { before: '', after: first } },
  ])
})

test('rollback: changes nothing when that version runs already', async () => {
  const plane = await startPlane()
  const version = await apply(plane, 'worker')
  const answer = await plane.api('POST', '/api/v1/config/rollback', { version })
  expect(answer.body).toMatchObject({ version, before: version, changed: false })
})

test.each([
  ['a version that never ran', { version: 'abcdef0123456789' }, 404, 'CONFIG_VERSION_UNKNOWN'],
  ['too few digits', { version: 'abc' }, 400, 'INVALID_INPUT'],
  ['a version that is none', { version: '../../etc' }, 400, 'INVALID_INPUT'],
  ['no version', {}, 400, 'INVALID_INPUT'],
])('rollback: refuses when asked for %s', async (_, body, status, code) => {
  const answer = await shared().api('POST', '/api/v1/config/rollback', body)
  expect([answer.status, answer.body['code']]).toEqual([status, code])
})

test('diff: shows what each sidecar would notice, by files and by version, and changes nothing', async () => {
  const plane = await startPlane()
  const first = await apply(plane, 'worker')
  const second = await apply(plane, 'worker', 'billing')
  await plane.stream(await plane.join('worker'), { instance: 'worker-1' }).snapshot()
  await plane.stream(await plane.join('worker'), { instance: 'worker-2' }).snapshot()
  await plane.stream(await plane.join('scheduler'), { instance: 's-1', service: 'scheduler' }).snapshot()
  const byFiles = await plane.api('POST', '/api/v1/config/diff', { files: files('worker', 'billing', 'shop') })
  const diff = ConfigDiffSchema.parse(byFiles.body)
  expect(diff.current).toBe(second)
  expect(diff.sidecars).toMatchObject([
    { service: 'scheduler', instances: ['s-1'], count: 2 },
    { service: 'worker', instances: ['worker-1', 'worker-2'], count: 2 },
  ])
  expect(diff.sidecars[1]!.changes).toMatchObject([
    { part: 'service', name: 'shop', change: 'added' },
    { part: 'backend', name: 'shop', change: 'added' },
  ])
  const byVersion = ConfigDiffSchema.parse((await plane.api('POST', '/api/v1/config/diff', { version: first })).body)
  expect(byVersion.sidecars[0]!.changes.map((one) => `${one.change} ${one.part}`)).toEqual([
    'removed service',
    'removed backend',
  ])
  expect((await plane.api('GET', '/api/v1/config')).body['version']).toBe(second)
  expect(await plane.audit('config.apply')).toHaveLength(2)
})

test('diff: answers every problem and leaves no row when the candidate is invalid', async () => {
  const plane = await startPlane()
  const [file] = files('x')
  const bad = [{ ...file!, text: file!.text.replace('spec: {}', 'spec: {nonsense: 1}') }]
  const answer = await plane.api('POST', '/api/v1/config/diff', { files: bad })
  expect([answer.status, answer.body['code']]).toEqual([422, 'CONFIG_INVALID'])
  expect(await plane.audit('config.refuse')).toEqual([])
})

test.each([[{}], [{ files: [], version: 'abcdef' }], [{ files: 'x' }]])('diff: refuses the body %j', async (body) => {
  const answer = await shared().api('POST', '/api/v1/config/diff', body)
  expect([answer.status, answer.body['code']]).toEqual([400, 'INVALID_INPUT'])
})

test('dry compile: names the sidecar whose snapshot the proxy would refuse', () => {
  const parsed = parseConfig(files('worker'))
  if (!('config' in parsed)) throw new Error('valid')
  const self = { instance: 'w-1', service: 'worker', namespace: 'default', version: 'v1' }
  const world = { sidecars: [self], instances: [], trustBundle: [] }
  expect(compileProblems(parsed.config, world)).toEqual([])
  const broken = { ...parsed.config, mesh: { ...parsed.config.mesh, samplePercent: 400 } }
  expect(compileProblems(broken, world)).toMatchObject([{ path: 'sidecar w-1' }])
})
