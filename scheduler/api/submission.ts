// submission.ts — one submitted item → the job that the leader stores. All problems at once, each with its path.

import { createHash } from 'node:crypto'
import { type WallMs, wallPlus } from '../../kernel/clock.ts'
import { FairleadError, type Problem } from '../../kernel/errors.ts'
import { type Random, uuidv7 } from '../../kernel/random.ts'
import { classOf } from '../classes.ts'
import { CLASS_PRIORITY, DEFAULTS, LIMITS, parseSubmit, type Submit } from '../contract.ts'
import type { NewJob } from '../leader/job-leader.ts'
import type { JobBody } from '../store/contract.ts'

export interface Submitter {
  readonly tenant: string
  readonly now: WallMs
  readonly random: Random
  readonly traceparent: string
}

/** `at`: the item's JSON path. @throws FairleadError INVALID_INPUT, PAYLOAD_TOO_LARGE, UNSUPPORTED */
export function parseItem(item: unknown, at: string, by: Submitter): NewJob {
  try {
    return newJob(parseSubmit(item), by)
  } catch (error) {
    throw at === '$' ? error : moved(error, at)
  }
}

function newJob(job: Submit, by: Submitter): NewJob {
  refuseUnsupported(job)
  const runAt = wallPlus(0 as WallMs, Math.max(by.now, timeOf(job.runAt ?? job.scheduledTime) ?? by.now))
  const priority = job.priority ?? CLASS_PRIORITY[job.class ?? DEFAULTS.class]
  return {
    row: {
      id: uuidv7(by.now, by.random),
      tenant: by.tenant,
      seq: 0,
      type: job.type,
      queue: job.queue,
      class: classOf(priority),
      priority,
      state: runAt > by.now ? 'deferred' : 'ready',
      version: 1,
      createdAt: by.now,
      runAt,
      startedAt: null,
      finishedAt: null,
      deadline: timeOf(job.deadline) ?? null,
      scheduleToStartMs: job.scheduleToStartMs ?? null,
      executionTimeoutMs: job.executionTimeoutMs,
      heartbeatTimeoutMs: job.heartbeatTimeoutMs ?? null,
      attempts: 0,
      lost: 0,
      maxAttempts: job.retry.maxAttempts,
      retryBaseMs: job.retry.baseMs,
      retryMaxMs: job.retry.maxMs,
      token: 0n,
      idempotencyKey: job.idempotencyKey ?? null,
      labels: job.labels,
      orderingKey: job.orderingKey ?? null,
      concurrencyKey: job.concurrencyKey ?? null,
      fairnessKey: null,
      name: job.name ?? null,
      description: job.description ?? null,
      owner: job.owner ?? null,
      traceparent: by.traceparent,
      error: null,
    },
    body: bodyOf(job),
    requestHash: job.idempotencyKey === undefined ? '' : hashOf(job),
  }
}

function refuseUnsupported(job: Submit): void {
  const problems: Problem[] = []
  for (const field of ['fairnessKey', 'dedupKey'] as const) {
    if (job[field] !== undefined) problems.push({ path: `$.${field}`, message: 'is not supported by this build yet' })
  }
  if (problems.length === 0) return
  throw new FairleadError('UNSUPPORTED', `${problems[0]!.path} ${problems[0]!.message}.`, { problems })
}

function bodyOf(job: Submit): JobBody {
  const env = job.env ?? {}
  limit('$.env', job.env === undefined ? 0 : Buffer.byteLength(JSON.stringify(env)), LIMITS.envBytesMax)
  if (job.payloadBase64 !== undefined) {
    const payload = Buffer.from(job.payloadBase64, 'base64')
    limit('$.payloadBase64', payload.byteLength, LIMITS.payloadBytesMax)
    return { payloadKind: 'bytes', payload, env }
  }
  if (job.payload === undefined) return { payloadKind: 'none', payload: null, env }
  const payload = JSON.stringify(job.payload)
  // A UTF-16 unit is at most three bytes of UTF-8: short texts need not be measured.
  if (payload.length * 3 > LIMITS.payloadBytesMax) {
    limit('$.payload', Buffer.byteLength(payload), LIMITS.payloadBytesMax)
  }
  return { payloadKind: 'json', payload, env }
}

function limit(path: string, bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return
  const message = `has ${bytes} bytes; at most ${bytesMax} are taken`
  throw new FairleadError('PAYLOAD_TOO_LARGE', `${path} ${message}.`, { problems: [{ path, message }] })
}

function timeOf(text: string | undefined): WallMs | undefined {
  return text === undefined ? undefined : (Date.parse(text) as WallMs)
}

/** Of the parsed request: defaults spelled out and left out are the same request. */
function hashOf(job: Submit): string {
  return createHash('sha256').update(JSON.stringify(job)).digest('base64url')
}

function moved(error: unknown, at: string): unknown {
  if (!(error instanceof FairleadError)) return error
  const problems = error.problems.map(({ path, message }) => ({ path: `${at}${path.slice(1)}`, message }))
  const first = problems[0]
  const detail = first ? `${first.path}: ${first.message}` : `${at}: ${error.message}`
  return new FairleadError(error.code, detail, { problems, cause: error })
}
