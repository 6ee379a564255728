// events.ts — GET /api/v1/events: state changes of jobs as they become durable, by server-sent events.
//
// Live only: a client that comes back reads the list and goes on from there. A client that does not read is cut off
// when BACKLOG_BYTES_MAX wait for it; at most CLIENTS_MAX listen at once.

import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { JobChange, JobLeader } from '../leader/job-leader.ts'
import { DEFAULT_TENANT } from './guard.ts'

const CLIENTS_MAX = 100
const BACKLOG_BYTES_MAX = 1024 * 1024
const PING_MS = 15_000

export interface EventParts {
  readonly leader: JobLeader
  readonly clock: Clock
}

/** Returns the way to end all streams. */
export function addEventRoutes(app: FastifyInstance, parts: EventParts): () => void {
  const clients = new Set<ServerResponse>()
  app.get('/api/v1/events', (_request, reply) => {
    if (clients.size >= CLIENTS_MAX) {
      throw new FairleadError('OVERLOADED', `At most ${CLIENTS_MAX} clients listen to events.`)
    }
    reply.hijack()
    stream(reply.raw, clients, parts)
  })
  return () => {
    for (const client of clients) client.end()
  }
}

function stream(client: ServerResponse, clients: Set<ServerResponse>, { leader, clock }: EventParts): void {
  client.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  client.write(': open\n\n')
  clients.add(client)
  const send = (text: string): void => {
    if (client.writableLength > BACKLOG_BYTES_MAX) client.destroy()
    else client.write(text)
  }
  const stop = leader.onChange((change) => {
    if (change.tenant === DEFAULT_TENANT) send(format(change))
  })
  const ping = clock.every(PING_MS, () => send(': ping\n\n'))
  client.once('close', () => {
    clients.delete(client)
    stop()
    ping.cancel()
  })
}

const format = ({ id, type, state }: JobChange): string =>
  `event: job\ndata: ${JSON.stringify({ id, type, state })}\n\n`
