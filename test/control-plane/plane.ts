// plane.ts — one control plane of a test (in this process, real sockets, a state directory of its own) and a sidecar
// that speaks the contract over real TLS.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { createCsr } from '../../certs/csr.ts'
import { generateKey, keyToPem } from '../../certs/keys.ts'
import {
  type FromSidecar,
  type Instance,
  type MeshStatus,
  registrationOf,
  type SignAnswer,
  STREAM_PROTOCOL,
} from '../../control-plane/contract.ts'
import { startControlPlane } from '../../control-plane/control-plane.ts'
import { parseOptions } from '../../control-plane/options.ts'
import { systemClock } from '../../kernel/clock.ts'
import { Lifetime } from '../../kernel/lifetime.ts'
import { silentLog } from '../../kernel/log.ts'
import { systemRandom } from '../../kernel/random.ts'
import { until } from '../support/until.ts'

export interface Ports {
  readonly api: number
  readonly stream: number
  readonly registry: number
}

export interface Identity {
  readonly key: string
  readonly cert: string
}

/** Registers a clean-up: at the end of a test, or of a file (`sharedPlane`). */
type AtEnd = (step: () => unknown) => void
const atTestEnd: AtEnd = (step) => onTestFinished(async () => void (await step()))

export function temporaryDirectory(atEnd: AtEnd = atTestEnd): string {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-cp-'))
  atEnd(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** One control plane for the tests of a file that leave nothing behind which others would notice. */
export function sharedPlane(extra: readonly string[] = []): () => Plane {
  const ends: (() => unknown)[] = []
  let plane: Plane | undefined
  beforeAll(async () => {
    const atEnd: AtEnd = (step) => void ends.push(step)
    plane = await startPlane(extra, temporaryDirectory(atEnd), atEnd)
  })
  afterAll(async () => {
    for (const step of ends.reverse()) await step()
  })
  return () => plane!
}

export const flagsOf = (state: string, extra: readonly string[] = []): string[] => {
  const free = '127.0.0.1:0'
  const fixed = ['--state', state, '--api-key-file', join(state, 'api-key'), '--api', free, '--stream', free]
  return [...fixed, '--registry', free, ...extra]
}

/** A control plane in this process; closed when the test ends. */
export async function startPlane(
  extra: readonly string[] = [],
  state = temporaryDirectory(),
  atEnd: AtEnd = atTestEnd,
): Promise<Plane> {
  const life = new Lifetime()
  atEnd(() => life.close())
  const ambient = { clock: systemClock, random: systemRandom, log: silentLog }
  try {
    const ports = (await startControlPlane(parseOptions(flagsOf(state, extra), {}), ambient, life)) as Ports
    return new Plane(state, ports, life)
  } catch (error) {
    await life.close()
    throw error
  }
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
  readonly body: Record<string, unknown>
}

export class Plane {
  readonly state: string
  readonly ports: Ports
  readonly life: Lifetime | undefined

  constructor(state: string, ports: Ports, life?: Lifetime) {
    this.state = state
    this.ports = ports
    this.life = life
  }

  get bundle(): string {
    return readFileSync(join(this.state, 'trust-bundle.pem'), 'utf8')
  }

  get apiKey(): string {
    return readFileSync(join(this.state, 'api-key'), 'utf8').trim()
  }

  /** A call of the operator API; the key is sent unless `headers` say otherwise. */
  api(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const content = body === undefined ? {} : { 'content-type': 'application/json' }
    const all = { 'x-api-key': this.apiKey, ...content, ...headers }
    const options = { host: '127.0.0.1', port: this.ports.api, method, path, headers: all, agent: false }
    return answerOf(httpRequest(options), body === undefined ? '' : JSON.stringify(body))
  }

  async mesh(): Promise<MeshStatus> {
    return (await this.api('GET', '/api/v1/mesh')).body as unknown as MeshStatus
  }

  async joinToken(service: string, extra: Record<string, unknown> = {}): Promise<string> {
    const answer = await this.api('POST', '/api/v1/join-tokens', { service, ...extra })
    return String(answer.body['token'])
  }

  async audit(action: string): Promise<{ subject: string; detail: Record<string, unknown> }[]> {
    const { body } = await this.api('GET', '/api/v1/audit?limit=1000')
    return (body['rows'] as { action: string; subject: string; detail: Record<string, unknown> }[]).filter(
      (row) => row.action === action,
    )
  }

  /** POST /v1/identity/sign with whatever the test wants to send. */
  post(path: string, body: unknown, identity?: Identity): Promise<Answer> {
    return answerOf(request({ ...this.tls(identity), method: 'POST', path }), JSON.stringify(body))
  }

  tls(identity?: Identity): Record<string, unknown> {
    const verified = { ca: this.bundle, checkServerIdentity: () => undefined }
    return { host: '127.0.0.1', port: this.ports.stream, agent: false, ...verified, ...identity }
  }

  /** A new key, and the certificate that a fresh join token gives it. */
  async join(service: string): Promise<Identity & { answer: SignAnswer }> {
    const key = await generateKey()
    const joinToken = await this.joinToken(service)
    const { status, body, text } = await this.post('/v1/identity/sign', { csr: await createCsr(key), joinToken })
    if (status !== 200) throw new Error(`join refused: ${text}`)
    const answer = body as unknown as SignAnswer
    return { key: keyToPem(key), cert: answer.certificateChain, answer }
  }

  stream(identity: Identity | undefined, hello: Partial<Extract<FromSidecar, { t: 'hello' }>>): TestStream {
    return new TestStream(request({ ...this.tls(identity), method: 'POST', path: '/v1/stream' }), hello)
  }

  /** Registers an instance as a sidecar does. */
  async register(instance: Partial<Instance> & { instance: string; service: string }, passing = true): Promise<void> {
    const { passing: _, ...full } = { ...INSTANCE, ...instance }
    for (const body of registrationOf(full, 8080)) await this.consul('agent/service/register', body)
    await this.consul(`agent/check/${passing ? 'pass' : 'fail'}/fairlead:${instance.instance}?note=app`)
  }

  async deregister(instance: string): Promise<void> {
    for (const id of [`${instance}-sidecar-proxy`, instance]) await this.consul(`agent/service/deregister/${id}`)
  }

  async consul(path: string, body?: unknown): Promise<void> {
    const url = `http://127.0.0.1:${this.ports.registry}/v1/${path}`
    const answer = await fetch(url, { method: 'PUT', ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  }
}

const INSTANCE: Instance = {
  instance: 'worker-1',
  service: 'worker',
  namespace: 'default',
  version: 'v1',
  region: '',
  address: '127.0.0.1',
  port: 21_000,
  passing: true,
}

export interface SnapshotMessage {
  readonly t: 'snapshot'
  readonly snapshot: {
    readonly version: string
    readonly backends: { readonly name: string; readonly endpoints: { readonly instance: string }[] }[]
  }
}

/** The sidecar's end: every line that came, and what the test wants to say. */
export class TestStream {
  readonly lines: { readonly t: string }[] = []
  readonly #call: ClientRequest
  status = 0
  text = ''
  ended = false

  constructor(call: ClientRequest, hello: Partial<Extract<FromSidecar, { t: 'hello' }>>) {
    this.#call = call
    call.on('error', () => {
      this.ended = true
    })
    call.on('response', (response) => this.#read(response))
    this.send({
      t: 'hello',
      protocol: STREAM_PROTOCOL,
      instance: 'worker-1',
      service: 'worker',
      namespace: 'default',
      version: 'v1',
      sidecarVersion: 'test',
      have: '',
      ...hello,
    })
    onTestFinished(() => this.close())
  }

  send(message: FromSidecar | string): void {
    this.#call.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`)
  }

  close(): void {
    this.#call.destroy()
  }

  get snapshots(): SnapshotMessage['snapshot'][] {
    return this.lines.filter((line): line is SnapshotMessage => line.t === 'snapshot').map((line) => line.snapshot)
  }

  /** The newest snapshot, once there are `count` of them. */
  async snapshot(count = 1): Promise<SnapshotMessage['snapshot']> {
    await until(() => this.snapshots.length >= count)
    return this.snapshots.at(-1)!
  }

  /** The first snapshot that `wanted` holds for. */
  async snapshotWith(wanted: (snapshot: SnapshotMessage['snapshot']) => boolean, timeoutMs?: number): Promise<void> {
    await until(() => this.snapshots.some(wanted), timeoutMs)
  }

  async refusal(): Promise<Record<string, unknown>> {
    await until(() => this.ended)
    return JSON.parse(this.text) as Record<string, unknown>
  }

  #read(response: IncomingMessage): void {
    this.status = response.statusCode ?? 0
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      this.text += chunk
      if (this.status !== 200) return
      const lines = this.text.split('\n')
      this.text = lines.pop()!
      for (const line of lines) this.lines.push(JSON.parse(line) as { t: string })
    })
    const end = (): void => {
      this.ended = true
    }
    response.on('end', end).on('error', end)
  }
}

export const endpointsOf = (snapshot: SnapshotMessage['snapshot'], backend: string): string[] =>
  (snapshot.backends.find((one) => one.name === backend)?.endpoints ?? []).map((endpoint) => endpoint.instance)

export function answerOf(call: ClientRequest, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    call.on('error', reject)
    call.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', reject)
      response.on('end', () => {
        const json = (response.headers['content-type'] ?? '').includes('json')
        const parsed = json ? (JSON.parse(text) as Record<string, unknown>) : {}
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, body: parsed })
      })
    })
    call.end(body)
  })
}
