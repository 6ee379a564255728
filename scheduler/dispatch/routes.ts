// routes.ts — the worker session endpoints, for the scheduler's HTTP server.
//
// They are called through the mesh: identity comes from our own sidecar (peer.ts), never from the body.

import type { FastifyInstance } from 'fastify'
import { asFairleadError, FairleadError, toProblem } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import { parseWith } from '../../kernel/parse.ts'
import {
  HEARTBEAT_PATH,
  type HeartbeatAnswer,
  LEAVE_PATH,
  LeaveSchema,
  parseHeartbeat,
  parseSessionRequest,
  SESSION_PATH,
  SESSION_TTL_MS,
  type WorkerResult,
} from '../../workers/contract.ts'
import { parsePeer } from './peer.ts'
import type { Sessions, WorkerSession } from './sessions.ts'

const PEER_HEADER = 'x-forwarded-client-cert'
const BODY_BYTES_MAX = 16 * 1024 * 1024

export interface SessionRoutes {
  readonly sessions: Sessions
  readonly log: Log
  /** Results that come with a leave; resolves when they are durable. */
  lastWords(session: WorkerSession, results: readonly WorkerResult[]): Promise<void>
  /** Of the attempts that the worker runs, those that are not (any more) this session's. */
  strangers(session: WorkerSession, running: readonly Ref[]): Ref[]
}

interface Ref {
  readonly job: string
  readonly token: string
}

export function addSessionRoutes(app: FastifyInstance, parts: SessionRoutes): void {
  const { sessions, log } = parts
  void app.register(async (scope: FastifyInstance) => {
    scope.setErrorHandler((thrown, _request, reply) => {
      const error = fromFastify(thrown)
      if (error.code === 'INTERNAL') log.error({ error: thrown }, 'worker session call failed')
      return reply.code(error.spec.status).type('application/problem+json').send(toProblem(error))
    })
    scope.post(SESSION_PATH, { bodyLimit: BODY_BYTES_MAX }, (request) =>
      sessions.register(parseSessionRequest(request.body), parsePeer(request.headers[PEER_HEADER])),
    )
    scope.post(HEARTBEAT_PATH, { bodyLimit: BODY_BYTES_MAX }, async (request): Promise<HeartbeatAnswer> => {
      const beat = parseHeartbeat(request.body)
      const session = sessions.heartbeat(beat, parsePeer(request.headers[PEER_HEADER]))
      return { ttlMs: SESSION_TTL_MS, stop: parts.strangers(session, beat.running) }
    })
    scope.post(LEAVE_PATH, { bodyLimit: BODY_BYTES_MAX }, async (request, reply) => {
      const { session, results } = parseWith(LeaveSchema, request.body, 'leave', 'INVALID_INPUT')
      const peer = parsePeer(request.headers[PEER_HEADER])
      await parts.lastWords(sessions.known(session, peer), results)
      await sessions.leave(session, peer)
      return reply.code(204).send()
    })
  })
}

/** Fastify's own refusals (bad JSON, too long) are the caller's, not ours. */
function fromFastify(thrown: unknown): FairleadError {
  if (thrown instanceof FairleadError) return thrown
  const status = thrown instanceof Error && 'statusCode' in thrown ? thrown.statusCode : undefined
  if (status === 413)
    return new FairleadError('PAYLOAD_TOO_LARGE', `At most ${BODY_BYTES_MAX} bytes of body are taken.`)
  if (typeof status === 'number' && status < 500) return new FairleadError('INVALID_JSON', (thrown as Error).message)
  return asFairleadError(thrown)
}
