// server.ts — the built-in registry: the part of Consul's HTTP API that we use, on loopback, in memory.
//
// A restart empties it: sidecars register again when their check is unknown, as with a real agent that lost its state.
// Bounds: connections, waiting readers, services, keys, bytes (each named where it lives).

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import { type Random, uuidv7 } from '../../kernel/random.ts'
import { listening } from '../listening.ts'
import type { Listen } from '../loopback.ts'
import { Catalog } from './catalog.ts'
import { Changes } from './changes.ts'
import { KeyValues } from './kv.ts'
import { Refusal } from './refusal.ts'
import { type RegistryRequest, readRequest } from './request.ts'
import { type Answer, type Handled, type Parts, route } from './routes.ts'
import { Sessions } from './sessions.ts'

const CONNECTIONS_MAX = 4_096
/** Consul spreads the end of waits by up to a sixteenth. */
const WAIT_SPREAD = 1 / 16

export interface RegistryOptions {
  readonly listen: Listen
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface Registry extends Closable {
  readonly port: number
  /** `http://127.0.0.1:port` */
  readonly url: string
  readonly catalog: Catalog
}

export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { clock, random, listen } = options
  const changes = new Changes(clock)
  const sessions = new Sessions(clock, random, changes)
  const catalog = new Catalog(clock, changes)
  const kv = new KeyValues(clock, changes, sessions)
  const node = { id: uuidv7(clock.wall(), random), name: 'fairlead', address: listen.host, index: changes.index }
  const server = createServer()
  const parts: Parts = { node, catalog, kv, sessions, port: () => portOf(server) }
  server.maxConnections = CONNECTIONS_MAX
  server.on('request', (request, response) => void serve(options, changes, parts, request, response))
  await listening(server, listen)
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
    await Promise.all([catalog.close(), sessions.close()])
  }
  return { port: portOf(server), url: `http://${listen.host}:${portOf(server)}`, catalog, close: once(close) }
}

async function serve(
  options: RegistryOptions,
  changes: Changes,
  parts: Parts,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const request = await readRequest(incoming)
    const handled = route(request, parts)
    await awaitChange(options.random, changes, handled, request, response)
    if (response.destroyed) return
    // The index is read with the answer, never before the wait: a caller must not see an older one than its data.
    const index = handled.index?.()
    send(response, handled.answer(), index)
  } catch (error) {
    refuse(options.log, response, error)
  }
}

async function awaitChange(
  random: Random,
  changes: Changes,
  handled: Handled,
  request: RegistryRequest,
  response: ServerResponse,
): Promise<void> {
  if (!handled.index || request.index === 0) return
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const waitMs = request.waitMs + random.between(0, request.waitMs * WAIT_SPREAD)
  if (!(await changes.wait(request.index, handled.index, waitMs, gone.signal))) {
    throw new Refusal(429, 'too many blocking queries')
  }
}

function send(response: ServerResponse, answer: Answer, index: number | undefined): void {
  response.statusCode = answer.status ?? 200
  if (index !== undefined) {
    response.setHeader('X-Consul-Index', index)
    response.setHeader('X-Consul-Knownleader', 'true')
    response.setHeader('X-Consul-Lastcontact', '0')
  }
  if (answer.raw) {
    response.setHeader('Content-Type', 'text/plain')
    response.setHeader('X-Content-Type-Options', 'nosniff')
    response.setHeader('Content-Security-Policy', 'sandbox')
    response.end(answer.raw)
  } else if (answer.json === undefined) {
    response.end()
  } else {
    response.setHeader('Content-Type', 'application/json')
    response.end(`${JSON.stringify(answer.json)}\n`)
  }
}

function refuse(log: Log, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return void response.destroy()
  if (!(error instanceof Refusal)) log.error({ error }, 'registry request failed')
  response.statusCode = error instanceof Refusal ? error.status : 500
  if (response.statusCode === 413) response.setHeader('Connection', 'close')
  response.setHeader('Content-Type', 'text/plain; charset=utf-8')
  response.end(error instanceof Refusal ? error.message : 'internal error')
}

const portOf = (server: Server): number => (server.address() as AddressInfo | null)?.port ?? 0

function once(close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | undefined
  return () => {
    closing ??= close()
    return closing
  }
}
