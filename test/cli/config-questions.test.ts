// `fairlead config analyze` and `config explain`: what they print and how they exit.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { configAnalyze } from '../../cli/config.ts'
import { configExplain } from '../../cli/config-explain.ts'
import { openTerminal, type Terminal } from '../../cli/terminal.ts'

const SERVICE = 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: worker}\nspec: {}\n'
const PART = `${SERVICE}---\n${SERVICE.replace('worker', 'worker-v1').replace('spec: {}', 'spec: {selector: {service: worker, version: v1}}')}`

async function setup(
  text: string,
): Promise<{ file: string; terminal: Terminal; out: () => string; err: () => string }> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-config-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  const file = join(dir, 'a.yaml')
  await writeFile(file, text)
  let out = ''
  let err = ''
  const terminal = openTerminal({
    out: { write: (part) => (out += part) },
    err: { write: (part) => (err += part) },
    env: {},
  })
  return { file, terminal, out: () => out, err: () => err }
}

test('config analyze: exits 0 when nothing is found', async () => {
  const { file, terminal, out } = await setup(SERVICE)
  expect(await configAnalyze([file], { json: false }, terminal)).toBe(0)
  expect(out()).toBe('Nothing found in 1 file.\n')
})

test('config analyze: exits 1 and shows each finding with its line when there is one', async () => {
  const { file, terminal, out } = await setup(PART)
  expect(await configAnalyze([file], { json: false }, terminal)).toBe(1)
  expect(out()).toContain(`warning[SERVICE_UNUSED]: no route names worker-v1 (worker v1)\n --> ${file}:8:18\n`)
  expect(out()).toMatch(/1 finding\.\n$/)
})

test('config analyze: prints one JSON document when asked', async () => {
  const { file, terminal, out } = await setup(PART)
  expect(await configAnalyze([file], { json: true }, terminal)).toBe(1)
  expect(JSON.parse(out())).toMatchObject({
    valid: true,
    findings: [{ code: 'SERVICE_UNUSED', file, line: 8, column: 18, hint: expect.any(String) }],
    problems: [],
  })
})

test('config analyze: exits 4 with the problems when the config is invalid, 2 when there is none', async () => {
  const { file, terminal, out, err } = await setup(SERVICE.replace('spec: {}', 'spec: {protocl: http}'))
  expect(await configAnalyze([file], { json: true }, terminal)).toBe(4)
  expect(JSON.parse(out())).toMatchObject({ valid: false, findings: [], problems: [{ code: 'UNKNOWN_FIELD' }] })
  expect(await configAnalyze([`${file}.not`], { json: false }, terminal)).toBe(2)
  expect(err()).toContain('no such file or directory')
})

test('config explain: shows value and origin of every field of one service', async () => {
  const { file, terminal, out } = await setup(PART)
  expect(await configExplain({ service: 'worker-v1.default', config: [file], json: false }, terminal)).toBe(0)
  expect(out()).toMatch(/^Service worker-v1\n {2}protocol +http +default: HTTP\/1\.1/)
  expect(out()).toMatch(/\n {2}breaker\.open +30s +default: /)
  expect(out()).not.toContain('Mesh')
})

test('config explain: shows the mesh and all services when none is named', async () => {
  const { file, terminal, out } = await setup(PART)
  expect(await configExplain({ service: undefined, config: [file], json: true }, terminal)).toBe(0)
  const answer = JSON.parse(out())
  expect(answer.mesh[0]).toMatchObject({ field: 'trustDomain', value: 'fairlead.local', origin: { from: 'default' } })
  expect(answer.services.map((one: { service: string }) => one.service)).toEqual(['worker', 'worker-v1'])
})

test('config explain: exits 1 and guesses when the service is misspelt', async () => {
  const { file, terminal, out, err } = await setup(PART)
  expect(await configExplain({ service: 'wroker', config: [file], json: false }, terminal)).toBe(1)
  expect(err()).toContain('Did you mean worker?')
  expect(out()).toBe('')
})
