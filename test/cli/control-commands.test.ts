// Commands that ask the control plane: `config history|diff|rollback` and `ca …`, against a real one.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { apply } from '../../cli/apply.ts'
import { authorHeader } from '../../cli/author.ts'
import { caCertificates, caExport, caRestore, caRevocations, caRevoke, caShow } from '../../cli/ca.ts'
import { configDiff, configHistory, configRollback } from '../../cli/config-history.ts'
import type { Context } from '../../cli/context.ts'
import { showError } from '../../cli/exit.ts'
import { openTerminal } from '../../cli/terminal.ts'
import { pathsOf } from '../../cli/up/data-dir.ts'
import { writeState } from '../../cli/up/state-file.ts'
import { CertificatesSchema, ConfigDiffSchema, ConfigHistorySchema } from '../../control-plane/contract.ts'
import { systemClock } from '../../kernel/clock.ts'
import { systemRandom } from '../../kernel/random.ts'
import { startPlane } from '../control-plane/plane.ts'

const SERVICE = (name: string): string =>
  `apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {}\n`
const WORKER = 'spiffe://fairlead.local/ns/default/sa/worker'

async function setup() {
  const plane = await startPlane()
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-cli-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const paths = pathsOf(dir)
  writeFileSync(paths.apiKey, plane.apiKey, { mode: 0o600 })
  const controlApi = `http://127.0.0.1:${plane.ports.api}`
  const addresses = { controlApi, jobs: '', proxy: '', admin: '' }
  writeState(paths.state, { schema: 1, supervisor: process.pid, startedAt: '', processes: [], addresses })
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text)
    return join(dir, name)
  }
  /** Runs a command as `fairlead` does; the exit code and what it wrote. */
  const run = async (command: (context: Context) => Promise<number>, json = false) => {
    let [out, err] = ['', '']
    const write = { out: { write: (text: string) => (out += text) }, err: { write: (text: string) => (err += text) } }
    const terminal = openTerminal({ ...write, env: {} })
    const env = { FAIRLEAD_AUTHOR: 'ada' }
    const context = { terminal, json, debug: false, dataDir: dir, clock: systemClock, random: systemRandom, env }
    const code = await command(context).catch((error: unknown) => showError(error, terminal, false))
    return { code, out, err }
  }
  return { plane, run, file, dir }
}

test('config history, diff, rollback: show the way, what it changes, and go it', async () => {
  const { plane, run, file } = await setup()
  const empty = await run(configHistory)
  expect([empty.code, empty.out, empty.err]).toEqual([0, '', 'No configuration was applied yet.\n'])
  const one = file('one.yaml', SERVICE('worker'))
  const two = file('two.yaml', SERVICE('billing'))
  await run((context) => apply(context, [one]))
  await plane.stream(await plane.join('worker'), {}).snapshot()
  const diff = await run((context) => configDiff(context, [one, two], undefined))
  expect(diff.code).toBe(1)
  expect(diff.out).toContain('\nworker v1  (worker-1)\n  + service billing\n  + backend billing\n')
  await run((context) => apply(context, [one, two]))
  const same = await run((context) => configDiff(context, [one, two], undefined))
  expect([same.code, same.out.includes('Unchanged: worker-1')]).toEqual([0, true])
  const { history } = ConfigHistorySchema.parse(JSON.parse((await run(configHistory, true)).out))
  expect(history.map((row) => row.author)).toEqual(['ada', 'ada'])
  const first = history[1]!.version
  const back = await run((context) => configDiff(context, [], first.slice(0, 6)), true)
  expect(ConfigDiffSchema.parse(JSON.parse(back.out))).toMatchObject({ version: first, current: history[0]!.version })
  const rolled = await run((context) => configRollback(context, first))
  expect([rolled.code, rolled.out]).toEqual([0, `Version ${first} runs again, instead of ${history[0]!.version}.\n`])
  expect((await run((context) => configRollback(context, first))).out).toBe(`Version ${first} runs already.\n`)
  expect((await run(configHistory)).out).toMatch(
    new RegExp(`^VERSION +APPLIED +BY +FILES\n${first} \\*.* ada +.*one.yaml\n`),
  )
})

test.each<[string, (context: Context) => Promise<number>, number, string]>([
  ['rollback to a version that never ran', (context) => configRollback(context, 'abcdef'), 1, 'CONFIG_VERSION_UNKNOWN'],
  ['rollback to what is no version', (context) => configRollback(context, 'latest'), 1, 'CONFIG_VERSION_UNKNOWN'],
  ['diff of nothing', (context) => configDiff(context, [], undefined), 2, 'either files or --to'],
  ['diff of files and a version', (context) => configDiff(context, ['x'], 'abcdef'), 2, 'either files or --to'],
  ['revoke of nothing', (context) => caRevoke(context, {}), 2, 'either --serial or --id'],
  ['revoke of both', (context) => caRevoke(context, { serial: 'ab', id: WORKER }), 2, 'either --serial or --id'],
  ['revoke of an unknown serial', (context) => caRevoke(context, { serial: 'ab' }), 1, 'CERTIFICATE_UNKNOWN'],
  ['restore of nothing', (context) => caRestore(context, {}), 2, 'either --serial or --id'],
])('control commands: %s', async (_, command, code, text) => {
  const { run } = await setup()
  const answer = await run(command)
  expect(answer.code).toBe(code)
  expect(answer.err).toContain(text)
})

test('config diff: exits 4 with every problem when the candidate is invalid', async () => {
  const { run, file } = await setup()
  const bad = file('bad.yaml', SERVICE('x').replace('{}', '{nonsense: 1}'))
  const { code, err } = await run((context) => configDiff(context, [bad], undefined))
  expect(code).toBe(4)
  expect(err).toContain(`${bad}:4:8: UNKNOWN_FIELD`)
})

test('ca: shows, lists, revokes, lists again and restores', async () => {
  const { plane, run } = await setup()
  await plane.join('worker')
  expect((await run(caShow)).out).toMatch(
    /^Trust domain fairlead\.local; 2 certificates have not ended, 0 revocations\n/,
  )
  const listed = await run((context) => caCertificates(context, { id: WORKER, limit: '10' }), true)
  const { serial } = CertificatesSchema.parse(JSON.parse(listed.out)).certificates[0]!
  const revoked = await run((context) => caRevoke(context, { serial, reason: 'lost' }))
  expect(revoked.out).toMatch(new RegExp(`^Revoked: serial \\w+ of ${WORKER} \\(by ada, `))
  expect((await run((context) => caRevoke(context, { serial }))).out).toMatch(/^Revoked already: /)
  expect((await run(caRevocations)).out).toMatch(/ ada +lost\n$/)
  expect((await run((context) => caCertificates(context, { limit: '10' }))).out).toMatch(/ revoked\n/)
  expect((await run((context) => caRestore(context, { serial }))).code).toBe(0)
  const again = await run((context) => caRestore(context, { serial }))
  expect([again.code, again.out]).toEqual([1, 'It was not revoked.\n'])
  expect((await run(caRevocations)).err).toBe('Nothing is revoked.\n')
})

test('ca export: writes the roots, to stdout or to a file that was not there', async () => {
  const { plane, run, dir } = await setup()
  expect((await run((context) => caExport(context, undefined))).out).toBe(plane.bundle)
  const file = join(dir, 'roots.pem')
  expect((await run((context) => caExport(context, file))).code).toBe(0)
  expect(readFileSync(file, 'utf8')).toBe(plane.bundle)
  const again = await run((context) => caExport(context, file))
  expect([again.code, again.err.includes('EEXIST')]).toEqual([2, true])
})

test.each([
  ['ada', { 'x-fairlead-author': 'ada' }],
  ['Ada L. <ada@x.org>', { 'x-fairlead-author': 'Ada L. ada@x.org' }],
  ['é\n', {}],
  ['', {}],
  ['x'.repeat(80), { 'x-fairlead-author': 'x'.repeat(64) }],
])('author: %j becomes %j', (name, header) => {
  expect(authorHeader({ env: { FAIRLEAD_AUTHOR: name } })).toEqual(header)
})
