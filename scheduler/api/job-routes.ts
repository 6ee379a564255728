// job-routes.ts — reading, cancelling and retrying jobs; summary and workers.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { Job } from '../contract.ts'
import type { JobLeader } from '../leader/job-leader.ts'
import { isTerminal } from '../states.ts'
import type { JobStore } from '../store/contract.ts'
import { DEFAULT_TENANT } from './guard.ts'
import { closeCursor, parseIfMatch, parseList, parseLogs, parseSummaryLabel, parseWait } from './query.ts'

export interface JobParts {
  readonly leader: JobLeader
  readonly store: JobStore
  readonly clock: Clock
  /** Worker sessions as the dispatcher sees them. */
  workers(): readonly unknown[]
}

type ById = { Params: { id: string } }

export function addJobRoutes(app: FastifyInstance, parts: JobParts): void {
  const { store, leader } = parts
  for (const noun of ['jobs', 'tasks']) {
    const base = `/api/v1/${noun}`
    app.get(base, async (request) => {
      const page = await store.list(parseList(request.query, DEFAULT_TENANT))
      return { jobs: page.jobs, cursor: closeCursor(page.cursor) }
    })
    app.get<ById>(`${base}/:id`, (request, reply) => getJob(parts, request, reply))
    app.get<ById>(`${base}/:id/attempts`, async (request) => {
      const attempts = await store.attempts(DEFAULT_TENANT, request.params.id)
      if (attempts.length === 0) await mustExist(store, request.params.id)
      return { attempts }
    })
    app.get<ById>(`${base}/:id/logs`, async (request) => {
      const { after, limit } = parseLogs(request.query)
      const logs = await store.logs(DEFAULT_TENANT, request.params.id, after, limit)
      if (logs.length === 0) await mustExist(store, request.params.id)
      return { logs, after: logs.at(-1)?.id ?? after }
    })
    app.post<ById>(`${base}/:id/cancel`, async (request, reply) => {
      await leader.cancel(DEFAULT_TENANT, request.params.id, parseIfMatch(request.headers['if-match']))
      return changed(parts, request, reply)
    })
    app.post<ById>(`${base}/:id/retry`, async (request, reply) => {
      await leader.retry(DEFAULT_TENANT, request.params.id, parseIfMatch(request.headers['if-match']))
      return changed(parts, request, reply)
    })
  }
  app.get('/api/v1/summary', (request) => store.summary(DEFAULT_TENANT, parseSummaryLabel(request.query)))
  app.get('/api/v1/workers', async () => ({ workers: parts.workers() }))
}

/** With `?wait=ms` the answer comes when the job has ended, or when that time is over. */
async function getJob(parts: JobParts, request: FastifyRequest<ById>, reply: FastifyReply): Promise<FastifyReply> {
  const waitMs = parseWait(request.query)
  const { id } = request.params
  let job = await read(parts.store, id)
  if (waitMs > 0 && !isTerminal(job.state)) {
    await untilEnded(parts, request, id, waitMs)
    job = await read(parts.store, id)
  }
  const attemptLog = await parts.store.attempts(DEFAULT_TENANT, id)
  return reply.header('etag', `"${job.version}"`).send({ ...job, attemptLog })
}

async function untilEnded(parts: JobParts, request: FastifyRequest, id: string, waitMs: number): Promise<void> {
  const over = new AbortController()
  const timer = parts.clock.after(waitMs, () => over.abort(), true)
  const onClose = (): void => over.abort()
  request.raw.socket.once('close', onClose)
  try {
    await parts.leader.ended(id, over.signal)
  } finally {
    timer.cancel()
    request.raw.socket.off('close', onClose)
  }
}

async function changed(parts: JobParts, request: FastifyRequest<ById>, reply: FastifyReply): Promise<FastifyReply> {
  const job = await read(parts.store, request.params.id)
  return reply
    .code(isTerminal(job.state) ? 200 : 202)
    .header('etag', `"${job.version}"`)
    .send(job)
}

async function read(store: JobStore, id: string): Promise<Job> {
  const job = await store.get(DEFAULT_TENANT, id)
  if (!job) throw new FairleadError('JOB_NOT_FOUND', `There is no job ${id}.`)
  return job
}

async function mustExist(store: JobStore, id: string): Promise<void> {
  await read(store, id)
}
