// request.ts — one HTTP request to the registry, parsed: path, query, body, and whether it may be here at all.
//
// The registry has no key (Consul's agent has none either), so a browser must not reach it: a foreign Host (DNS
// rebinding) or any Origin is refused.

import type { IncomingMessage } from 'node:http'
import { isLoopbackHost } from '../loopback.ts'
import { parseDuration } from './duration.ts'
import { Refusal } from './refusal.ts'

const BODY_BYTES_MAX = 524_288
const WAIT_MS_DEFAULT = 300_000
const WAIT_MS_MAX = 600_000

export interface RegistryRequest {
  readonly method: string
  /** Decoded segments after /v1. */
  readonly path: readonly string[]
  readonly query: URLSearchParams
  readonly body: Buffer
  /** Index that the caller has seen; 0 = do not wait. */
  readonly index: number
  readonly waitMs: number
}

/** @throws Refusal */
export async function readRequest(incoming: IncomingMessage): Promise<RegistryRequest> {
  if (incoming.headers.origin !== undefined) throw new Refusal(403, 'Permission denied: no browser may call this')
  if (!isLoopbackHost(incoming.headers.host)) throw new Refusal(403, 'Permission denied: foreign Host')
  const url = new URL(incoming.url ?? '/', 'http://registry')
  const query = url.searchParams
  refuseUnserved(query)
  return {
    method: incoming.method ?? 'GET',
    path: pathOf(url.pathname),
    query,
    body: await readBody(incoming),
    index: indexOf(query),
    waitMs: waitOf(query),
  }
}

/** JSON of the body; an empty one is undefined. @throws Refusal in Consul's words. */
export function jsonBody(request: RegistryRequest): unknown {
  if (request.body.length === 0) return undefined
  try {
    return JSON.parse(request.body.toString('utf8')) as unknown
  } catch (error) {
    throw new Refusal(400, `Request decode failed: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Presence is truth: `?passing`, `?passing=1`; only a false value is false, as in Consul. */
export function flagOf(query: URLSearchParams, name: string): boolean {
  const value = query.get(name)
  return value !== null && !/^(?:0|f|false)$/i.test(value)
}

export function unsignedOf(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name)
  if (value === null) return undefined
  if (!/^\d{1,16}$/.test(value)) throw new Refusal(500, `strconv.ParseUint: parsing "${value}": invalid syntax`)
  return Number(value)
}

function pathOf(pathname: string): string[] {
  const parts = pathname.split('/').slice(1)
  if (parts[0] !== 'v1') throw new Refusal(404, '')
  try {
    return parts.slice(1).map(decodeURIComponent)
  } catch {
    throw new Refusal(400, 'Malformed percent-encoding in the path')
  }
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) throw new Refusal(413, `Request body too large, max size: ${BODY_BYTES_MAX} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function indexOf(query: URLSearchParams): number {
  const text = query.get('index')
  if (text === null || text === '') return 0
  if (!/^\d{1,16}$/.test(text)) throw new Refusal(400, 'Invalid index')
  return Number(text)
}

function waitOf(query: URLSearchParams): number {
  const text = query.get('wait')
  if (text === null || text === '') return WAIT_MS_DEFAULT
  const ms = parseDuration(text)
  if (ms === undefined) throw new Refusal(400, 'Invalid wait time')
  return ms <= 0 ? WAIT_MS_DEFAULT : Math.min(ms, WAIT_MS_MAX)
}

function refuseUnserved(query: URLSearchParams): void {
  for (const name of ['filter', 'node-meta', 'near', 'ns', 'partition', 'peer']) {
    if (query.get(name)) throw new Refusal(400, `?${name} is not served by the built-in registry`)
  }
  const dc = query.get('dc')
  if (dc !== null && dc !== '' && dc !== 'dc1') throw new Refusal(500, 'No path to datacenter')
}
