// A sidecar process without control plane, on files.

import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Snapshot } from '../../mesh-config/snapshot.ts'
import { tempDir, until } from '../support/fairlead.ts'
import { testPki } from '../support/pki.ts'
import { backend, endpoint, rule, snapshot } from './policy/fixtures.ts'
import { type Running, spawnScript, startApp, startScript } from './processes.ts'

const later = onTestFinished

function plainSnapshot(ports: readonly number[], more: Partial<Snapshot> = {}): Snapshot {
  const endpoints = ports.map((port, i) => endpoint(`app-${i}`, port))
  const plain = { ...backend('worker', '', endpoints), transport: 'plain' as const, identity: '' }
  return snapshot({ rules: [rule({ worker: 1 })], backends: [plain], ...more })
}

async function setup(first: Snapshot, flags: readonly string[] = []) {
  const dir = tempDir('standalone', later)
  const file = join(dir, 'snapshot.json')
  const logFile = join(dir, 'access.log')
  writeFileSync(file, JSON.stringify(first))
  const sidecar = await startScript(
    'proxy/main.ts',
    ['--snapshot', file, '--outbound', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--access-log', logFile, ...flags],
    later,
  )
  return { dir, file, logFile, sidecar }
}

function get(sidecar: Running, url: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: '127.0.0.1', port: sidecar.ports['outbound'], path: url, agent: false },
      (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode!, text }))
      },
    )
    call.on('error', reject)
    call.end()
  })
}

test('standalone sidecar: serves a static endpoint, and the next version of its file', async () => {
  const first = await startApp('first', later)
  const second = await startApp('second', later)
  const { file, logFile, sidecar } = await setup(plainSnapshot([first.port]))
  expect(await get(sidecar, 'http://worker.mesh/a')).toEqual({ status: 200, text: 'first GET /a 0' })
  writeFileSync(file, '{"schema":1,"nonsense":true}')
  await until('the bad file is told', () => sidecar.output().includes('snapshot file refused'))
  expect((await get(sidecar, 'http://worker.mesh/b')).text).toBe('first GET /b 0')
  writeFileSync(file, JSON.stringify(plainSnapshot([second.port], { version: 's2' })))
  await until(
    'the new file is served',
    async () => (await get(sidecar, 'http://worker.mesh/c')).text === 'second GET /c 0',
  )
  expect(await sidecar.stop()).toBe(0)
  const lines = readFileSync(logFile, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(lines[0]).toMatchObject({
    method: 'GET',
    path: '/a',
    response_code: 200,
    service: 'worker',
    direction: 'outbound',
  })
  expect(sidecar.output()).not.toContain('"start_time"')
})

test('standalone sidecar: finishes the request in flight when it is told to stop', async () => {
  const waiting: ServerResponse[] = []
  const app = createServer((_request, response) => void waiting.push(response))
  await new Promise<void>((done) => app.listen(0, '127.0.0.1', () => done()))
  later(() => void app.close())
  const { sidecar } = await setup(plainSnapshot([(app.address() as AddressInfo).port]))
  const slow = get(sidecar, 'http://worker.mesh/slow')
  await until('the app has the request', () => waiting.length === 1)
  const stopped = sidecar.stop()
  await until('it is closing', () => sidecar.output().includes('"message":"closing"'))
  waiting[0]!.end('at last')
  expect(await slow).toEqual({ status: 200, text: 'at last' })
  expect(await stopped).toBe(0)
})

test('standalone sidecar: two of them with certificates speak mTLS to each other', async () => {
  const pki = await testPki()
  const app = await startApp('app', later)
  const certificatesIn = async (dir: string, service: string): Promise<string[]> => {
    const { keyPem, chainPem } = await pki.issue(service)
    const files = {
      cert: join(dir, `${service}.pem`),
      key: join(dir, `${service}.key`),
      'trust-bundle': join(dir, 'ca.pem'),
    }
    writeFileSync(files.cert, chainPem)
    writeFileSync(files.key, keyPem)
    writeFileSync(files['trust-bundle'], pki.bundlePem)
    return Object.entries(files).flatMap(([name, value]) => [`--${name}`, value])
  }
  const certificates = tempDir('certificates', later)
  const self = { service: 'worker', namespace: 'default', version: 'v1', instance: 'app-0' }
  const server = await setup(plainSnapshot([], { self }), [
    ...['--inbound', '127.0.0.1:0', '--app', `127.0.0.1:${app.port}`],
    ...(await certificatesIn(certificates, 'worker')),
  ])
  const mesh = backend('worker', '', [endpoint('app-0', server.sidecar.ports['inbound']!)])
  const client = await setup(
    snapshot({ rules: [rule({ worker: 1 })], backends: [mesh] }),
    await certificatesIn(certificates, 'scheduler'),
  )
  expect(await get(client.sidecar, 'http://worker.mesh/x')).toEqual({ status: 200, text: 'app GET /x 0' })
  await client.sidecar.stop()
  await server.sidecar.stop()
  const line = JSON.parse(readFileSync(server.logFile, 'utf8').trim().split('\n')[0]!) as Record<string, unknown>
  expect(line).toMatchObject({
    direction: 'inbound',
    downstream_peer_uri_san: 'spiffe://fairlead.local/ns/default/sa/scheduler',
  })
})

test('standalone sidecar: ends with every mistake of its flags', async () => {
  const process = spawnScript('proxy/main.ts', ['--service', 'Not A Label', '--app', 'nowhere'], later)
  expect(await process.exited).toBe(1)
  for (const flag of ['--service', '--app', '--version', '--state']) expect(process.output()).toContain(flag)
})

test('standalone sidecar: names the port that is taken', async () => {
  const { sidecar } = await setup(plainSnapshot([]))
  const taken = `127.0.0.1:${sidecar.ports['outbound']}`
  const file = join(tempDir('standalone', later), 's.json')
  writeFileSync(file, JSON.stringify(plainSnapshot([])))
  const process = spawnScript('proxy/main.ts', ['--snapshot', file, '--outbound', taken], later)
  expect(await process.exited).toBe(1)
  expect(process.output()).toContain('PORT_IN_USE')
})
