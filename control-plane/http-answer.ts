// http-answer.ts — errors and JSON on a bare node:http response (the stream port; the operator API has fastify).

import type { IncomingMessage, ServerResponse } from 'node:http'
import { asFairleadError, FairleadError, toProblem } from '../kernel/errors.ts'

export function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(JSON.stringify(value))
}

/** The client reads the code and our words; the cause goes to the log only. */
export function sendProblem(response: ServerResponse, thrown: unknown, requestId: string): void {
  const error = asFairleadError(thrown)
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  response.writeHead(error.spec.status, {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    ...(error.retryAfterS === undefined ? {} : { 'retry-after': String(error.retryAfterS) }),
    // What is left of a refused body is not read.
    connection: 'close',
  })
  response.end(JSON.stringify(toProblem(error, requestId)))
}

/** @throws FairleadError PAYLOAD_TOO_LARGE; rejects when the request breaks off. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) throw new FairleadError('PAYLOAD_TOO_LARGE', `The body has more than ${bytesMax} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
