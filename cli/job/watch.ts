// job/watch.ts — follows one job to its end.

import type { Job } from '../../scheduler/contract.ts'
import { isTerminal } from '../../scheduler/states.ts'
import type { ApiClient } from '../client.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit.ts'
import { type ApiFlags, withJobs } from '../running.ts'
import { readJob } from './read.ts'

const POLL_MS = 200

export function watchJob(context: Context, id: string, flags: ApiFlags): Promise<number> {
  return withJobs(context, flags, async (api) => await watchToEnd(context, api, id))
}

export async function watchToEnd(context: Context, api: ApiClient, id: string): Promise<number> {
  let said = ''
  for (;;) {
    const job = await readJob(api, id)
    const line = lineOf(job)
    if (line !== said && !context.json) context.terminal.note(line)
    said = line
    if (isTerminal(job.state)) return tellEnd(context, job)
    await context.clock.sleep(POLL_MS)
  }
}

function tellEnd({ json, terminal }: Context, job: Job): number {
  if (json) terminal.json(job)
  else if (job.result !== undefined && job.result !== null) terminal.say(JSON.stringify(job.result, null, 2))
  return job.state === 'succeeded' ? EXIT.ok : EXIT.negative
}

function lineOf(job: Job): string {
  const error = job.error ? `  ${job.error.code}: ${job.error.message}` : ''
  return `${job.id}  ${job.state}  attempt ${job.attempts}/${job.maxAttempts}  ${Math.round(job.progress)} %${error}`
}
