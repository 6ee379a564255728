// Golden pairs: YAML in, the whole snapshot out. `vitest run test/mesh-config/golden.test.ts -u` writes them anew.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compileSnapshot, type Instance } from '../../mesh-config/compile.ts'
import { parseConfig } from '../../mesh-config/config.ts'
import { readConfigFiles } from '../../mesh-config/files.ts'
import { configJsonSchema, SCHEMA_FILE } from '../../mesh-config/json-schema.ts'
import { CONFIG_CODES } from '../../mesh-config/problem.ts'
import { parseSnapshot } from '../../mesh-config/snapshot.ts'
import { compileStandalone } from '../../mesh-config/standalone.ts'
import { instance } from './support.ts'

const ROOT = join(import.meta.dirname, '../..')
const GOLDEN = join(import.meta.dirname, 'golden')
const cases = readdirSync(GOLDEN).filter((name) => name.endsWith('.yaml'))

const INSTANCES: Instance[] = [
  instance('worker-v1-1', { port: 7001 }),
  instance('worker-v1-2', { port: 7002, region: 'eu-west' }),
  instance('worker-v2-1', { port: 7003, version: 'v2' }),
  instance('worker-v1-3', { port: 7004, passing: false }),
  instance('scheduler-1', { service: 'scheduler', port: 7005 }),
]
const SELF = { service: 'worker', namespace: 'default', version: 'v1', instance: 'worker-v1-1' }

test.each(cases)('golden: %s compiles to its snapshot', async (name) => {
  const parsed = parseConfig([{ name, text: readFileSync(join(GOLDEN, name), 'utf8') }])
  if ('problems' in parsed) return expect(parsed.problems).toEqual([])
  const snapshot = name.startsWith('standalone')
    ? compileStandalone(parsed.config)
    : compileSnapshot(parsed.config, INSTANCES, SELF, ['-----BEGIN CERTIFICATE-----'])
  expect(parseSnapshot(JSON.parse(JSON.stringify(snapshot)))).toEqual(snapshot)
  const file = join(GOLDEN, name.replace('.yaml', '.json'))
  await expect(`${JSON.stringify(snapshot, null, 2)}\n`).toMatchFileSnapshot(file)
})

test('golden: there are cases', () => {
  expect(cases.length).toBeGreaterThanOrEqual(4)
})

test('schema: is the one that editors are given', () => {
  expect(JSON.parse(readFileSync(join(ROOT, SCHEMA_FILE), 'utf8'))).toEqual(
    JSON.parse(JSON.stringify(configJsonSchema())),
  )
})

test('demo: splits the worker 90 to 10 between versions, and lets only the scheduler in', async () => {
  const parsed = parseConfig(await readConfigFiles(join(ROOT, 'mesh-config/demo')))
  if ('problems' in parsed) return expect(parsed.problems).toEqual([])
  expect(parsed.warnings).toEqual([])
  const snapshot = compileSnapshot(parsed.config, INSTANCES, SELF, [])
  const worker = snapshot.services.find((service) => service.service === 'worker')
  expect(worker?.rules[0]?.backends).toMatchObject([
    { backend: 'worker-v1', weight: 90 },
    { backend: 'worker-v2', weight: 10 },
  ])
  expect(snapshot.inbound).toMatchObject({
    defaultAction: 'deny',
    rules: [{ action: 'ALLOW', principals: ['spiffe://fairlead.local/ns/default/sa/scheduler'] }],
  })
  const scheduler = compileSnapshot(parsed.config, INSTANCES, { ...SELF, service: 'scheduler' }, [])
  expect(scheduler.inbound.rules).toMatchObject([{ principals: ['spiffe://fairlead.local/ns/default/sa/worker'] }])
})

const EXAMPLES = join(ROOT, 'mesh-config/examples')
test.each(readdirSync(EXAMPLES))('example: %s is valid, without a warning, and names its schema first', (name) => {
  const text = readFileSync(join(EXAMPLES, name), 'utf8')
  expect(text).toMatch(/^# yaml-language-server: \$schema=\.\.\/schema\/fairlead\.schema\.json\n/)
  const parsed = parseConfig([{ name, text }])
  expect([...('problems' in parsed ? parsed.problems : []), ...parsed.warnings]).toEqual([])
})

test('docs: config.md lists exactly the problem codes that there are', () => {
  const text = readFileSync(join(ROOT, 'docs/config.md'), 'utf8')
  const listed = [...text.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1])
  expect(listed).toEqual(Object.keys(CONFIG_CODES))
})
