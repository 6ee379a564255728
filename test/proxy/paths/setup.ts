// setup.ts — a mesh in one process for tests of the request paths: real certificates, sockets, policy; no control plane.
//
// `mesh()` gives the parts of one sidecar pair: app → outbound ═mTLS═ inbound → app. Everything is closed after the test.

import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import { silentLog } from '../../../kernel/log.ts'
import { systemRandom } from '../../../kernel/random.ts'
import { startTracing } from '../../../kernel/tracing.ts'
import { parseSnapshot, type Snapshot } from '../../../mesh-config/snapshot.ts'
import type { Exchange, Identity, IdentitySource, LocalSurface, Observer } from '../../../proxy/exchange.ts'
import { type Inbound, type InboundOptions, startInbound } from '../../../proxy/inbound.ts'
import { type Outbound, type OutboundOptions, startOutbound } from '../../../proxy/outbound.ts'
import { RouteTables } from '../../../proxy/policy/route-table.ts'
import { type TestPki, testPki } from '../../support/pki.ts'
import { backendOf, inboundOf, policyOf, ruleOf, snapshotOf } from './snapshots.ts'

export { backendOf, inboundOf, policyOf, ruleOf, snapshotOf }

/** Records exchanges and connection changes. */
export class Recorder implements Observer {
  readonly exchanges: Exchange[] = []
  readonly connections: string[] = []

  done(exchange: Exchange): void {
    this.exchanges.push(exchange)
  }

  connection(direction: string, change: string, reason?: string): void {
    this.connections.push(reason === undefined ? `${direction} ${change}` : `${direction} ${change} ${reason}`)
  }
}

/** An identity that a test can swap. */
export class TestIdentitySource implements IdentitySource {
  #current: Identity | undefined
  readonly #listeners = new Set<() => void>()

  constructor(identity?: Identity) {
    this.#current = identity
  }

  current(): Identity | undefined {
    return this.#current
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  swap(identity: Identity): void {
    this.#current = identity
    for (const listener of this.#listeners) listener()
  }
}

export async function identityOf(pki: TestPki, service: string, bundle = pki.bundle): Promise<Identity> {
  const { spiffeId, keyPem, chainPem } = await pki.issue(service)
  return { spiffeId, keyPem, chainPem, trustDomain: pki.trustDomain, bundleDer: bundle }
}

/** One trust domain for a whole file: making keys costs more than most tests. */
let shared: Promise<TestPki> | undefined
export function sharedPki(): Promise<TestPki> {
  shared ??= testPki()
  return shared
}

/** A table that a test can swap. */
export function tablesOf(snapshot: Snapshot | undefined): RouteTables {
  const tables = new RouteTables({ clock: systemClock, random: systemRandom })
  if (snapshot !== undefined) tables.swap(parseSnapshot(snapshot))
  onTestFinished(() => tables.close())
  return tables
}

export const noSurface: LocalSurface = {
  handle: async (method, path) => ({ status: 200, body: { method, path } }),
  drawn: () => undefined,
}

export interface RunningOutbound extends Outbound {
  readonly recorder: Recorder
}

export async function outbound(tables: RouteTables, options: Partial<OutboundOptions> = {}): Promise<RunningOutbound> {
  const recorder = new Recorder()
  const running = await startOutbound({
    host: '127.0.0.1',
    port: 0,
    table: () => tables.current,
    identity: new TestIdentitySource(),
    localSurface: noSurface,
    observer: recorder,
    tracing: await startTracing({ serviceName: 't', serviceVersion: '', instance: '', endpoint: '' }),
    log: silentLog,
    clock: systemClock,
    random: systemRandom,
    ...options,
    limits: { drainGraceMs: 0, ...options.limits },
  })
  onTestFinished(() => running.close())
  return Object.assign(running, { recorder })
}

export interface RunningInbound extends Inbound {
  readonly recorder: Recorder
}

export async function inbound(
  app: { port: number },
  identity: IdentitySource,
  options: Partial<InboundOptions> = {},
  tables = tablesOf(snapshotOf({})),
): Promise<RunningInbound> {
  const recorder = new Recorder()
  const running = await startInbound({
    host: '127.0.0.1',
    port: 0,
    app: { host: '127.0.0.1', port: app.port },
    instance: 'app-1',
    table: () => tables.current,
    authorizer: () => tables.current?.authorizer,
    identity,
    observer: recorder,
    tracing: await startTracing({ serviceName: 't', serviceVersion: '', instance: '', endpoint: '' }),
    log: silentLog,
    clock: systemClock,
    random: systemRandom,
    ...options,
    limits: { drainGraceMs: 0, ...options.limits },
  })
  onTestFinished(() => running.close())
  return Object.assign(running, { recorder })
}

/** A raw TCP server that keeps what each connection sent and answers by `script`. */
export interface RawApp {
  readonly port: number
  readonly accepted: number
  /** Everything received, over all connections, Latin-1. */
  readonly received: string
  readonly sockets: readonly Socket[]
}

export async function rawApp(script: (socket: Socket, received: string) => void): Promise<RawApp> {
  const state = { port: 0, accepted: 0, received: '', sockets: [] as Socket[] }
  const server: Server = createServer((socket) => {
    state.accepted++
    state.sockets.push(socket)
    let mine = ''
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      state.received += chunk.toString('latin1')
      mine += chunk.toString('latin1')
      script(socket, mine)
      if (mine.endsWith('\r\n\r\n')) mine = ''
    })
  })
  state.port = await listen(server)
  onTestFinished(() => {
    for (const socket of state.sockets) socket.destroy()
    server.close()
  })
  return state
}

export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Sends bytes, collects until the other side closes (or `enough` says so), and returns Latin-1. */
export function rawExchange(port: number, bytes: string | Buffer, enough?: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = createConnection({ host: '127.0.0.1', port })
    const done = (): void => {
      socket.destroy()
      resolve(text)
    }
    socket.on('connect', () => socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes))
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (enough?.(text)) done()
    })
    socket.on('end', done)
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? done() : reject(error)))
    socket.setTimeout(5_000, () => {
      socket.destroy()
      reject(new Error(`no end within 5 s; got ${JSON.stringify(text.slice(0, 500))}`))
    })
  })
}

/** The standard scene: one app behind an inbound, called as `http://app.mesh/` through an outbound. */
export async function twoHops(
  app: { port: number },
  options: {
    snapshot?: Partial<Snapshot>
    outbound?: Partial<OutboundOptions>
    inbound?: Partial<InboundOptions>
  } = {},
): Promise<{ outbound: RunningOutbound; inbound: RunningInbound; tables: RouteTables }> {
  const pki = await sharedPki()
  const server = await inbound(app, new TestIdentitySource(await identityOf(pki, 'app')), options.inbound)
  const backend = backendOf('app', [{ instance: 'app-1', port: server.port }], {
    identity: `spiffe://${pki.trustDomain}/ns/default/sa/app`,
  })
  const tables = tablesOf(snapshotOf({ backends: [backend], ...options.snapshot }))
  const client = await outbound(tables, {
    identity: new TestIdentitySource(await identityOf(pki, 'caller')),
    ...options.outbound,
  })
  return { outbound: client, inbound: server, tables }
}
