// server.ts — the job API: fastify on loopback. The guard runs before the body is read; refusal.ts alone picks statuses.

import { isUtf8 } from 'node:buffer'
import fastify, { type FastifyInstance } from 'fastify'
import { FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { Registry } from '../../kernel/metrics.ts'
import { parseJson } from '../../kernel/parse.ts'
import { uuidv7 } from '../../kernel/random.ts'
import { LIMITS } from '../contract.ts'
import { addEventRoutes } from './events.ts'
import { type ApiKey, guard } from './guard.ts'
import { addJobRoutes, type JobParts } from './job-routes.ts'
import { pooled } from './random-pool.ts'
import { refuse } from './refusal.ts'
import { addSubmitRoutes, type SubmitParts } from './submit-routes.ts'

const REQUEST_MS_MAX = 30_000
const KEEP_ALIVE_MS = 72_000

export interface ApiOptions extends SubmitParts, JobParts {
  readonly host: string
  readonly port: number
  readonly key: ApiKey
  readonly registry: Registry
  readonly log: Log
  /** Further routes on the same server: the worker session endpoints. */
  readonly routes: (app: FastifyInstance) => void
}

export interface Api extends Closable {
  readonly port: number
}

/** Resolves when the port is open. @throws FairleadError PORT_IN_USE */
export async function startApi(options: ApiOptions): Promise<Api> {
  const { clock, log, host, port } = options
  const random = pooled(options.random)
  const app = fastify({
    logger: false,
    bodyLimit: LIMITS.bodyBytesMax,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    genReqId: () => uuidv7(clock.wall(), random),
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
    parseBody(body),
  )
  app.addHook('onRequest', async (request) => guard(options.key, request))
  app.addHook('onSend', async (request, reply) => {
    reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  })
  app.setErrorHandler((error, request, reply) => refuse(log, error, request, reply))
  app.setNotFoundHandler((request, reply) => {
    const error = new FairleadError('ROUTE_NOT_FOUND', `${request.method} ${request.url} is not part of this API.`)
    return refuse(log, error, request, reply)
  })
  addOwnRoutes(app, options.registry)
  addSubmitRoutes(app, { ...options, random })
  addJobRoutes(app, options)
  const closeEvents = addEventRoutes(app, options)
  options.routes(app)
  await listen(app, host, port)
  return {
    port: portOf(app),
    async close() {
      closeEvents()
      await app.close()
    },
  }
}

/** Bytes that are not UTF-8 would be stored as something else than was sent: refused. */
function parseBody(body: Buffer): unknown {
  if (body.length === 0) return undefined
  if (!isUtf8(body)) throw new FairleadError('INVALID_JSON', 'The body is not UTF-8.')
  return parseJson(body, 'The body', LIMITS.bodyBytesMax)
}

function addOwnRoutes(app: FastifyInstance, registry: Registry): void {
  app.get('/healthz', async () => ({ status: 'ok' }))
  // Open jobs were loaded before the port was opened: listening is being ready.
  app.get('/readyz', async () => ({ ready: true, reasons: [] }))
  app.get('/metrics', async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()))
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause
    throw new FairleadError('PORT_IN_USE', `${host}:${port} is in use by another process.`, { cause })
  }
}

function portOf(app: FastifyInstance): number {
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}
