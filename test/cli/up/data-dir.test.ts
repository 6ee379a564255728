// The data directory: private, locked, kept or not.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openDataDir, pathsOf, readApiKey } from '../../../cli/up/data-dir.ts'
import { readState, type UpState, writeState } from '../../../cli/up/state-file.ts'

function setup(): string {
  const root = mkdtempSync(join(tmpdir(), 'fairlead-data-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  return join(root, 'data')
}
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)
const open = (dir: string, ephemeral = false) => openDataDir({ dir, given: true, ephemeral })

test('directory: is for its owner only, and so is the key', () => {
  const dir = setup()
  const data = open(dir)
  onTestFinished(() => data.close())
  expect(mode(dir)).toBe('700')
  expect(mode(data.paths.apiKey)).toBe('600')
  expect(data.apiKey).toMatch(/^[\w-]{43}$/)
})

test('directory: is closed to others when it was open before', () => {
  const dir = setup()
  mkdirSync(dir, { mode: 0o755 })
  open(dir).close()
  expect(mode(dir)).toBe('700')
})

test('key: stays the same when the directory is opened again', () => {
  const dir = setup()
  const first = open(dir)
  first.close()
  const second = open(dir)
  onTestFinished(() => second.close())
  expect(second.apiKey).toBe(first.apiKey)
})

test('lock: refuses a second one while the first lives, and names its process', () => {
  const dir = setup()
  const data = open(dir)
  onTestFinished(() => data.close())
  writeState(data.paths.state, stateOf(process.pid))
  const source = `
    import { openDataDir } from ${JSON.stringify(join(import.meta.dirname, '../../../cli/up/data-dir.ts'))}
    try { openDataDir({ dir: ${JSON.stringify(dir)}, given: true, ephemeral: false }); console.log('opened') }
    catch (error) { console.log(error.code, error.message) }`
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', source]).toString()
  expect(said).toContain('DATA_DIR_IN_USE')
  expect(said).toContain(`(process ${process.pid})`)
})

test('lock: is gone with the process that held it, however it ended', () => {
  const dir = setup()
  const source = `
    import { openDataDir } from ${JSON.stringify(join(import.meta.dirname, '../../../cli/up/data-dir.ts'))}
    openDataDir({ dir: ${JSON.stringify(dir)}, given: true, ephemeral: false })
    process.kill(process.pid, 'SIGKILL')`
  expect(() => execFileSync(process.execPath, ['--input-type=module', '-e', source], { stdio: 'ignore' })).toThrow()
  const data = open(dir)
  onTestFinished(() => data.close())
  expect(existsSync(data.paths.lock)).toBe(true)
})

test('ephemeral: leaves nothing when it is closed', () => {
  const data = openDataDir({ dir: '.fairlead', given: false, ephemeral: true })
  expect(data.paths.dir).not.toContain('.fairlead')
  data.close()
  expect(existsSync(data.paths.dir)).toBe(false)
})

test('ephemeral: removes a directory that it made, and none that was there', () => {
  const made = setup()
  open(made, true).close()
  expect(existsSync(made)).toBe(false)
  const found = setup()
  mkdirSync(found)
  writeFileSync(join(found, 'mine'), 'x')
  open(found, true).close()
  expect(readFileSync(join(found, 'mine'), 'utf8')).toBe('x')
})

test('api key: is UNREACHABLE when nothing was started there', () => {
  expect(() => readApiKey(join(setup(), 'api-key'))).toThrow(expect.objectContaining({ code: 'UNREACHABLE' }))
})

function stateOf(supervisor: number): UpState {
  const addresses = { controlApi: 'http://a', jobs: 'http://b', proxy: 'http://c', admin: 'http://d' }
  return { schema: 1, supervisor, startedAt: '2026-01-01T00:00:00Z', addresses, processes: [] }
}

test('state: is what was written while the supervisor lives', () => {
  const data = open(setup())
  onTestFinished(() => data.close())
  writeState(data.paths.state, stateOf(process.pid))
  expect(readState(data.paths.state)).toEqual(stateOf(process.pid))
  expect(mode(data.paths.state)).toBe('600')
})

test.each([
  ['there is none', undefined, 'UNREACHABLE'],
  ['its supervisor is gone', JSON.stringify(stateOf(1)), 'UNREACHABLE'],
  ['it is cut off', '{"schema":1,', 'INVALID_JSON'],
  ['it is of another shape', '{"schema":2}', 'INVALID_INPUT'],
])('state: is refused when %s', (_why, text, code) => {
  const dir = setup()
  mkdirSync(dir)
  const file = pathsOf(dir).state
  if (text !== undefined) writeFileSync(file, text)
  expect(() => readState(file, () => false)).toThrow(expect.objectContaining({ code }))
})
