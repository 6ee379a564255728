// answer.ts — an error of ours → the response that says so (problem document, RFC 9457). Used by the rescue layer only.

import { type FairleadError, toProblem } from '../../kernel/errors.ts'
import type { Channel } from '../listen/channel.ts'

/** Sends the answer and ends the response. Returns the bytes of its body. `extra` = further field lines. */
export function answerError(channel: Channel, error: FairleadError, requestId: string, extra: string): number {
  const body = Buffer.from(JSON.stringify(toProblem(error, requestId)))
  const fields = ['content-type', 'application/problem+json', 'fairlead-error', error.code]
  if (error.retryAfterS !== undefined) fields.push('retry-after', String(Math.max(1, Math.ceil(error.retryAfterS))))
  return answerBody(channel, error.spec.status, fields, body, extra)
}

export function answerJson(channel: Channel, status: number, value: unknown): number {
  if (value === undefined) return answerBody(channel, status, [], Buffer.alloc(0), '')
  return answerBody(channel, status, ['content-type', 'application/json'], Buffer.from(JSON.stringify(value)), '')
}

export function answerBody(channel: Channel, status: number, fields: string[], body: Buffer, extra: string): number {
  channel.respond({ status, fields, body: body.length }, extra)
  if (body.length > 0) channel.write(body, 0, body.length)
  channel.end()
  return body.length
}
