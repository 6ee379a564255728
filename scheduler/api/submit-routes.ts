// submit-routes.ts — POST /jobs and /jobs/batch (aliases /tasks, /tasks/batch): 202 when the jobs are durable.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError, type Problem } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'
import {
  type ActiveSpan,
  formatTraceparent,
  newTraceContext,
  parseTraceparent,
  type Tracing,
} from '../../kernel/tracing.ts'
import { LIMITS, parseBatch, type SubmitAnswer } from '../contract.ts'
import type { JobLeader, NewJob, Submitted } from '../leader/job-leader.ts'
import { DEFAULT_TENANT } from './guard.ts'
import { parseItem, type Submitter } from './submission.ts'

export interface SubmitParts {
  readonly leader: JobLeader
  readonly clock: Clock
  readonly random: Random
  readonly tracing: Tracing
  /** Of the submissions that bring no trace context, how many start a sampled trace (0…1). */
  readonly sampleRatio: number
}

type Item = SubmitAnswer | { readonly error: { readonly code: string; readonly detail: string } }

const options = { bodyLimit: LIMITS.bodyBytesMax }

export function addSubmitRoutes(app: FastifyInstance, parts: SubmitParts): void {
  for (const noun of ['jobs', 'tasks']) {
    app.post(`/api/v1/${noun}`, options, (request, reply) => submitOne(parts, request, reply))
    app.post(`/api/v1/${noun}/batch`, options, (request, reply) => submitBatch(parts, request, reply))
  }
}

async function submitOne(parts: SubmitParts, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const trace = startTrace(parts, request, typeOf(request.body))
  try {
    const job = parseItem(request.body, '$', submitter(parts, trace.traceparent))
    const [submitted] = await parts.leader.submit([job], true)
    if (!submitted!.ok) throw submitted!.error
    trace.span?.set({ 'task.id': submitted!.id })
    const answer = answerOf(parts, job, submitted as Submitted & { ok: true })
    trace.span?.end()
    return reply.code(answer.created ? 202 : 200).send(answer)
  } catch (error) {
    trace.span?.end(asFairleadError(error).code)
    throw error
  }
}

async function submitBatch(parts: SubmitParts, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { mode, jobs } = parseBatch(request.body)
  const trace = startTrace(parts, request, 'batch')
  try {
    const by = submitter(parts, trace.traceparent)
    const items = mode === 'atomic' ? await allOrNone(parts, parseAll(jobs, by)) : await each(parts, jobs, by)
    trace.span?.set({ 'task.count': items.length })
    trace.span?.end()
    return reply.code(202).send({ accepted: items.filter((item) => !('error' in item)).length, jobs: items })
  } catch (error) {
    trace.span?.end(asFairleadError(error).code)
    throw error
  }
}

/** @throws FairleadError with the problems of every bad item */
function parseAll(items: readonly unknown[], by: Submitter): NewJob[] {
  const jobs: NewJob[] = []
  const refused: FairleadError[] = []
  items.forEach((item, i) => {
    try {
      jobs.push(parseItem(item, `$.jobs[${i}]`, by))
    } catch (error) {
      refused.push(asFairleadError(error))
    }
  })
  if (refused.length > 0) throw together(refused)
  return jobs
}

async function allOrNone(parts: SubmitParts, jobs: readonly NewJob[]): Promise<Item[]> {
  const results = await parts.leader.submit(jobs, true)
  const problems: Problem[] = results.flatMap((result, i) =>
    result.ok || result.error.code === 'ATOMIC_REFUSED'
      ? []
      : [{ path: `$.jobs[${i}].idempotencyKey`, message: 'was used with another body' }],
  )
  if (problems.length > 0) {
    const detail = `${problems.length} of ${jobs.length} jobs reuse an idempotency key with another body; none was taken.`
    throw new FairleadError('IDEMPOTENCY_CONFLICT', detail, { problems })
  }
  return results.map((result, i) => answerOf(parts, jobs[i]!, result as Submitted & { ok: true }))
}

async function each(parts: SubmitParts, items: readonly unknown[], by: Submitter): Promise<Item[]> {
  const parsed = items.map((item, i): NewJob | FairleadError => {
    try {
      return parseItem(item, `$.jobs[${i}]`, by)
    } catch (error) {
      return asFairleadError(error)
    }
  })
  const good = parsed.filter((job): job is NewJob => !(job instanceof FairleadError))
  const results = await parts.leader.submit(good, false)
  let next = 0
  return parsed.map((job) => {
    if (job instanceof FairleadError) return errorItem(job)
    const result = results[next++]!
    return result.ok ? answerOf(parts, job, result) : errorItem(result.error)
  })
}

const errorItem = (error: FairleadError): Item => ({ error: { code: error.code, detail: error.message } })

function answerOf(parts: SubmitParts, job: NewJob, { id, created, state }: Submitted & { ok: true }): SubmitAnswer {
  return { id, created, state, warnings: parts.leader.handles(job.row.type) ? [] : ['NO_HANDLER_YET'] }
}

/** One error for many items; the first item's code is the answer's. */
function together(errors: readonly FairleadError[]): FairleadError {
  const first = errors[0]!
  const problems = errors.flatMap((error) => error.problems)
  const detail = `${errors.length} item(s) refused, none was taken; ${first.message}`
  return new FairleadError(first.code, detail, { problems, cause: first })
}

function submitter(parts: SubmitParts, traceparent: string): Submitter {
  return { tenant: DEFAULT_TENANT, now: parts.clock.wall(), random: parts.random, traceparent }
}

/** The caller's trace goes on; without one a fresh context starts, sampled by ratio. */
function startTrace(
  parts: SubmitParts,
  request: FastifyRequest,
  what: string,
): { readonly traceparent: string; readonly span: ActiveSpan | undefined } {
  const parent = parseTraceparent(header(request, 'traceparent'), header(request, 'tracestate'))
  const context = parent ?? newTraceContext(parts.tracing.on && parts.random.next() < parts.sampleRatio)
  if (!parts.tracing.on || !context.sampled) return { traceparent: formatTraceparent(context), span: undefined }
  const span = parts.tracing.startSpan(`submit ${what}`, {
    kind: 'server',
    parent,
    attributes: { 'task.type': what },
  })
  return { traceparent: formatTraceparent(span.context), span }
}

function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' ? value : undefined
}

/** For the span's name, before the body is parsed: only what could be a type. */
function typeOf(body: unknown): string {
  const type = (body as { type?: unknown } | null)?.type
  return typeof type === 'string' && type.length <= 128 ? type : 'invalid'
}
