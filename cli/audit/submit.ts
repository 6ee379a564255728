// submit.ts — one durable job per package, in batches that are safe to repeat.
//
// The idempotency key is run + path, so a batch whose answer was lost (scheduler killed) is simply sent again.

import { createHash } from 'node:crypto'
import type { Clock } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import { parseWith } from '../../kernel/parse.ts'
import { BatchAnswerSchema, type SubmitInput } from '../../scheduler/contract.ts'
import type { ApiClient } from '../client.ts'
import type { FoundPackage } from './find.ts'

export const AUDIT_TYPE = 'package.audit'
export const BATCH_JOBS = 1_000
/** How long the scheduler may be away before the audit gives up. */
export const PATIENCE_MS = 60_000
const REPEAT_MS = 500

export interface AuditRun {
  readonly run: string
  readonly root: string
  readonly executionTimeoutMs: number
}

/** Ids of the jobs, in the order of `packages`. */
export async function submitAudit(
  api: ApiClient,
  packages: readonly FoundPackage[],
  run: AuditRun,
  clock: Clock,
  signal: AbortSignal,
): Promise<string[]> {
  const ids: string[] = []
  for (let at = 0; at < packages.length; at += BATCH_JOBS) {
    const jobs = packages.slice(at, at + BATCH_JOBS).map((found) => jobOf(found, run))
    const answer = await patiently(() => sendBatch(api, jobs), clock, signal)
    ids.push(...answer)
  }
  return ids
}

/** Repeats while the other side is away or says that a repeat may help; at most PATIENCE_MS. */
export async function patiently<T>(call: () => Promise<T>, clock: Clock, signal: AbortSignal): Promise<T> {
  const giveUpAt = clock.now() + PATIENCE_MS
  for (;;) {
    signal.throwIfAborted()
    try {
      return await call()
    } catch (thrown) {
      const error = asFairleadError(thrown)
      if (!error.spec.retry || clock.now() > giveUpAt) throw error
      await clock.sleep(REPEAT_MS, signal)
    }
  }
}

async function sendBatch(api: ApiClient, jobs: readonly SubmitInput[]): Promise<string[]> {
  const body = { mode: 'atomic', jobs }
  const raw = await api.call('/api/v1/jobs/batch', { method: 'POST', body })
  const answer = parseWith(BatchAnswerSchema, raw, 'answer of /api/v1/jobs/batch')
  return answer.jobs.map((job) => {
    if ('error' in job) throw new FairleadError('INTERNAL', `The scheduler refused a job: ${job.error.detail}`)
    return job.id
  })
}

function jobOf(found: FoundPackage, { run, root, executionTimeoutMs }: AuditRun): SubmitInput {
  return {
    type: AUDIT_TYPE,
    payload: { root, path: found.path, run },
    name: `${found.name}@${found.version}`.slice(0, 256),
    labels: { run },
    executionTimeoutMs,
    idempotencyKey: `${run}:${createHash('sha256').update(found.path).digest('hex')}`,
  }
}
