// packages.ts — a tree of real package directories to audit, and an independent count of such a tree.

import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export interface TreeOptions {
  readonly packages: number
  /** Size of one extra file per package; sparse, so it costs reading and hashing but no disk. */
  readonly bytesEach?: number
}

/** `root/p0 … p<n>`: every tenth is scoped, every seventh holds a nested package, licences of several kinds. */
export function makePackages(root: string, options: TreeOptions): void {
  const licences = ['MIT', 'Apache-2.0', 'ISC', '(MIT OR CC0-1.0)', undefined]
  for (let i = 0; i < options.packages; i++) {
    const name = i % 10 === 0 ? `@scope/p${i}` : `p${i}`
    const dir = join(root, name)
    writePackage(dir, { name, version: `1.0.${i}`, license: licences[i % licences.length] })
    if (options.bytesEach) sparse(join(dir, 'data.bin'), options.bytesEach)
    if (i % 7 === 3) writePackage(join(dir, 'node_modules', `nested${i}`), { name: `nested${i}`, version: '2.0.0' })
  }
}

function writePackage(dir: string, manifest: Record<string, unknown>): void {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'package.json'), JSON.stringify(manifest))
  writeFileSync(join(dir, 'index.js'), `export const name = ${JSON.stringify(manifest['name'])}\n`)
}

function sparse(file: string, bytes: number): void {
  const fd = openSync(file, 'w')
  ftruncateSync(fd, bytes)
  closeSync(fd)
}

/** name@version of each distinct package directory below root, found by `find`, not by our own walk. */
export function countPackages(root: string): string[] {
  const manifests = execFileSync('find', ['-L', root, '-name', 'package.json', '-type', 'f'], { maxBuffer: 1 << 28 })
  const found = new Map<string, string>()
  for (const file of manifests.toString().split('\n').filter(Boolean)) {
    try {
      const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown; version?: unknown }
      if (typeof name !== 'string' || typeof version !== 'string' || !name || !version) continue
      found.set(realpathSync(dirname(file)), `${name}@${version}`)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error // a fixture inside a package may be broken on purpose
    }
  }
  return [...found.values()].sort()
}
