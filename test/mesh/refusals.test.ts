// Who is not let through: at the worker's sidecar before a byte reaches the app, at the outbound port, at the job API.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUp, tempDir, type Up, until } from '../support/fairlead.ts'
import { makePackages } from '../support/packages.ts'

const REQUEST = 'POST /fairlead/v1/dispatch HTTP/1.1\r\nhost: worker.mesh\r\ncontent-length: 0\r\n\r\n'

let up: Up
const steps: (() => Promise<void> | void)[] = []
const later = (step: () => Promise<void> | void): void => void steps.unshift(step)

beforeAll(async () => {
  const tree = join(tempDir('tree', later), 'node_modules')
  makePackages(tree, { packages: 5 })
  up = startUp(['--dir', tree], { later })
  await until('the audit is over', () => up.output().includes('Ctrl-C'), 60_000)
}, 90_000)
afterAll(async () => {
  for (const step of steps) await step()
})

describe("the worker's sidecar", () => {
  test('plain text: is cut off without an answer of the app when a client speaks no TLS', async () => {
    const port = await up.portOf('worker-v1-1-sidecar', 'inbound')
    const seen = await talk(connect(port, '127.0.0.1'), REQUEST)
    expect(seen).not.toContain('HTTP/1.1 2')
    expect(seen).not.toContain('fairlead-instance: worker')
  })

  test('mTLS: is refused when the client shows no certificate', async () => {
    const port = await up.portOf('worker-v1-1-sidecar', 'inbound')
    const seen = await talk(tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false }), REQUEST)
    expect(seen).not.toContain('HTTP/1.1 2')
  })

  test('mTLS: is refused with its reason in the log when the certificate is of another CA', async (context) => {
    if (!hasOpenssl()) return context.skip('openssl is not installed')
    const dir = tempDir('foreign', later)
    execFileSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1', '-subj', '/'],
      ...['-keyout', join(dir, 'key.pem'), '-out', join(dir, 'cert.pem')],
      ...['-addext', 'subjectAltName=critical,URI:spiffe://fairlead.local/ns/default/sa/scheduler'],
    ])
    const port = await up.portOf('worker-v1-1-sidecar', 'inbound')
    const key = readFileSync(join(dir, 'key.pem'))
    const cert = readFileSync(join(dir, 'cert.pem'))
    const seen = await talk(tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false, key, cert }), REQUEST)
    expect(seen).not.toContain('HTTP/1.1 2')
    await until('the log names the reason', () => sidecarLog('worker-v1-1-sidecar').includes('UNTRUSTED_ROOT'))
  })

  test('policy: refuses a valid identity that no AuthorizationPolicy allows', async () => {
    // A worker may call the scheduler but not another worker: ask through a worker's own sidecar.
    const port = await up.portOf('worker-v2-1-sidecar', 'outbound')
    const seen = await raw(port, REQUEST)
    expect(seen).toMatch(/^HTTP\/1\.1 403 /)
    expect(seen).toContain('fairlead-error: POLICY_DENIED')
  })
})

describe('the outbound port', () => {
  test.each([
    ['unknown.example.com', 'EGRESS_DENIED'],
    ['169.254.169.254', 'EGRESS_DENIED'],
    ['[fe80::1]', 'EGRESS_DENIED'],
    ['nobody.mesh', 'EGRESS_DENIED'],
  ])('egress: is 403 when the host is %s', async (host, code) => {
    const port = await up.portOf('scheduler-sidecar', 'outbound')
    const seen = await raw(port, `GET http://${host}/latest/meta-data HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
    expect(seen).toMatch(/^HTTP\/1\.1 403 /)
    expect(seen).toContain(`fairlead-error: ${code}`)
  })

  test('framing: is 400 and closed when a request can be read in two ways', async () => {
    const port = await up.portOf('scheduler-sidecar', 'outbound')
    const seen = await raw(
      port,
      'POST http://worker.mesh/ HTTP/1.1\r\nhost: worker.mesh\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    )
    expect(seen).toMatch(/^HTTP\/1\.1 400 /)
  })
})

describe('the job API', () => {
  const submit = JSON.stringify({ type: 'package.audit', payload: {} })
  test.each([
    ['a page of a foreign origin', { origin: 'https://evil.example' }, 403],
    ['a request without a key', { 'x-api-key': '' }, 401],
    ['a request with a wrong key', { 'x-api-key': 'a'.repeat(43) }, 401],
  ])('submission: is refused when it comes from %s', async (_who, headers, status) => {
    const before = await total()
    const answer = await up.api('/api/v1/jobs', { method: 'POST', body: submit, headers })
    expect(answer.status).toBe(status)
    expect(await total()).toBe(before)
  })

  test('submission: is refused when the host is not of the allow-list (DNS rebinding)', async () => {
    const port = await up.portOf('scheduler', 'api')
    const key = readFileSync(join(up.dataDir, 'api-key'), 'utf8').trim()
    const seen = await raw(
      port,
      `POST /api/v1/jobs HTTP/1.1\r\nhost: rebind.example:${port}\r\nx-api-key: ${key}\r\ncontent-type: application/json\r\ncontent-length: ${submit.length}\r\nconnection: close\r\n\r\n${submit}`,
    )
    expect(seen).toMatch(/^HTTP\/1\.1 403 /)
  })
})

describe('config', () => {
  test('apply: is refused whole with every place, and the mesh keeps its last config, when YAML is invalid', async () => {
    const key = readFileSync(join(up.dataDir, 'api-key'), 'utf8').trim()
    const base = `http://127.0.0.1:${await up.portOf('control-plane', 'api')}`
    const headers = { 'x-api-key': key, 'content-type': 'application/json' }
    const before = (await (await fetch(`${base}/api/v1/mesh`, { headers })).json()) as { config: { version: string } }
    const text = 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {protocl: http}\n'
    const answer = await fetch(`${base}/api/v1/config`, {
      method: 'PUT',
      headers,
      body: JSON.stringify({ files: [{ name: 'bad.yaml', text }] }),
    })
    expect(answer.status).toBe(422)
    const body = (await answer.json()) as { problems: { path: string }[] }
    expect(body.problems.some((problem) => problem.path.startsWith('bad.yaml:4:'))).toBe(true)
    const after = (await (await fetch(`${base}/api/v1/mesh`, { headers })).json()) as { config: { version: string } }
    expect(after.config.version).toBe(before.config.version)
  })
})

async function total(): Promise<number> {
  return ((await (await up.api('/api/v1/summary')).json()) as { total: number }).total
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'])
    return true
  } catch {
    return false
  }
}

function sidecarLog(name: string): string {
  const file = join(up.dataDir, 'logs', `${name}.log`)
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

const raw = (port: number, bytes: string): Promise<string> => talk(connect(port, '127.0.0.1'), bytes)

/** Sends, then reads until the peer closes or nothing comes for two seconds. */
function talk(socket: ReturnType<typeof connect>, bytes: string): Promise<string> {
  return new Promise((done) => {
    let text = ''
    const finish = (): void => {
      socket.destroy()
      done(text)
    }
    socket.setTimeout(2_000, finish)
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', finish)
    socket.on('close', finish)
    socket.write(bytes)
  })
}
