// refusal.ts — the one place of the job API where an error becomes a status: application/problem+json.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { asFairleadError, type ErrorCode, FairleadError, toProblem } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import { LIMITS } from '../contract.ts'

/** More would not be read; the detail says how many there were. */
export const PROBLEMS_MAX = 100

export function refuse(log: Log, thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = fromFastify(thrown)
  const about = { requestId: request.id, code: error.code, detail: error.message, ...error.log }
  if (error.code === 'INTERNAL') log.error({ ...about, error }, 'API request failed')
  else if (error.spec.status >= 500) log.warn(about, 'API request could not be served')
  else log.debug(about, 'API request refused')
  if (error.retryAfterS !== undefined) reply.header('retry-after', String(error.retryAfterS))
  const problem = toProblem(error, request.id)
  return reply
    .code(error.spec.status)
    .type('application/problem+json')
    .send(JSON.stringify({ ...problem, problems: problem.problems.slice(0, PROBLEMS_MAX) }))
}

const FASTIFY_CODES: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'INVALID_JSON',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'INVALID_JSON',
  FST_ERR_CTP_INVALID_JSON_BODY: 'INVALID_JSON',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_REQUEST',
  FST_ERR_BAD_URL: 'BAD_REQUEST',
}

function fromFastify(thrown: unknown): FairleadError {
  if (thrown instanceof FairleadError || !(thrown instanceof Error)) return asFairleadError(thrown)
  const code = (thrown as Error & { code?: string }).code ?? ''
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new FairleadError('PAYLOAD_TOO_LARGE', `The body has more than ${LIMITS.bodyBytesMax} bytes.`)
  }
  return asFairleadError(thrown, FASTIFY_CODES[code] ?? 'INTERNAL')
}
