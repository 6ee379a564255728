// The main job, whole: `fairlead up --demo --exit` on a tree that we know, against a count by other means.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { EXIT } from '../../cli/exit.ts'
import { startUp, tempDir } from '../support/fairlead.ts'

const PACKAGES = 120
/** What one worker takes at once: how far the split may be off at the end. */
const BATCH = 8

/** Flat, scoped and nested packages with one to three files, and things that are none. */
function makeTree(packages = PACKAGES): string {
  const root = join(tempDir('tree', onTestFinished), 'node_modules')
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const licences = ['MIT', 'ISC', '(MIT OR Apache-2.0)', undefined]
  for (let i = 0; i < packages; i++) {
    const name = i % 9 === 0 ? `@scope/p${i}` : `p${i}`
    const dir = i % 7 === 3 ? `p${i - 1}/node_modules/${name}` : name
    write(`${dir}/package.json`, JSON.stringify({ name, version: `1.0.${i}`, license: licences[i % 4] }))
    if (i % 2) write(`${dir}/lib/index.js`, `// ${'x'.repeat(i * 100)}\n`)
    if (i % 5 === 0) write(`${dir}/README.md`, name)
  }
  write('no-version/package.json', '{"name":"no-version"}')
  write('p1/dist/package.json', '{"type":"module"}')
  write('.bin/thing', 'x')
  return root
}

/** Path → [name, files, bytes, sha256] by shell and another hand. */
function expectedPackages(root: string): Map<string, unknown[]> {
  const manifests = execFileSync('find', [root, '-name', 'package.json']).toString().trim().split('\n')
  const found = new Map<string, unknown[]>()
  for (const file of manifests) {
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string }
    if (name && version) found.set(dirname(file).slice(root.length + 1), [name, ...contentsOf(dirname(file))])
  }
  return found
}

function contentsOf(dir: string): [number, number, string] {
  const all = readdirSync(dir, { recursive: true }) as string[]
  const files = all
    .filter((file) => !/(^|\/)node_modules(\/|$)/.test(file) && statSync(join(dir, file)).isFile())
    .sort()
  const hash = createHash('sha256')
  let bytes = 0
  for (const file of files) {
    const content = readFileSync(join(dir, file))
    bytes += content.length
    hash.update(`${file}\0${content.length}\0`).update(content)
  }
  return [files.length, bytes, hash.digest('hex')]
}

describe('npm start', () => {
  test('audit: finds every package, loses none, splits as configured', { timeout: 150_000 }, async () => {
    const root = makeTree()
    const up = startUp(['--exit', '--port-base', '0', '--dir', root], { later: onTestFinished })
    expect(await up.exited, up.output()).toBe(EXIT.ok)
    const report = up.report()
    const found = report.packages.map(({ path, name, files, bytes, sha256 }) => [path, [name, files, bytes, sha256]])
    expect(new Map(found as [string, unknown[]][])).toEqual(expectedPackages(root))
    expect(report).toMatchObject({
      jobs: PACKAGES,
      succeeded: PACKAGES,
      failed: 0,
      lost: 0,
      retries: 0,
      breakerOpened: 0,
    })
    expect(report.executions).toBe(PACKAGES)
    expect(report.licences).toEqual({ MIT: 30, ISC: 30, '(MIT OR Apache-2.0)': 30, NONE: 30 })
    expect(report.configuredWeights).toEqual({ v1: 90, v2: 10 })
    const { v1, v2 } = report.byVersion
    expect(v1!.jobs + v2!.jobs).toBe(PACKAGES)
    expect(Math.abs(v2!.jobs - PACKAGES / 10), `v2 had ${v2!.jobs} first attempts`).toBeLessThanOrEqual(BATCH)
    expect(report.submitToDoneMs.p99).toBeGreaterThanOrEqual(report.submitToDoneMs.p50)
    expect(up.output()).toContain('no process is left')
  })

  test('bad canary: is taken out by its breaker and every job succeeds all the same', {
    timeout: 200_000,
  }, async () => {
    const root = makeTree(200)
    const up = startUp(['--exit', '--bad-canary', '--port-base', '0', '--dir', root], { later: onTestFinished })
    expect(await up.exited, up.output()).toBe(EXIT.ok)
    const report = up.report()
    expect(report).toMatchObject({ jobs: 200, succeeded: 200, failed: 0, lost: 0 })
    expect(report.retries).toBeGreaterThan(0)
    expect(report.breakerOpened).toBeGreaterThan(0)
    expect(report.byVersion['v2']!.failed).toBeGreaterThanOrEqual(5)
    expect(report.byVersion['v1']!.failed).toBe(0)
    expect(report.executions).toBe(200 + report.retries)
  })
})
