// client.ts — submits jobs with the types of their handlers: `createClient<typeof handlers>({ api, apiKey })`.
//
// Imports only types of the handlers, so that a submitter does not load the workers' code. One POST a call; a failed
// call with an idempotency key may be repeated unchanged.

import { request } from 'undici'
import { FairleadError } from '../kernel/errors.ts'
import { parseJson, parseWith, z } from '../kernel/parse.ts'
import type { AnyHandler, PayloadOf, TypeOf } from './handler.ts'

export interface ClientOptions {
  /** Origin of the scheduler's API, e.g. `http://127.0.0.1:8080`. */
  readonly api: string
  readonly apiKey: string
}

export interface SubmitOptions {
  readonly queue?: string
  readonly class?: 'critical' | 'high' | 'normal' | 'low'
  /** RFC 3339. */
  readonly runAt?: string
  readonly deadline?: string
  readonly idempotencyKey?: string
  readonly executionTimeoutMs?: number
  readonly heartbeatTimeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
}

export interface Submitted {
  readonly id: string
  /** False: the idempotency key was known, this is the first job's id. */
  readonly created: boolean
  readonly warnings: readonly string[]
}

export interface Client<Handlers extends readonly AnyHandler[]> {
  submit<Type extends TypeOf<Handlers[number]>>(
    type: Type,
    payload: PayloadOf<Extract<Handlers[number], { readonly type: Type }>>,
    options?: SubmitOptions,
  ): Promise<Submitted>
}

const SUBMIT_TIMEOUT_MS = 30_000
const AnswerSchema = z.object({ id: z.string(), created: z.boolean(), warnings: z.array(z.string()) })
const ProblemSchema = z.object({ code: z.string(), detail: z.string() })

export function createClient<Handlers extends readonly AnyHandler[]>(options: ClientOptions): Client<Handlers> {
  return {
    async submit(type, payload, extra = {}) {
      const answer = await request(new URL('/api/v1/jobs', options.api), {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': options.apiKey },
        body: JSON.stringify({ type, payload, ...extra }),
        headersTimeout: SUBMIT_TIMEOUT_MS,
        bodyTimeout: SUBMIT_TIMEOUT_MS,
      })
      const body = parseJson(await answer.body.text(), 'answer of the job API')
      if (answer.statusCode >= 300) throw refusal(answer.statusCode, body)
      return parseWith(AnswerSchema, body, 'answer of the job API')
    },
  }
}

function refusal(status: number, body: unknown): FairleadError {
  const problem = ProblemSchema.safeParse(body)
  const detail = problem.success ? `${problem.data.code}: ${problem.data.detail}` : 'no problem document'
  const code = status === 401 ? 'UNAUTHENTICATED' : status >= 500 ? 'UNREACHABLE' : 'INVALID_INPUT'
  return new FairleadError(code, `The job API answered ${status}: ${detail}`)
}
