// client.ts — HTTP calls of the command line: loopback APIs with the key of a data directory.
//
// Owns: one undici agent (keep-alive), the mapping of problem documents back to FairleadError, and of refused
// connections to UNREACHABLE. Never: follows redirects, sends the key anywhere but to the origin it was opened for.

import { Agent, type Dispatcher, request } from 'undici'
import { ERRORS, type ErrorCode, FairleadError, type Problem } from '../kernel/errors.ts'
import { parseJson, z } from '../kernel/parse.ts'

export const ANSWER_BYTES_MAX = 256 * 1024 * 1024
const CONNECTIONS = 16

export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

export interface ApiClient {
  readonly origin: string
  /** Parsed JSON of a 2xx answer; null when it has no body. @throws FairleadError of the problem document. */
  call(path: string, options?: Call): Promise<unknown>
  close(): Promise<void>
}

const CALL_TIMEOUT_MS = 30_000
const ProblemSchema = z.object({
  code: z.string(),
  detail: z.string().default(''),
  problems: z.array(z.object({ path: z.string(), message: z.string() })).default([]),
})

export function openClient(origin: string, apiKey: string): ApiClient {
  const agent = new Agent({ connections: CONNECTIONS, allowH2: false })
  return {
    origin,
    close: () => agent.close(),
    async call(path, options = {}) {
      const answer = await send(agent, origin, path, options, apiKey)
      const text = await answer.body.text()
      if (answer.statusCode >= 200 && answer.statusCode < 300) {
        return text === '' ? null : parseJson(text, `answer of ${path}`, ANSWER_BYTES_MAX)
      }
      throw problemOf(answer.statusCode, text, `${options.method ?? 'GET'} ${path}`)
    },
  }
}

async function send(
  agent: Agent,
  origin: string,
  path: string,
  options: Call,
  apiKey: string,
): Promise<Dispatcher.ResponseData> {
  const limit = options.timeoutMs ?? CALL_TIMEOUT_MS
  try {
    return await request(`${origin}${path}`, {
      dispatcher: agent,
      method: options.method ?? 'GET',
      headers: {
        'x-api-key': apiKey,
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      body: options.body === undefined ? null : JSON.stringify(options.body),
      headersTimeout: limit,
      bodyTimeout: limit,
    })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FairleadError('UNREACHABLE', `${origin} does not answer: ${why}`, { cause })
  }
}

function problemOf(status: number, text: string, what: string): FairleadError {
  const parsed = ProblemSchema.safeParse(jsonOrNull(text))
  if (!parsed.success || !isCode(parsed.data.code)) {
    return new FairleadError('INTERNAL', `${what} answered ${status}.`, {
      cause: new Error(`${what} answered ${status}: ${text.slice(0, 300)}`),
    })
  }
  const { code, detail, problems } = parsed.data
  return new FairleadError(code as ErrorCode, detail, { problems: problems satisfies Problem[] })
}

const isCode = (code: string): boolean => Object.hasOwn(ERRORS, code)

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return null // not a problem document: the caller says so with the status
  }
}
