// Which directories count as packages.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { findPackages } from '../../../cli/audit/find.ts'

function setup(packages: Record<string, string | object>): string {
  const root = mkdtempSync(join(tmpdir(), 'fairlead-find-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const [path, content] of Object.entries(packages)) {
    mkdirSync(join(root, path), { recursive: true })
    const text = typeof content === 'string' ? content : JSON.stringify(content)
    writeFileSync(join(root, path, 'package.json'), text)
  }
  return root
}
const pack = (name: string) => ({ name, version: '1.0.0' })
const pathsIn = async (root: string): Promise<string[]> => (await findPackages(root)).map((found) => found.path)

test('packages: are found nested, scoped and below other folders', async () => {
  const root = setup({
    a: pack('a'),
    '@s/b': pack('@s/b'),
    'a/node_modules/c': pack('c'),
    'a/node_modules/@t/d': pack('@t/d'),
    'plain/deep/e': pack('e'),
  })
  expect(await pathsIn(root)).toEqual(['@s/b', 'a', 'a/node_modules/@t/d', 'a/node_modules/c', 'plain/deep/e'])
})

test('packages: include the root itself when it is one', async () => {
  expect(await pathsIn(setup({ '.': pack('root'), x: pack('x') }))).toEqual(['.', 'x'])
})

test.each([
  ['has no version', { name: 'a' }],
  ['has no name', { version: '1.0.0' }],
  ['has an empty name', { name: '', version: '1.0.0' }],
  ['has a number as version', { name: 'a', version: 1 }],
  ['only says its module type', { type: 'module' }],
  ['is not JSON', '{'],
  ['is an array', '[]'],
  ['is null', 'null'],
])('package.json: makes no package when it %s', async (_what, content) => {
  expect(await pathsIn(setup({ p: content }))).toEqual([])
})

test('links: count their target once, under its real path', async () => {
  const root = setup({ '.store/a@1/node_modules/a': pack('a') })
  symlinkSync(join(root, '.store/a@1/node_modules/a'), join(root, 'a'))
  symlinkSync('a', join(root, 'again'))
  expect(await pathsIn(root)).toEqual(['.store/a@1/node_modules/a'])
})

test('links: end when they lead in a circle, to a file or nowhere', async () => {
  const root = setup({ a: pack('a') })
  symlinkSync(root, join(root, 'a/loop'))
  symlinkSync(join(root, 'a/package.json'), join(root, 'file'))
  symlinkSync(join(root, 'gone'), join(root, 'nowhere'))
  expect(await pathsIn(root)).toEqual(['a'])
})

test('links: keep their own path when they lead out of the root', async () => {
  const outside = setup({ w: pack('w'), 'w/node_modules/n': pack('n') })
  const root = setup({ a: pack('a') })
  symlinkSync(join(outside, 'w'), join(root, 'w'))
  expect(await pathsIn(root)).toEqual(['a', 'w', 'w/node_modules/n'])
})

test('root: is refused when it is not there or not a directory', async () => {
  const root = setup({ a: pack('a') })
  await expect(findPackages(join(root, 'missing'))).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  await expect(findPackages(join(root, 'a/package.json'))).rejects.toMatchObject({ code: 'INVALID_INPUT' })
})
