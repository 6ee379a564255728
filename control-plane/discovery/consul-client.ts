// consul-client.ts — the `consul` package behind one typed call: a blocking query with an abort signal.
//
// The package's types leave out what its watches use (index, wait, ctx); this is the one place that knows them.

import { EventEmitter } from 'node:events'
import Consul from 'consul'
import { FairleadError } from '../../kernel/errors.ts'
import { z } from '../../kernel/parse.ts'

export interface BlockingRead {
  readonly index: number
  readonly data: unknown
}

export interface ReadOptions {
  /** Index seen last; 0 = answer at once. */
  readonly index: number
  readonly waitMs: number
  readonly signal: AbortSignal
}

export interface ConsulClient {
  services(options: ReadOptions): Promise<BlockingRead>
  health(service: string, options: ReadOptions): Promise<BlockingRead>
  close(): void
}

/** Beyond the wait: Consul spreads the end of waits by a sixteenth, and an answer needs its time. */
const TIMEOUT_SLACK_MS = 5_000

/** An emitter as the package wants it: `cancel` aborts the request, the flag asks for the response too. */
class Context extends EventEmitter {
  readonly includeResponse = true
}

type Method = (options: Record<string, unknown>) => Promise<unknown>
const ResponseSchema = z.tuple([z.object({ headers: z.record(z.string(), z.unknown()) }), z.unknown()])

/** @throws FairleadError INVALID_INPUT when it is not an http(s) URL. */
export function createConsulClient(url: string): ConsulClient {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (!parsed || !/^https?:$/.test(parsed.protocol)) {
    throw new FairleadError('INVALID_INPUT', `Consul address ${JSON.stringify(url)} is not an http(s) URL.`)
  }
  const secure = parsed.protocol === 'https:'
  const port = Number(parsed.port || (secure ? 443 : 80))
  const consul = new Consul({ host: parsed.hostname, port, secure })
  const list: Method = (options) => consul.catalog.service.list(options as never)
  const service: Method = (options) => consul.health.service(options as never)
  return {
    services: (options) => read(list, {}, options),
    health: (name, options) => read(service, { service: name }, options),
    close: () => consul.destroy(),
  }
}

async function read(method: Method, query: Record<string, unknown>, options: ReadOptions): Promise<BlockingRead> {
  const ctx = new Context()
  const abort = (): void => void ctx.emit('cancel')
  options.signal.throwIfAborted()
  options.signal.addEventListener('abort', abort, { once: true })
  const blocking = options.index > 0 ? { index: String(options.index), wait: `${options.waitMs}ms` } : {}
  const timeout = Math.ceil(options.waitMs * (1 + 1 / 16)) + TIMEOUT_SLACK_MS
  try {
    const answer = ResponseSchema.parse(await method({ ...query, ...blocking, timeout, ctx }))
    return { index: indexOf(answer[0].headers['x-consul-index']), data: answer[1] }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FairleadError('REGISTRY_UNREACHABLE', `The registry did not answer: ${why}`, { cause })
  } finally {
    options.signal.removeEventListener('abort', abort)
  }
}

function indexOf(header: unknown): number {
  const index = Number(header)
  if (!Number.isSafeInteger(index) || index <= 0) throw new Error(`X-Consul-Index is ${String(header)}`)
  return index
}
