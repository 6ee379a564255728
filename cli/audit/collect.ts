// collect.ts — everything that the report says beside the summary: each job's result, executions, breakers.

import { createReadStream, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { parseWith } from '../../kernel/parse.ts'
import { ClustersSchema } from '../../proxy/contract.ts'
import { type Job, parseJob } from '../../scheduler/contract.ts'
import type { ApiClient } from '../client.ts'
import { type AuditResult, AuditResultSchema } from '../contract.ts'

const READERS = 12

export interface Outcome {
  readonly job: Job
  /** Of jobs that succeeded. */
  readonly result: AuditResult | undefined
}

/** In the order of `ids`. `get` is the API call, made patient by the caller. */
export async function collectOutcomes(
  ids: readonly string[],
  get: (path: string) => Promise<unknown>,
): Promise<Outcome[]> {
  const outcomes = new Array<Outcome>(ids.length)
  let next = 0
  const reader = async (): Promise<void> => {
    while (next < ids.length) {
      const at = next++
      const job = parseJob(await get(`/api/v1/jobs/${encodeURIComponent(ids[at]!)}`))
      const result = job.state === 'succeeded' ? parseWith(AuditResultSchema, job.result, 'audit result') : undefined
      outcomes[at] = { job, result }
    }
  }
  await Promise.all(Array.from({ length: Math.min(READERS, ids.length) }, reader))
  return outcomes
}

/** Lines of the handlers' sink that belong to the run: how often a handler really ran. */
export async function countExecutions(file: string, run: string): Promise<number> {
  if (!existsSync(file)) return 0
  let count = 0
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (runOf(line) === run) count++
  }
  return count
}

/** How often breakers opened, as the scheduler's own sidecar saw it. */
export async function breakersOpened(admin: ApiClient): Promise<number> {
  const clusters = parseWith(ClustersSchema, await admin.call('/clusters'), 'answer of /clusters')
  return clusters.backends.reduce((sum, backend) => sum + backend.opened, 0)
}

function runOf(line: string): unknown {
  try {
    return (JSON.parse(line) as { run?: unknown }).run
  } catch {
    return undefined // the cut-off last line of a handler that was killed while writing
  }
}
