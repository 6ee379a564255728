// The import table of DESIGN.md §4, held against the tree; no circles; clocks and dice only in kernel/.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
const FOLDERS = ['kernel', 'certs', 'mesh-config', 'control-plane', 'proxy', 'scheduler', 'workers', 'cli', 'dashboard']
/** The table of states is published with the job API: who reads states may know which are final. */
const CONTRACT = /^(control-plane|proxy|scheduler|workers|cli)\/contract\.ts$|^scheduler\/states\.ts$/
/** Folder → which files of other folders it may import. */
const MAY: Record<string, (target: string) => boolean> = {
  kernel: () => false,
  certs: (t) => t.startsWith('kernel/'),
  'mesh-config': (t) => t.startsWith('kernel/'),
  workers: (t) => t.startsWith('kernel/') || t === 'cli/contract.ts',
  scheduler: (t) => t.startsWith('kernel/') || t === 'workers/contract.ts',
  'control-plane': (t) => /^(kernel|mesh-config|certs)\//.test(t) || CONTRACT.test(t),
  proxy: (t) =>
    /^(kernel|certs)\//.test(t) ||
    ['mesh-config/snapshot.ts', 'mesh-config/match.ts', 'control-plane/contract.ts'].includes(t),
  cli: (t) => /^(kernel|mesh-config|certs)\//.test(t) || CONTRACT.test(t),
  dashboard: (t) => /^(kernel|mesh-config|certs)\//.test(t) || CONTRACT.test(t),
}
/** A contract may build on the contracts of others and on the state table that belongs to it. */
const CONTRACT_MAY = (t: string): boolean =>
  t.startsWith('kernel/') || CONTRACT.test(t) || t === 'mesh-config/snapshot.ts'

const files = FOLDERS.flatMap((folder) =>
  (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
    .map((name) => join(folder, name).replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.ts')),
)
const source = new Map(files.map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]))

function importsOf(file: string): { target: string; typeOnly: boolean }[] {
  const found: { target: string; typeOnly: boolean }[] = []
  const pattern =
    /(?:^|\n)\s*(import|export)\s+(type\s)?[^'"]*?from\s+['"](\.[^'"]+)['"]|import\(\s*['"](\.[^'"]+)['"]/g
  for (const match of source.get(file)!.matchAll(pattern)) {
    const target = relative(ROOT, resolve(ROOT, dirname(file), match[3] ?? match[4]!)).replaceAll('\\', '/')
    found.push({ target, typeOnly: match[2] !== undefined })
  }
  return found
}

test('imports: follow the table of folders', () => {
  const wrong = files.flatMap((file) => {
    const folder = file.split('/')[0]!
    const may = CONTRACT.test(file) ? CONTRACT_MAY : MAY[folder]!
    return importsOf(file)
      .filter(({ target }) => target.split('/')[0] !== folder && !may(target))
      .map(({ target }) => `${file} imports ${target}`)
  })
  expect(wrong).toEqual([])
})

test('imports: exist and carry their extension', () => {
  const wrong = files.flatMap((file) =>
    importsOf(file)
      .filter(({ target }) => !/\.(ts|cjs|json)$/.test(target) || (target.endsWith('.ts') && !source.has(target)))
      .map(({ target }) => `${file} imports ${target}`),
  )
  expect(wrong).toEqual([])
})

test('imports: run in no circle', () => {
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file)
    if (at >= 0) {
      circles.push([...path.slice(at), file].join(' → '))
      return
    }
    if (done.has(file)) return
    for (const { target, typeOnly } of importsOf(file)) {
      if (!typeOnly && source.has(target)) visit(target, [...path, file])
    }
    done.add(file)
  }
  for (const file of files) visit(file, [])
  expect(circles).toEqual([])
})

test('time and randomness: are arguments outside kernel/', () => {
  const banned = /\b(Date\.now|performance\.now|setTimeout|setInterval|Math\.random|randomUUID)\s*\(/
  const wrong = files
    .filter((file) => !file.startsWith('kernel/') && !file.startsWith('dashboard/'))
    .flatMap((file) =>
      source
        .get(file)!
        .split('\n')
        .flatMap((line, index) =>
          banned.test(line) && !/^\s*(\/\/|\*)/.test(line) ? [`${file}:${index + 1} ${line.trim()}`] : [],
        ),
    )
  expect(wrong).toEqual([])
})
