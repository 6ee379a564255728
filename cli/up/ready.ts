// ready.ts — when is the whole of it ready? Not when every process listens, but when a job would be split and run:
// every sidecar serves the current configuration, sees every instance, and the scheduler has a session of each worker.

import type { Clock } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import { parseWith, z } from '../../kernel/parse.ts'
import { ClustersSchema } from '../../proxy/contract.ts'
import { WorkerSchema } from '../../scheduler/contract.ts'
import type { ApiClient } from '../client.ts'
import { readMesh } from './control.ts'
import type { Pair } from './plan.ts'

const POLL_MS = 50
export const READY_WITHIN_MS = 60_000
const WorkersSchema = z.object({ workers: z.array(WorkerSchema) })

export interface ReadyOptions {
  readonly control: ApiClient
  readonly jobs: ApiClient
  /** Admin listener of the scheduler's sidecar. */
  readonly admin: ApiClient
  readonly pairs: readonly Pair[]
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** @throws START_FAILED with what is still missing. */
export async function waitUntilReady(options: ReadyOptions): Promise<void> {
  const { clock, signal } = options
  const giveUpAt = clock.now() + READY_WITHIN_MS
  for (;;) {
    const missing = await whatIsMissing(options).catch((thrown: unknown) => {
      const error = asFairleadError(thrown)
      if (!error.spec.retry) throw error
      return [error.message]
    })
    if (missing.length === 0) return
    if (clock.now() > giveUpAt) {
      throw new FairleadError('START_FAILED', `Not ready after ${READY_WITHIN_MS / 1000} s: ${missing.join('; ')}.`)
    }
    await clock.sleep(POLL_MS, signal)
  }
}

async function whatIsMissing({ control, jobs, admin, pairs }: ReadyOptions): Promise<string[]> {
  const mesh = await readMesh(control)
  const missing: string[] = []
  for (const { app } of pairs) {
    if (!mesh.instances.some((instance) => instance.instance === app.name && instance.passing)) {
      missing.push(`${app.name} is not registered as healthy`)
    }
    const sidecar = mesh.sidecars.find((found) => found.instance === app.name)
    if (!sidecar?.connected || sidecar.acked !== sidecar.current)
      missing.push(`${app.name}-sidecar has no current config`)
  }
  if (missing.length > 0) return missing
  const workers = pairs.filter((pair) => pair.app.role === 'worker')
  const endpoints = workers.length === 0 ? new Set<string>() : await endpointsSeen(admin)
  const sessions = new Set((await sessionsOf(jobs)).map((worker) => worker.instance))
  for (const { app } of workers) {
    if (!endpoints.has(app.name)) missing.push(`the scheduler's sidecar does not see ${app.name}`)
    if (!sessions.has(app.name)) missing.push(`${app.name} has no session with the scheduler`)
  }
  return missing
}

async function endpointsSeen(admin: ApiClient): Promise<Set<string>> {
  const { backends } = parseWith(ClustersSchema, await admin.call('/clusters'), 'answer of /clusters')
  return new Set(backends.flatMap((backend) => backend.endpoints.map((endpoint) => endpoint.instance)))
}

async function sessionsOf(jobs: ApiClient): Promise<z.infer<typeof WorkerSchema>[]> {
  return parseWith(WorkersSchema, await jobs.call('/api/v1/workers'), 'answer of /api/v1/workers').workers
}
