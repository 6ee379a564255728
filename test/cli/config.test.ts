// `fairlead config validate`: what it prints and how it exits.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { configValidate } from '../../cli/config.ts'
import { openTerminal, type Terminal } from '../../cli/terminal.ts'

const SERVICE = 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: worker}\nspec: {}\n'
const BROKEN = 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: worker}\nspec: {protocl: http}\n'

async function setup(files: Record<string, string | Uint8Array>): Promise<{
  dir: string
  terminal: Terminal
  out: () => string
  err: () => string
}> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-config-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), text)
  }
  let out = ''
  let err = ''
  const terminal = openTerminal({
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
    env: {},
  })
  return { dir, terminal, out: () => out, err: () => err }
}

test('config validate: exits 0 and counts what it found when a directory is valid', async () => {
  const { dir, terminal, out } = await setup({
    'a.yaml': SERVICE,
    'deep/b.yml': SERVICE.replace('worker', 'b'),
    'c.txt': '{',
  })
  expect(await configValidate([dir], { json: false }, terminal)).toBe(0)
  expect(out()).toBe('Valid: 2 services, 0 routes, 0 policies in 2 files.\n')
})

test('config validate: exits 4 and shows each problem when something is wrong', async () => {
  const { dir, terminal, out } = await setup({ 'a.yaml': BROKEN, 'b.yaml': SERVICE })
  expect(await configValidate([dir], { json: false }, terminal)).toBe(4)
  expect(out()).toContain(`error[UNKNOWN_FIELD]: unknown field "protocl"\n --> ${join(dir, 'a.yaml')}:4:8\n`)
  expect(out()).toContain('4 | spec: {protocl: http}\n  |        ^^^^^^^\n  = hint: Did you mean "protocol"?')
  expect(out()).toContain('error[DUPLICATE_RESOURCE]')
  expect(out()).toMatch(/Invalid: 2 problems\.\n$/)
})

test('config validate: prints one JSON document with places when asked', async () => {
  const { dir, terminal, out } = await setup({ 'a.yaml': BROKEN })
  const file = join(dir, 'a.yaml')
  expect(await configValidate([file], { json: true }, terminal)).toBe(4)
  expect(JSON.parse(out())).toEqual({
    valid: false,
    files: [file],
    problems: [
      {
        severity: 'error',
        code: 'UNKNOWN_FIELD',
        file,
        line: 4,
        column: 8,
        message: 'unknown field "protocl"',
        hint: 'Did you mean "protocol"?',
        excerpt: 'spec: {protocl: http}',
      },
    ],
  })
})

test('config validate: stays at 0 when there are only warnings, and prints them', async () => {
  const { dir, terminal, out } = await setup({ 'a.yaml': 'apiVersion: fairlead.dev/v1\nkind: Queue\n' })
  expect(await configValidate([dir], { json: false }, terminal)).toBe(0)
  expect(out()).toContain('warning[OTHER_APPLIER]')
  expect(out()).toMatch(/Valid: .*, 1 warning\.\n$/)
})

test('config validate: takes several paths as one configuration, each file once', async () => {
  const route = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec: {parentRefs: [{group: "", kind: Service, name: worker}], rules: [{backendRefs: [{name: worker}]}]}
`
  const { dir, terminal } = await setup({ 'a/a.yaml': SERVICE, 'b/b.yaml': route })
  const [a, b] = [join(dir, 'a'), join(dir, 'b/b.yaml')]
  expect(await configValidate([b], { json: true }, terminal)).toBe(4)
  expect(await configValidate([a, b, b], { json: true }, terminal)).toBe(0)
})

test.each([
  ['a path that does not exist', 'nowhere', 'no such file or directory'],
  ['a directory without YAML', 'empty', 'no .yaml or .yml files'],
  ['a file that is not UTF-8', 'latin1.yaml', 'not UTF-8'],
])('config validate: exits 2 for %s', async (_, name, why) => {
  const { dir, terminal, out, err } = await setup({ 'empty/x.txt': '', 'latin1.yaml': Buffer.from([0x61, 0x3a, 0xfc]) })
  expect(await configValidate([join(dir, name)], { json: false }, terminal)).toBe(2)
  expect(err()).toContain(why)
  expect(out()).toBe('')
})
