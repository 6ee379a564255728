import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import { silentLog } from '../../../kernel/log.ts'
import { seededRandom } from '../../../kernel/random.ts'
import { backoffMs } from '../../../proxy/control/backoff.ts'
import { FileIdentity } from '../../../proxy/control/file-identity.ts'
import { LineReader } from '../../../proxy/control/lines.ts'
import { SnapshotFile } from '../../../proxy/control/snapshot-file.ts'
import { readSnapshot, SnapshotStore } from '../../../proxy/control/snapshot-store.ts'
import { foreignPki, testPki } from '../../support/pki.ts'
import { until } from '../../support/until.ts'
import { snapshot } from '../policy/fixtures.ts'

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-files-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}
const soon = { ...systemClock, every: (ms: number, run: () => void) => systemClock.every(ms / 20, run) }

test('snapshot store: gives back what it was given, from a private file', async () => {
  const dir = tempDir()
  const store = new SnapshotStore(dir)
  expect(await store.load()).toBeUndefined()
  await store.save(snapshot())
  expect(await new SnapshotStore(dir).load()).toEqual(snapshot())
  expect(statSync(join(dir, 'snapshot.json')).mode & 0o777).toBe(0o600)
})

test('snapshot store: keeps the newest when many come at once', async () => {
  const dir = tempDir()
  const store = new SnapshotStore(dir)
  await Promise.all(Array.from({ length: 20 }, (_, i) => store.save(snapshot({ version: `s${i}` }))))
  expect((await store.load())!.version).toBe('s19')
})

test.each([
  ['not JSON', '{', 'INVALID_JSON'],
  ['empty', '', 'INVALID_JSON'],
  ['of another schema', JSON.stringify({ ...snapshot(), schema: 2 }), 'SNAPSHOT_INVALID'],
  ['with an unknown field', JSON.stringify({ ...snapshot(), more: 1 }), 'SNAPSHOT_INVALID'],
  ['with a reference to nothing', JSON.stringify({ ...snapshot(), backends: [] }), 'SNAPSHOT_INVALID'],
])('snapshot store: refuses a file that is %s', async (_what, text, code) => {
  const file = join(tempDir(), 'snapshot.json')
  writeFileSync(file, text)
  await expect(readSnapshot(file)).rejects.toMatchObject({ code })
})

test('snapshot file: takes each good version and keeps the last one when a bad one comes', async () => {
  const file = join(tempDir(), 's.json')
  writeFileSync(file, JSON.stringify(snapshot()))
  const versions: string[] = []
  const watched = new SnapshotFile({
    file,
    clock: soon,
    log: silentLog,
    apply: (one) => void versions.push(one.version),
  })
  onTestFinished(() => watched.close())
  await watched.start()
  expect(versions).toEqual(['s1'])
  writeFileSync(file, '{"schema":1')
  await new Promise((done) => setTimeout(done, 100))
  rmSync(file)
  await new Promise((done) => setTimeout(done, 100))
  expect(versions).toEqual(['s1'])
  writeFileSync(file, JSON.stringify(snapshot({ version: 'version-2' })))
  await until(() => versions.at(-1) === 'version-2')
})

test('snapshot file: does not start without a good first version', async () => {
  const file = join(tempDir(), 's.json')
  const watched = new SnapshotFile({ file, clock: soon, log: silentLog, apply: () => undefined })
  await expect(watched.start()).rejects.toMatchObject({ code: 'SNAPSHOT_INVALID' })
  writeFileSync(file, '[]')
  await expect(watched.start()).rejects.toMatchObject({ code: 'SNAPSHOT_INVALID' })
})

async function identityFiles() {
  const pki = await testPki()
  const dir = tempDir()
  const files = { cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem'), trustBundle: join(dir, 'ca.pem') }
  const write = async (service = 'web'): Promise<void> => {
    const { keyPem, chainPem } = await pki.issue(service)
    writeFileSync(files.key, keyPem)
    writeFileSync(files.cert, chainPem)
    writeFileSync(files.trustBundle, pki.bundlePem)
  }
  await write()
  const identity = new FileIdentity(files, soon, silentLog)
  onTestFinished(() => identity.close())
  return { pki, files, write, identity }
}

test('file identity: takes up new files, and keeps the old ones while the new ones are wrong', async () => {
  const { files, write, identity } = await identityFiles()
  await identity.start()
  const first = identity.current()!
  expect(first.spiffeId).toBe('spiffe://fairlead.local/ns/default/sa/web')
  writeFileSync(files.cert, 'nothing')
  await new Promise((done) => setTimeout(done, 250))
  expect(identity.current()).toBe(first)
  await write('api')
  await until(() => identity.current()!.spiffeId.endsWith('/api'))
})

test('file identity: does not start with a foreign bundle, another key or a missing file', async () => {
  const { pki, files, write, identity } = await identityFiles()
  writeFileSync(files.trustBundle, (await foreignPki()).bundlePem)
  await expect(identity.start()).rejects.toMatchObject({ code: 'CERT_INVALID' })
  await write()
  writeFileSync(files.key, (await pki.issue('web')).keyPem)
  await expect(identity.start()).rejects.toMatchObject({ code: 'CERT_INVALID' })
  rmSync(files.key)
  await expect(identity.start()).rejects.toMatchObject({ code: 'CERT_INVALID' })
  expect(readFileSync(files.cert, 'utf8')).toContain('CERTIFICATE')
})

test('lines: come out whole however the bytes are cut', () => {
  const bytes = Buffer.from('{"a":"é"}\n\n{"b":2}\r\n{"c"')
  for (let step = 1; step <= bytes.length; step++) {
    const lines: string[] = []
    const reader = new LineReader(100, (line) => lines.push(line))
    for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step))
    expect(lines).toEqual(['{"a":"é"}', '{"b":2}'])
  }
})

test('lines: refuse one that is too long, in one piece or many', () => {
  const reader = () => new LineReader(10, () => undefined)
  expect(() => reader().push(Buffer.from('12345678901'))).toThrow(/longer/)
  const many = reader()
  many.push(Buffer.from('123456'))
  expect(() => many.push(Buffer.from('123456'))).toThrow(/longer/)
  expect(() => reader().push(Buffer.from('1234567890\n1234567890\n'))).not.toThrow()
})

test('backoff: is jittered, doubles its ceiling, and keeps between its bounds', () => {
  const random = seededRandom(9)
  const policy = { leastMs: 50, baseMs: 100, maxMs: 1000 }
  for (let failures = 1; failures < 2000; failures++) {
    const wait = backoffMs(failures, policy, random)
    expect(wait).toBeGreaterThanOrEqual(50)
    expect(wait).toBeLessThanOrEqual(Math.min(1000, 100 * 2 ** (failures - 1)))
  }
})
