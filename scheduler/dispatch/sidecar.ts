// sidecar.ts — HTTP to our own sidecar: its local surface, and anything that goes through it into the mesh.
//
// One undici agent, HTTP/1.1, one request a connection. A mesh service is named by the Host header; the sidecar
// routes by it. Every answer is read to its end or its connection is given up.

import type { Readable } from 'node:stream'
import { Agent, type Dispatcher } from 'undici'
import { DEFAULT_NAMESPACE } from '../../kernel/authority.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import {
  OUTCOME_PATH,
  type OutcomeReport,
  parseQuote,
  parseSelf,
  QUOTE_PATH,
  type Quote,
  type QuoteRequest,
  SELF_PATH,
  type Self,
} from '../../kernel/local-surface.ts'
import { parseJson } from '../../kernel/parse.ts'

const CALL_TIMEOUT_MS = 5_000
const CONNECT_TIMEOUT_MS = 2_000
const ANSWER_BYTES_MAX = 4 * 1024 * 1024
/** Connections to the sidecar: one per open stream, so at least the slots of all workers. */
const CONNECTIONS_MAX = 4_096

export interface MeshCall {
  readonly authority: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
  readonly contentType: string
  readonly signal: AbortSignal
  readonly headersTimeoutMs: number
  /** Between two chunks of the answer. */
  readonly idleTimeoutMs: number
}

export interface MeshAnswer {
  readonly status: number
  header(name: string): string | undefined
  readonly body: Readable
}

export interface Sidecar extends Closable {
  self(signal: AbortSignal): Promise<Self>
  quote(request: QuoteRequest): Promise<Quote>
  report(report: Partial<OutcomeReport>): Promise<void>
  /** POST through the mesh; rejects with UNREACHABLE when nothing can have been sent, else with the transport's error. */
  post(call: MeshCall): Promise<MeshAnswer>
}

export const meshAuthority = (service: string, namespace: string): string =>
  namespace === DEFAULT_NAMESPACE ? `${service}.mesh` : `${service}.${namespace}.mesh`

export function createSidecar(origin: string): Sidecar {
  const connect = { timeout: CONNECT_TIMEOUT_MS }
  const agent = new Agent({ allowH2: false, pipelining: 1, connections: CONNECTIONS_MAX, connect })
  const call = (request: Omit<Dispatcher.RequestOptions, 'origin'>): Promise<unknown> => local(agent, origin, request)
  const json = { 'content-type': 'application/json' }
  return {
    self: async (signal) => parseSelf(await call({ method: 'GET', path: SELF_PATH, signal })),
    quote: async (request) =>
      parseQuote(await call({ method: 'POST', path: QUOTE_PATH, headers: json, body: JSON.stringify(request) })),
    async report(report) {
      await call({ method: 'POST', path: OUTCOME_PATH, headers: json, body: JSON.stringify(report) })
    },
    post: (request) => post(agent, origin, request),
    close: () => agent.destroy(),
  }
}

async function local(
  agent: Agent,
  origin: string,
  request: Omit<Dispatcher.RequestOptions, 'origin'>,
): Promise<unknown> {
  const timeouts = { headersTimeout: CALL_TIMEOUT_MS, bodyTimeout: CALL_TIMEOUT_MS }
  const answer = await agent.request({ ...request, ...timeouts, origin })
  const text = await textOf(answer.body, ANSWER_BYTES_MAX)
  if (answer.statusCode >= 300) {
    throw new FairleadError('UNREACHABLE', `The sidecar answered ${answer.statusCode} to ${request.path}.`, {
      log: { answer: text.slice(0, 500) },
    })
  }
  return text === '' ? undefined : parseJson(text, `answer of ${request.path}`)
}

async function post(agent: Agent, origin: string, call: MeshCall): Promise<MeshAnswer> {
  try {
    const answer = await agent.request({
      origin,
      method: 'POST',
      path: call.path,
      headers: { ...call.headers, host: call.authority, 'content-type': call.contentType },
      body: call.body,
      signal: call.signal,
      headersTimeout: call.headersTimeoutMs,
      bodyTimeout: call.idleTimeoutMs,
    })
    const header = (name: string): string | undefined => {
      const value = answer.headers[name]
      return Array.isArray(value) ? value[0] : value
    }
    return { status: answer.statusCode, header, body: answer.body }
  } catch (thrown) {
    if (neverSent(thrown)) throw asFairleadError(thrown, 'UNREACHABLE')
    throw thrown
  }
}

function neverSent(thrown: unknown): boolean {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  return code === 'ECONNREFUSED' || code === 'UND_ERR_CONNECT_TIMEOUT'
}

/** @throws FairleadError PAYLOAD_TOO_LARGE past `bytesMax` */
export async function textOf(body: Readable, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) throw new FairleadError('PAYLOAD_TOO_LARGE', `The answer has more than ${bytesMax} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
