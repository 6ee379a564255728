// The control plane as a process: killed, started again, and what must not be lost.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createCsr } from '../../certs/csr.ts'
import { generateKey } from '../../certs/keys.ts'
import { until } from '../support/until.ts'
import { endpointsOf, flagsOf, Plane, type Ports, startPlane, temporaryDirectory } from './plane.ts'

/** Two cores may be shared with anything; a process needs most of a second even alone. */
vi.setConfig({ testTimeout: 150_000 })
const MAIN = resolve(import.meta.dirname, '../../control-plane/main.ts')

interface Process {
  readonly plane: Plane
  readonly log: Record<string, unknown>[]
  end(signal: NodeJS.Signals): Promise<number | null>
}

async function startProcess(state: string, extra: readonly string[] = []): Promise<Process> {
  const child: ChildProcess = spawn(process.execPath, [MAIN, ...flagsOf(state, extra)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const log: Record<string, unknown>[] = []
  createInterface({ input: child.stdout! }).on('line', (line) => log.push(JSON.parse(line) as Record<string, unknown>))
  const exited = new Promise<number | null>((done) => child.once('exit', done))
  const end = (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal)
    return exited
  }
  onTestFinished(() => void end('SIGKILL'))
  const ready = () => log.find((line) => line['message'] === 'ready')
  await until(() => ready() ?? (child.exitCode !== null && Promise.reject(new Error(JSON.stringify(log)))), 45_000)
  return { plane: new Plane(state, ready()!['ports'] as Ports), log, end }
}

const CONFIG = 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata:\n  name: billing\nspec:\n  protocol: http\n'
const messages = (one: Process): unknown[] => one.log.map((line) => line['message'])

test('kill -9: loses neither CA, config, used tokens nor instances when started again', async () => {
  const state = temporaryDirectory()
  const before = await startProcess(state)
  const files = [{ name: 'a.yaml', text: CONFIG }]
  const { version } = (await before.plane.api('PUT', '/api/v1/config', { files })).body
  const identity = await before.plane.join('worker')
  const used = await before.plane.joinToken('worker')
  const unused = await before.plane.joinToken('worker')
  const csr = await createCsr(await generateKey())
  expect((await before.plane.post('/v1/identity/sign', { csr, joinToken: used })).status).toBe(200)
  const stream = before.plane.stream(identity, {})
  await before.plane.register({ instance: 'worker-1', service: 'worker' })
  await stream.snapshotWith((snapshot) => endpointsOf(snapshot, 'worker').length === 1)
  const served = stream.snapshots.at(-1)!
  stream.send({ t: 'ack', version: served.version })
  await until(async () => (await before.plane.mesh()).accepted.n === 1)
  const bundle = before.plane.bundle
  await before.end('SIGKILL')

  const after = await startProcess(state)
  expect(after.plane.bundle).toBe(bundle)
  expect((await after.plane.api('GET', '/api/v1/config')).body).toMatchObject({ version, files })
  const again = await after.plane.post('/v1/identity/sign', { csr, joinToken: used })
  expect(again).toMatchObject({ status: 401, body: { code: 'JOIN_TOKEN_INVALID' } })
  expect((await after.plane.post('/v1/identity/sign', { csr, joinToken: unused })).status).toBe(200)
  expect((await after.plane.post('/v1/identity/sign', { csr }, identity)).status).toBe(200)
  // The registry is empty, yet nothing is taken away: the sidecar comes back to the snapshot that it serves.
  const back = after.plane.stream(identity, { have: served.version })
  await until(async () => (await after.plane.mesh()).accepted.n === 1)
  expect((await after.plane.mesh()).sidecars).toMatchObject([{ connected: true, acked: served.version }])
  expect((await after.plane.mesh()).instances).toMatchObject([{ instance: 'worker-1', passing: true }])
  expect(back.snapshots).toEqual([])
  expect(await after.end('SIGTERM')).toBe(0)
})

test('state: is refused to a second control plane while the first one lives', async () => {
  const plane = await startPlane()
  await expect(startPlane([], plane.state)).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' })
  await plane.life!.close()
  await startPlane([], plane.state)
})

test('state: is refused when it belongs to another trust domain or another sealing secret', async () => {
  const plane = await startPlane()
  await plane.life!.close()
  await expect(startPlane(['--trust-domain', 'other.example'], plane.state)).rejects.toThrow(/trust domain/)
  writeFileSync(join(plane.state, 'seal.secret'), `${'s'.repeat(43)}\n`, { mode: 0o600 })
  await expect(startPlane([], plane.state)).rejects.toMatchObject({ code: 'KEY_SEAL_INVALID' })
})

test('--config: is applied when it differs from the state, and the log says which one runs', async () => {
  const state = temporaryDirectory()
  const path = join(temporaryDirectory(), 'mesh')
  mkdirSync(path)
  writeFileSync(join(path, 'a.yaml'), CONFIG)
  writeFileSync(join(path, 'notes.txt'), 'no config')
  const first = await startProcess(state, ['--config', path])
  expect(messages(first)).toContain('config of --config runs; it differed from the state')
  const { version } = (await first.plane.api('GET', '/api/v1/config')).body
  await first.end('SIGTERM')
  const second = await startProcess(state, ['--config', path])
  expect(messages(second)).toContain('config of the state runs; --config is the same')
  await second.end('SIGTERM')
  writeFileSync(join(path, 'a.yaml'), 'kind: [broken')
  const third = await startProcess(state, ['--config', path])
  expect(messages(third)).toContain('--config is invalid; config of the state runs')
  expect((await third.plane.api('GET', '/api/v1/config')).body['version']).toBe(version)
})

test('start: names the address when a port is taken', async () => {
  const plane = await startPlane()
  for (const flag of ['--api', '--stream', '--registry']) {
    const taken = `127.0.0.1:${plane.ports.api}`
    await expect(startPlane([flag, taken])).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: `${taken} is in use.`,
    })
  }
})

test('start: fails with its reason when the config is invalid and the state holds none', async () => {
  const path = join(temporaryDirectory(), 'a.yaml')
  writeFileSync(path, 'kind: [broken')
  await expect(startPlane(['--config', path])).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  await expect(startPlane(['--config', `${path}.missing`])).rejects.toMatchObject({ code: 'INVALID_INPUT' })
})
