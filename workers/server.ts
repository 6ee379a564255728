// server.ts — the worker's HTTP side: dispatch, attach, ack, cancel (docs/dispatch.md §2, §3), health and metrics.
//
// Reached through the worker's own sidecar, which decides who may call. A browser is refused here all the same: an
// `Origin` header, or a body that is not declared as (ND)JSON, gets no further.
// Never: knows what an attempt does; attempts.ts does.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Clock } from '../kernel/clock.ts'
import { asFairleadError, FairleadError, toProblem } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Registry } from '../kernel/metrics.ts'
import { parseJson } from '../kernel/parse.ts'
import { parseTraceparent } from '../kernel/tracing.ts'
import { type AttemptTable, keyOf } from './attempts.ts'
import {
  ACK_PATH,
  ATTACH_PATH,
  CANCEL_PATH,
  DISPATCH_JOBS_MAX,
  DISPATCH_PATH,
  type DispatchJob,
  parseAck,
  parseAttach,
  parseCancel,
  parseDispatchJob,
  type RefusalReason,
} from './contract.ts'
import type { WorkerMetrics } from './metrics.ts'
import { EventStream } from './stream.ts'

export const DISPATCH_BODY_BYTES_MAX = 64 * 1024 * 1024
const JSON_BODY_BYTES_MAX = 2 * 1024 * 1024
const HEAD_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 60_000
/** Longer than a sidecar keeps an idle connection, so that it is never we who close under a request. */
const KEEP_ALIVE_MS = 120_000

/** `none` before the first session, `fenced` when ours may have ended: then nothing may start. */
export type SessionView =
  | { readonly kind: 'none' }
  | { readonly kind: 'fenced' }
  | { readonly kind: 'held'; readonly session: string }

export interface WorkerServerParts {
  readonly table: AttemptTable
  readonly clock: Clock
  readonly log: Log
  readonly registry: Registry
  readonly metrics: WorkerMetrics
  draining(): boolean
  session(): SessionView
}

type Route = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void

export function createWorkerServer(parts: WorkerServerParts): Server {
  const routes = routesOf(parts)
  const server = createServer((request, response) => {
    void answer(routes, request, response, parts.log)
  })
  server.headersTimeout = HEAD_TIMEOUT_MS
  server.requestTimeout = REQUEST_TIMEOUT_MS
  server.keepAliveTimeout = KEEP_ALIVE_MS
  return server
}

function routesOf(parts: WorkerServerParts): ReadonlyMap<string, Route> {
  return new Map<string, Route>([
    [`POST ${DISPATCH_PATH}`, (request, response) => dispatch(parts, request, response)],
    [`POST ${ATTACH_PATH}`, (request, response) => attach(parts, request, response)],
    [`POST ${ACK_PATH}`, (request, response) => ack(parts, request, response)],
    [`POST ${CANCEL_PATH}`, (request, response) => cancel(parts, request, response)],
    ['GET /healthz', (_request, response) => void text(response, 200, 'ok\n')],
    ['GET /readyz', (_request, response) => ready(parts, response)],
    ['GET /metrics', (_request, response) => showMetrics(parts, response)],
  ])
}

async function answer(
  routes: ReadonlyMap<string, Route>,
  request: IncomingMessage,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  try {
    if (request.headers.origin !== undefined) throw new FairleadError('FOREIGN_ORIGIN', 'A worker answers no browser.')
    const path = (request.url ?? '').split('?', 1)[0]!
    const route = routes.get(`${request.method} ${path}`)
    if (!route) return void text(response, 404, 'not found\n')
    await route(request, response)
  } catch (thrown) {
    fail(response, thrown, log)
  }
}

async function dispatch(parts: WorkerServerParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const jobs = parseJobs(await bodyOf(request, 'application/x-ndjson', DISPATCH_BODY_BYTES_MAX))
  const stream = openStream(parts, response)
  for (const job of inTraceOf(request.headers['traceparent'], jobs)) {
    stream.expect(keyOf(job))
    const reason = refusalOf(parts, job) ?? parts.table.accept(job, stream)
    if (reason === undefined) continue
    parts.metrics.refused(reason)
    stream.refuse(job, reason)
  }
  stream.complete()
}

/** Jobs of the request's own trace hang below its last hop, the others below their submission. */
function inTraceOf(header: string | string[] | undefined, jobs: readonly DispatchJob[]): readonly DispatchJob[] {
  const traceparent = typeof header === 'string' ? header : undefined
  const hop = parseTraceparent(traceparent)
  if (!hop) return jobs
  return jobs.map((job) => (parseTraceparent(job.traceparent)?.traceId === hop.traceId ? { ...job, traceparent } : job))
}

function refusalOf(parts: WorkerServerParts, job: DispatchJob): RefusalReason | undefined {
  if (parts.draining()) return 'draining'
  const held = parts.session()
  if (held.kind === 'fenced') return 'wrong-session'
  if (job.session !== undefined && (held.kind === 'none' || held.session !== job.session)) return 'wrong-session'
  return undefined
}

async function attach(parts: WorkerServerParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { session } = parseAttach(await jsonOf(request))
  const held = parts.session()
  if (held.kind !== 'held' || held.session !== session) {
    throw new FairleadError('SESSION_UNKNOWN', 'This worker holds another session.')
  }
  const stream = openStream(parts, response)
  for (const ref of parts.table.running()) {
    stream.expect(keyOf(ref))
    parts.table.listen(ref, stream)
    stream.write({ t: 'running', ...ref })
  }
  for (const result of parts.table.results()) stream.write(result)
  stream.write({ t: 'attached', session })
  stream.complete()
}

async function ack(parts: WorkerServerParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  parts.table.ack(parseAck(await jsonOf(request)).results)
  response.writeHead(204).end()
}

async function cancel(parts: WorkerServerParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { job, token, reason } = parseCancel(await jsonOf(request))
  const found = parts.table.stop({ job, token }, reason)
  text(response, found ? 202 : 404, found ? 'stopping\n' : 'no such attempt runs here\n')
}

function ready(parts: WorkerServerParts, response: ServerResponse): void {
  const draining = parts.draining()
  text(response, draining ? 503 : 200, draining ? 'draining\n' : 'ready\n')
}

async function showMetrics(parts: WorkerServerParts, response: ServerResponse): Promise<void> {
  const body = await parts.registry.metrics()
  response.writeHead(200, { 'content-type': parts.registry.contentType }).end(body)
}

function openStream(parts: WorkerServerParts, response: ServerResponse): EventStream {
  return new EventStream({
    response,
    clock: parts.clock,
    freeSlots: () => parts.table.freeSlots,
    onClose: (stream) => parts.table.forget(stream),
  })
}

/** @throws FairleadError: one bad line refuses the request, before anything has run. */
function parseJobs(body: Buffer): DispatchJob[] {
  const lines = body.toString('utf8').split('\n')
  if (lines.at(-1) === '') lines.pop()
  if (lines.length === 0 || lines.length > DISPATCH_JOBS_MAX) {
    throw new FairleadError(
      'INVALID_INPUT',
      `A dispatch has 1 … ${DISPATCH_JOBS_MAX} lines; this one has ${lines.length}.`,
    )
  }
  return lines.map(parseDispatchJob)
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  return parseJson(await bodyOf(request, 'application/json', JSON_BODY_BYTES_MAX), 'body', JSON_BODY_BYTES_MAX)
}

async function bodyOf(request: IncomingMessage, type: string, bytesMax: number): Promise<Buffer> {
  const declared = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (declared !== type) throw new FairleadError('INVALID_INPUT', `content-type must be ${type}`)
  const tooLarge = (): FairleadError =>
    new FairleadError('PAYLOAD_TOO_LARGE', `At most ${bytesMax} bytes of body are taken.`)
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge()
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function text(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(body)
}

function fail(response: ServerResponse, thrown: unknown, log: Log): void {
  const error = asFairleadError(thrown)
  if (error.code === 'INTERNAL') log.error({ error: thrown }, 'request failed')
  if (response.headersSent || response.destroyed) return void response.destroy()
  const body = JSON.stringify(toProblem(error))
  response.writeHead(error.spec.status, { 'content-type': 'application/problem+json', connection: 'close' }).end(body)
}
