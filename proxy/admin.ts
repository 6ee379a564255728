// admin.ts — the sidecar's own pages on loopback: /ready /healthz /readyz /metrics /config /clusters, POST /drain.
//
// node:http is enough here: nothing proxied passes. A web page must not reach it through the operator's browser: Host
// has to be a loopback name (DNS rebinding) and a foreign Origin is refused. /config shows the snapshot, which holds no
// secret; keys, tokens and certificates are never served.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { asFairleadError, FairleadError, toProblem } from '../kernel/errors.ts'
import type { Closable } from '../kernel/lifetime.ts'
import type { Log } from '../kernel/log.ts'
import type { Registry } from '../kernel/metrics.ts'
import type { Clusters, Ready } from './contract.ts'
import type { LiveTable } from './policy/route-table.ts'

export interface AdminOptions {
  readonly host: string
  readonly port: number
  readonly log: Log
  readonly registry: Registry
  readonly table: () => LiveTable | undefined
  readonly ready: () => Ready
  readonly drain: () => void
}

const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '[::1]'])
const LOOPBACK_ADDRESSES = new Set(['127.0.0.1', '::1', 'localhost'])
const HEAD_MS = 5000
const CONNECTIONS_MAX = 64

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}
type Page = () => Answer | Promise<Answer>

export class Admin implements Closable {
  readonly port: number
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
  }

  /** @throws FairleadError INVALID_INPUT when the address is not loopback; PORT_IN_USE */
  static async start(options: AdminOptions): Promise<Admin> {
    if (!LOOPBACK_ADDRESSES.has(options.host)) {
      throw new FairleadError('INVALID_INPUT', `The admin listener serves loopback only, not ${options.host}.`)
    }
    const pages = pagesOf(options)
    const server = createServer({ headersTimeout: HEAD_MS, requestTimeout: HEAD_MS }, (request, response) => {
      void answer(pages, request, response, options.log)
    })
    server.maxConnections = CONNECTIONS_MAX
    await listen(server, options)
    return new Admin(server)
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}

function listen(server: Server, { host, port }: AdminOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'EADDRINUSE' ? 'PORT_IN_USE' : 'INTERNAL'
      reject(new FairleadError(code, `Admin listener ${host}:${port}: ${cause.message}`, { cause }))
    })
    server.listen(port, host, () => resolve())
  })
}

function pagesOf(options: AdminOptions): Readonly<Record<string, Page>> {
  const { registry, ready, table } = options
  const readyPage: Page = () => {
    const state = ready()
    return json(state.ready ? 200 : 503, state)
  }
  return {
    'GET /ready': readyPage,
    'GET /readyz': readyPage,
    'GET /healthz': () => json(200, { ok: true }),
    'GET /metrics': async () => ({ status: 200, type: registry.contentType, body: await registry.metrics() }),
    'GET /config': () => json(200, table()?.snapshot ?? null),
    'GET /clusters': () => json(200, clustersOf(table())),
    'POST /drain': () => {
      options.drain()
      return json(202, { draining: true })
    },
  }
}

export function clustersOf(table: LiveTable | undefined): Clusters {
  return {
    snapshotVersion: table?.snapshot.version ?? '',
    backends: [...(table?.backends ?? [])].map(({ backend, breaker, endpoints }) => ({
      name: backend.name,
      version: backend.version,
      breaker: breaker.state,
      opened: breaker.opened,
      endpoints: endpoints.map(({ endpoint, active, ejected }) => ({
        instance: endpoint.instance,
        address: endpoint.address,
        port: endpoint.port,
        active,
        ejected,
      })),
    })),
  }
}

async function answer(
  pages: Readonly<Record<string, Page>>,
  request: IncomingMessage,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  const page = await pageFor(pages, request).catch((thrown: unknown) => {
    const error = asFairleadError(thrown)
    if (error.code === 'INTERNAL') log.error({ error: thrown }, 'admin page failed')
    return { ...json(error.spec.status, toProblem(error)), type: 'application/problem+json' }
  })
  request.resume()
  response.writeHead(page.status, {
    'content-type': page.type,
    'content-length': Buffer.byteLength(page.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(page.body)
}

async function pageFor(pages: Readonly<Record<string, Page>>, request: IncomingMessage): Promise<Answer> {
  checkCaller(request)
  const path = (request.url ?? '/').split('?', 1)[0]!
  const page = Object.hasOwn(pages, `${request.method} ${path}`) ? pages[`${request.method} ${path}`] : undefined
  if (!page) throw new FairleadError('ROUTE_NOT_FOUND', `The admin listener has no ${request.method} ${path}.`)
  return page()
}

/** @throws FairleadError HOST_NOT_ALLOWED, FOREIGN_ORIGIN */
function checkCaller(request: IncomingMessage): void {
  const host = (request.headers.host ?? '').toLowerCase()
  if (!isLoopback(host)) throw new FairleadError('HOST_NOT_ALLOWED', 'The Host is not a loopback name.')
  const { origin } = request.headers
  if (origin === undefined) return
  if (origin.toLowerCase() !== `http://${host}`)
    throw new FairleadError('FOREIGN_ORIGIN', 'Called from another origin.')
}

function isLoopback(host: string): boolean {
  return LOOPBACK_NAMES.has(host.replace(/:\d{1,5}$/, ''))
}

const json = (status: number, value: unknown): Answer => ({
  status,
  type: 'application/json',
  body: JSON.stringify(value),
})
