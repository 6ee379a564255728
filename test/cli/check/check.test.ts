// `fairlead check`: each thing that can be wrong, its code, and the command that mends it.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { check } from '../../../cli/check/check.ts'
import { hostChecks, nodeCheck } from '../../../cli/check/host.ts'
import { type MeshFacts, meshChecks, processChecks } from '../../../cli/check/mesh.ts'
import { bad, CHECKS, type CheckResult } from '../../../cli/check/result.ts'
import { CheckSchema } from '../../../cli/contract.ts'
import { openTerminal } from '../../../cli/terminal.ts'
import { pathsOf } from '../../../cli/up/data-dir.ts'
import { writeState } from '../../../cli/up/state-file.ts'
import type { MeshStatus } from '../../../control-plane/contract.ts'
import { systemClock, type WallMs } from '../../../kernel/clock.ts'
import { systemRandom } from '../../../kernel/random.ts'
import { startPlane } from '../../control-plane/plane.ts'
import { testPki } from '../../support/pki.ts'
import { until } from '../../support/until.ts'

function directory(): ReturnType<typeof pathsOf> {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-check-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return pathsOf(dir)
}
/** `status CODE subject` of all that is not ok. */
const notOk = (results: readonly CheckResult[]): string[] =>
  results.filter((one) => one.status !== 'ok').map((one) => `${one.status} ${one.code} ${one.subject}`.trim())

async function run(dir: string, json = true) {
  let out = ''
  const terminal = openTerminal({ out: { write: (text) => (out += text) }, err: { write: () => undefined }, env: {} })
  const context = { terminal, json, debug: false, dataDir: dir, clock: systemClock, random: systemRandom, env: {} }
  const code = await check(context)
  const answer = json ? (CheckSchema.parse(JSON.parse(out)) as { ok: boolean; checks: CheckResult[] }) : undefined
  return { code, out, answer }
}

// ── the host ────────────────────────────────────────────────────────────────────────────────────────────────────────

test.each([
  ['v24.12.0', 'ok'],
  ['v24.21.0', 'ok'],
  ['v26.0.0', 'ok'],
  ['v24.11.9', 'failed'],
  ['v22.99.0', 'failed'],
  ['nonsense', 'failed'],
])('check: Node %s is %s', (version, status) => {
  expect(nodeCheck(version, '/d').status).toBe(status)
})

test('check: fails with the chmod to run when others may open the directory or the key', () => {
  const paths = directory()
  writeFileSync(paths.apiKey, 'k', { mode: 0o644 })
  chmodSync(paths.dir, 0o755)
  const results = hostChecks(paths, systemClock, 'v24.12.0')
  expect(notOk(results)).toEqual(['failed DATA_DIR_PRIVATE', 'skipped ROOT_VALID'])
  expect(results.find((one) => one.code === 'DATA_DIR_PRIVATE')).toMatchObject({
    message: `others may open ${paths.dir} and ${paths.apiKey}`,
    command: `chmod 700 ${paths.dir} && chmod 600 ${paths.dir}/api-key`,
  })
})

test('check: warns before the root ends, fails when it has, and when the file is none', async () => {
  const paths = directory()
  mkdirSync(paths.controlPlane)
  const { bundlePem, root } = await testPki()
  writeFileSync(paths.trustBundle, bundlePem)
  const at = (daysBeforeEnd: number): string[] => {
    const wall = () => (root.notAfter - daysBeforeEnd * 86_400_000) as WallMs
    return notOk(hostChecks(paths, { ...systemClock, wall }, 'v24.12.0'))
  }
  expect(at(31)).toEqual([])
  expect(at(29)).toEqual(['warning ROOT_VALID'])
  expect(at(-1)).toEqual(['failed ROOT_VALID'])
  writeFileSync(paths.trustBundle, 'x')
  expect(at(31)).toEqual(['failed ROOT_VALID'])
})

// ── what runs ───────────────────────────────────────────────────────────────────────────────────────────────────────

const process_ = (name: string, restarts = 0) =>
  ({ name, role: 'worker', pid: 1, version: '1', ports: {}, restarts }) as const

test('check: names processes that are gone and those that were restarted', () => {
  const processes = [process_('a'), process_('b', 2)]
  expect(notOk(processChecks(processes, () => true, '/d'))).toEqual(['warning PROCESSES_STABLE b'])
  const gone = processChecks([process_('a')], () => false, '/d')
  expect(notOk(gone)).toEqual(['failed PROCESSES_ALIVE a'])
  expect(gone[0]!.command).toBe('tail -n 50 /d/logs/a.log')
})

const SERVICE = (name: string): string =>
  `apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {}\n`
const sidecar = {
  instance: 'w-1',
  service: 'worker',
  namespace: 'default',
  version: 'v1',
  connected: true,
  acked: '1',
  current: '1',
  nack: [],
}
const instance = {
  instance: 'w-1',
  service: 'worker',
  namespace: 'default',
  version: 'v1',
  address: '127.0.0.1',
  port: 1,
  passing: true,
}
function facts(part: Partial<MeshStatus>, more: Partial<MeshFacts> = {}): MeshFacts {
  const mesh: MeshStatus = {
    trustDomain: 'fairlead.local',
    config: { version: 'abc', appliedAt: '', sources: [] },
    accepted: { n: 1, m: 1, missing: [] },
    sidecars: [sidecar],
    instances: [instance],
    ...part,
  }
  return { mesh, files: [{ name: 'a.yaml', text: SERVICE('worker') }], revokedIds: [], ...more }
}

test.each<[string, MeshFacts, string[]]>([
  ['nothing is wrong', facts({}), []],
  ['no config was applied', facts({ config: { version: '', appliedAt: '', sources: [] } }), ['warning CONFIG_APPLIED']],
  [
    'the config has findings',
    facts({}, { files: [{ name: 'a.yaml', text: SERVICE('worker').replace('{}', '{selector: {version: v1}}') }] }),
    ['warning CONFIG_CLEAN'],
  ],
  ['a sidecar is away', facts({ sidecars: [{ ...sidecar, connected: false }] }), ['failed SIDECARS_CONNECTED w-1']],
  ['a sidecar is behind', facts({ accepted: { n: 0, m: 1, missing: ['w-1'] } }), ['failed SIDECARS_ACCEPTED w-1']],
  [
    'an instance is sick',
    facts({ instances: [{ ...instance, passing: false }] }),
    ['failed INSTANCES_HEALTHY w-1', 'warning SERVICES_SERVED worker'],
  ],
  ['a service is empty', facts({ instances: [] }), ['warning SERVICES_SERVED worker']],
  [
    'a running identity is revoked',
    facts({}, { revokedIds: ['spiffe://fairlead.local/ns/default/sa/worker'] }),
    ['failed IDENTITIES_COUNT spiffe://fairlead.local/ns/default/sa/worker'],
  ],
  ['a revoked identity runs nowhere', facts({}, { revokedIds: ['spiffe://fairlead.local/ns/default/sa/other'] }), []],
])('check: when %s', (_, given, expected) => {
  expect(notOk(meshChecks(given, '/d'))).toEqual(expected)
})

test('check: shows the reason of a refused snapshot', () => {
  const nack = [{ path: '$.services', message: 'broken' }]
  const results = meshChecks(
    facts({ sidecars: [{ ...sidecar, nack }], accepted: { n: 0, m: 1, missing: ['w-1'] } }),
    '/d',
  )
  expect(results.find((one) => one.code === 'SIDECARS_ACCEPTED')!.message).toBe('w-1 refused it: $.services: broken')
})

test('check: puts no name into a command that a shell would read otherwise', () => {
  for (const name of ['x; rm -rf ~', '$(id)', 'a b', '`x`', "'", '\n']) {
    expect(bad('SERVICES_SERVED', 'failed', name, 'm', '/d').command).toBe(
      'fairlead run --service NAME --app PORT -- COMMAND',
    )
  }
})

test('check: quotes a directory that a shell would split', () => {
  const { command } = bad('DISK_SPACE', 'failed', '', 'm', "/my dir/it's")
  expect(command).toBe(`df -h '/my dir/it'\\''s'`)
})

test('check: every code has a title, a hint and a command', () => {
  for (const texts of Object.values(CHECKS)) for (const text of texts) expect(text.length).toBeGreaterThan(3)
})

// ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────────

test('check: exits 3 and says how to start when nothing runs', async () => {
  const { dir } = directory()
  const { code, answer } = await run(dir)
  expect(code).toBe(3)
  expect(answer!.ok).toBe(false)
  expect(answer!.checks.find((one) => one.code === 'RUNNING')).toMatchObject({ status: 'failed', command: 'npm start' })
})

test('check: asks a running control plane, and fails for what does not answer', async () => {
  const plane = await startPlane()
  await until(async () => (await plane.api('GET', '/readyz')).status === 200)
  const paths = directory()
  writeFileSync(paths.apiKey, plane.apiKey, { mode: 0o600 })
  const state = (controlApi: string) =>
    writeState(paths.state, {
      schema: 1,
      supervisor: process.pid,
      startedAt: 'now',
      processes: [],
      addresses: { controlApi, jobs: 'http://127.0.0.1:1', proxy: '', admin: '' },
    })
  state(`http://127.0.0.1:${plane.ports.api}`)
  const { code, answer } = await run(paths.dir)
  expect(code).toBe(1)
  expect(notOk(answer!.checks)).toEqual(['skipped ROOT_VALID', 'warning CONFIG_APPLIED', 'failed JOBS_ANSWER'])
  state('http://127.0.0.1:1')
  const down = await run(paths.dir)
  expect(notOk(down.answer!.checks).filter((line) => line.startsWith('failed'))).toEqual([
    'failed CONTROL_PLANE_READY',
    'failed JOBS_ANSWER',
  ])
  const people = await run(paths.dir, false)
  expect(people.out).toContain('FAIL  CONTROL_PLANE_READY  http://127.0.0.1:1 does not answer')
  expect(people.out).toContain(`try   tail -n 50 ${paths.dir}/logs/control-plane.log`)
  expect(people.out).toMatch(/2 failed\.\n$/)
})
