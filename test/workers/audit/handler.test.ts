// The job type `package.audit`: same facts from both versions, told to the sink, bad on purpose when asked.

import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import { type Fate, fateOf } from '../../../workers/audit/canary.ts'
import { type AuditVersion, auditHandler } from '../../../workers/audit/handler.ts'
import { noSink, openSink, type Sink } from '../../../workers/audit/sink.ts'
import { testHandler } from '../../../workers/testing.ts'

const MIT =
  'Permission is hereby granted, free of charge, to any person obtaining a copy of … the above copyright notice and this permission notice'

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-audit-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

function write(root: string, files: Record<string, string | Buffer>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
}

/** A package with what makes trees differ: order of names, sizes across buffers, nested packages, links. */
function setup(): string {
  const root = tempDir()
  write(root, {
    'p/package.json': JSON.stringify({ name: '@s/p', version: '1.2.3', license: 'MIT', scripts: { postinstall: 'x' } }),
    'p/LICENSE.md': MIT,
    'p/b.js': 'b',
    'p/a/z.js': '',
    'p/a.js': 'a',
    'p/big.bin': Buffer.alloc(700_001, 7),
    'p/node_modules/q/package.json': JSON.stringify({ name: 'q', version: '0.0.1' }),
    'outside.txt': 'not ours',
  })
  symlinkSync(join(root, 'outside.txt'), join(root, 'p/link.txt'))
  symlinkSync(root, join(root, 'p/up'))
  return root
}

function run(
  version: AuditVersion,
  payload: unknown,
  options: { sink?: Sink; badCanary?: boolean; timeoutMs?: number } = {},
) {
  const { sink = noSink, badCanary = false, timeoutMs = 10_000 } = options
  const handler = auditHandler({ version, sink, badCanary, clock: systemClock, pid: 4711 })
  return testHandler(handler, payload, { job: 'j1', token: '9', executionTimeoutMs: timeoutMs })
}

/** Digest by another hand, as docs/cli.md describes it. */
function expectedSha(files: readonly [string, string | Buffer][]): string {
  const hash = createHash('sha256')
  for (const [path, content] of files) hash.update(`${path}\0${Buffer.byteLength(content)}\0`).update(content)
  return hash.digest('hex')
}

describe('package.audit', () => {
  test.each(['v1', 'v2'] as const)('facts: are those of the package alone when %s reads it', async (version) => {
    const root = setup()
    const { outcome, value, progress } = await run(version, { root, path: 'p', run: 'r' })
    expect(outcome).toBe('succeeded')
    const text = (path: string) => readFileSync(join(root, 'p', path))
    const order = ['LICENSE.md', 'a.js', 'a/z.js', 'b.js', 'big.bin', 'package.json']
    const contents = order.map((path): [string, Buffer] => [path, text(path)])
    expect(value).toEqual({
      name: '@s/p',
      version: '1.2.3',
      path: 'p',
      licence: 'MIT',
      licenceText: 'MIT',
      licenceNote: 'ok',
      files: 6,
      bytes: contents.reduce((sum, [, content]) => sum + content.length, 0),
      sha256: expectedSha(contents),
      installScripts: ['postinstall'],
      handlerVersion: version,
    })
    expect(progress).toEqual([...progress].sort((a, b) => a - b))
  })

  test('digest: changes when content moves from one file to its neighbour', async () => {
    const root = tempDir()
    const pack = JSON.stringify({ name: 'a', version: '1.0.0' })
    write(root, { 'x/package.json': pack, 'x/1': 'ab', 'x/2': 'c', 'y/package.json': pack, 'y/1': 'a', 'y/2': 'bc' })
    const one = await run('v1', { root, path: 'x', run: 'r' })
    const other = await run('v1', { root, path: 'y', run: 'r' })
    expect(one.value?.sha256).not.toBe(other.value?.sha256)
  })

  test.each([
    ['../p', 'INVALID_INPUT'],
    ['p/../../etc', 'INVALID_INPUT'],
    ['/etc', 'INVALID_INPUT'],
    ['p\\..\\..', 'INVALID_INPUT'],
    ['p\0', 'INVALID_INPUT'],
  ])('payload: is a permanent error when its path is %j', async (path, code) => {
    const { outcome, error } = await run('v1', { root: setup(), path, run: 'r' })
    expect(outcome).toBe('failed')
    expect(error).toMatchObject({ code, class: 'permanent' })
  })

  test.each([{}, { root: '/', path: 'p' }, { root: '/', path: 'p', run: 'r', more: 1 }, null, 'p'])(
    'payload: is a permanent error when it is %j',
    async (payload) => {
      expect((await run('v1', payload)).error).toMatchObject({ code: 'INVALID_INPUT', class: 'permanent' })
    },
  )

  test.each([
    ['not JSON', '{'],
    ['without a version', '{"name":"a"}'],
    ['an array', '[]'],
  ])('package.json: is a permanent error when it is %s', async (_what, text) => {
    const root = tempDir()
    write(root, { 'p/package.json': text })
    expect((await run('v2', { root, path: 'p', run: 'r' })).error).toMatchObject({ class: 'permanent' })
  })

  test('package.json: may begin with a byte order mark, as npm allows', async () => {
    const root = tempDir()
    write(root, { 'p/package.json': `\uFEFF${JSON.stringify({ name: 'bom', version: '1.0.0' })}` })
    expect((await run('v1', { root, path: 'p', run: 'r' })).value?.name).toBe('bom')
  })
})

describe('sink', () => {
  test('sink: holds one line of the execution also when the handler fails', async () => {
    const root = setup()
    const file = join(root, 'sink.ndjson')
    const sink = await openSink(file)
    await run('v1', { root, path: 'p', run: 'r1' }, { sink })
    await run('v2', { root, path: 'missing', run: 'r1' }, { sink })
    await sink.close()
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { run: 'r1', job: 'j1', attempt: 1, token: '9', version: 'v1', pid: 4711, at: expect.any(String) },
      { run: 'r1', job: 'j1', attempt: 1, token: '9', version: 'v2', pid: 4711, at: expect.any(String) },
    ])
  })
})

describe('bad canary', () => {
  const named = (wanted: Fate): string => {
    for (let i = 0; ; i++) if (fateOf(`p${i}`) === wanted) return `p${i}`
  }
  const packageOf = (fate: Fate): { root: string; path: string; run: string } => {
    const root = tempDir()
    write(root, { 'p/package.json': JSON.stringify({ name: named(fate), version: '1.0.0' }) })
    return { root, path: 'p', run: 'r' }
  }

  test('fate: is the same each time, and bad for more than half of the names', () => {
    const fates = Array.from({ length: 1000 }, (_, i) => fateOf(`package-${i}`))
    expect(fates).toEqual(Array.from({ length: 1000 }, (_, i) => fateOf(`package-${i}`)))
    expect(fates.filter((fate) => fate === 'fails').length).toBeGreaterThan(350)
    expect(fates.filter((fate) => fate === 'hangs').length).toBeGreaterThan(200)
    expect(fates.filter((fate) => fate === 'fine').length).toBeGreaterThan(150)
  })
  test('handler: fails in a way that may be retried when the name says so', async () => {
    const { outcome, error } = await run('v2', packageOf('fails'), { badCanary: true })
    expect(outcome).toBe('failed')
    expect(error).toMatchObject({ code: 'BAD_CANARY', class: 'transient' })
  })
  test('handler: hangs until its attempt times out when the name says so', async () => {
    const { outcome } = await run('v2', packageOf('hangs'), { badCanary: true, timeoutMs: 50 })
    expect(outcome).toBe('timedOut')
  })
  test('handler: works for the other names, and for all names without the flag', async () => {
    expect((await run('v2', packageOf('fine'), { badCanary: true })).outcome).toBe('succeeded')
    expect((await run('v2', packageOf('fails'))).outcome).toBe('succeeded')
  })
})
