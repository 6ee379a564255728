// server.ts — the operator API: fastify on loopback, key in X-API-Key, problem+json for every refusal.
//
// Order of the guard: Host (DNS rebinding) → Origin (a foreign page) → key. /healthz, /readyz and /metrics need no key
// (they show no names of tenants and change nothing), but Host and Origin are checked there too.

import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Clock } from '../../kernel/clock.ts'
import { asFairleadError, type ErrorCode, FairleadError, toProblem } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import { type Random, uuidv7 } from '../../kernel/random.ts'
import { listenError } from '../listening.ts'
import { isLoopbackHost, type Listen } from '../loopback.ts'
import type { Metrics } from '../metrics.ts'
import type { ApiKey } from './api-key.ts'
import { addRoutes, type RouteParts } from './routes.ts'

const BODY_BYTES_MAX = 32 * 1024 * 1024
const REQUEST_MS_MAX = 30_000
const OPEN_PATHS: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics'])

export interface ApiOptions extends RouteParts {
  readonly listen: Listen
  readonly key: ApiKey
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface Api extends Closable {
  readonly port: number
}

export async function startApi(options: ApiOptions): Promise<Api> {
  const { clock, random, listen, metrics } = options
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    forceCloseConnections: true,
    genReqId: () => uuidv7(clock.wall(), random),
    routerOptions: { ignoreTrailingSlash: false },
  })
  app.removeContentTypeParser('text/plain') // JSON only: what a plain HTML form can send is refused
  app.addHook('onRequest', async (request) => guard(options, request))
  app.addHook('onSend', async (request, reply) => {
    reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  })
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown'
    metrics.apiRequests.labels(request.method, route, String(reply.statusCode)).inc()
  })
  app.setErrorHandler((error, request, reply) => refuse(options.log, error, request, reply))
  app.setNotFoundHandler((request, reply) => {
    const error = new FairleadError('ROUTE_NOT_FOUND', `${request.method} ${request.url} is not part of this API.`)
    return refuse(options.log, error, request, reply)
  })
  addRoutes(app, options)
  try {
    await app.listen({ host: listen.host, port: listen.port })
  } catch (error) {
    await app.close()
    throw listenError(error, listen)
  }
  return { port: portOf(app), close: () => app.close() }
}

/** @throws FairleadError HOST_NOT_ALLOWED, FOREIGN_ORIGIN, UNAUTHENTICATED */
function guard(options: ApiOptions, request: FastifyRequest): void {
  const { host, origin } = request.headers
  if (!isLoopbackHost(host)) throw new FairleadError('HOST_NOT_ALLOWED', 'This API is called by a loopback name only.')
  if (origin !== undefined && origin !== `http://${host}`) {
    throw new FairleadError('FOREIGN_ORIGIN', 'Pages of another origin may not call this API.')
  }
  if (OPEN_PATHS.has(request.url.split('?', 1)[0]!)) return
  if (!options.key.matches(request.headers['x-api-key'])) {
    throw new FairleadError('UNAUTHENTICATED', 'The header X-API-Key is missing or wrong.')
  }
}

function refuse(log: Log, thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = fromFastify(thrown)
  const about = { requestId: request.id, code: error.code, detail: error.message, ...error.log }
  if (error.spec.status >= 500) log.error({ ...about, error }, 'API request failed')
  else log.info(about, 'API request refused')
  if (error.retryAfterS !== undefined) reply.header('retry-after', String(error.retryAfterS))
  return reply
    .code(error.spec.status)
    .type('application/problem+json')
    .send(JSON.stringify(toProblem(error, request.id)))
}

const FASTIFY_CODES: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'PAYLOAD_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'INVALID_JSON',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'INVALID_JSON',
  FST_ERR_CTP_INVALID_JSON_BODY: 'INVALID_JSON',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_REQUEST',
  FST_ERR_BAD_URL: 'BAD_REQUEST',
}

function fromFastify(thrown: unknown): FairleadError {
  if (thrown instanceof FairleadError || !(thrown instanceof Error)) return asFairleadError(thrown)
  const code = FASTIFY_CODES[(thrown as Error & { code?: string }).code ?? '']
  if (code !== undefined) return asFairleadError(thrown, code)
  return asFairleadError(thrown, thrown instanceof SyntaxError ? 'INVALID_JSON' : 'INTERNAL')
}

function portOf(app: FastifyInstance): number {
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}
