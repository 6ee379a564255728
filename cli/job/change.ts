// job/change.ts — submit, cancel, retry.

import { readFileSync } from 'node:fs'
import { FairleadError } from '../../kernel/errors.ts'
import { parseJson, parseWith } from '../../kernel/parse.ts'
import { parseJob, parseSubmit, SubmitAnswerSchema, type SubmitInput } from '../../scheduler/contract.ts'
import type { SubmitFlags } from '../commands/jobs.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit.ts'
import { type ApiFlags, withJobs } from '../running.ts'
import { parseLabel, pathOf } from './read.ts'
import { watchToEnd } from './watch.ts'

export async function submitJob(context: Context, type: string, flags: SubmitFlags): Promise<number> {
  const body = submission(type, flags)
  parseSubmit(body) // the same problems without asking anybody
  return await withJobs(context, flags, async (api) => {
    const raw = await api.call('/api/v1/jobs', { method: 'POST', body })
    const answer = parseWith(SubmitAnswerSchema, raw, 'answer of /api/v1/jobs')
    if (flags.watch) return await watchToEnd(context, api, answer.id)
    if (context.json) context.terminal.json(answer)
    else context.terminal.say(answer.id)
    for (const warning of answer.warnings) context.terminal.note(`warning: ${warning}`)
    return EXIT.ok
  })
}

export function changeJob(context: Context, id: string, verb: 'cancel' | 'retry', flags: ApiFlags): Promise<number> {
  return withJobs(context, flags, async (api) => {
    const job = parseJob(await api.call(`${pathOf(id)}/${verb}`, { method: 'POST', body: {} }))
    if (context.json) context.terminal.json(job)
    else context.terminal.say(`${job.id}  ${job.state}`)
    return EXIT.ok
  })
}

function submission(type: string, flags: SubmitFlags): SubmitInput {
  const given = <Key extends string, T>(key: Key, value: T | undefined): Partial<Record<Key, T>> =>
    value === undefined ? {} : ({ [key]: value } as Record<Key, T>)
  return {
    type,
    ...given('payload', flags.payload === undefined ? undefined : readPayload(flags.payload)),
    ...given('queue', flags.queue),
    ...given('class', flags.class as SubmitInput['class']),
    ...given('priority', flags.priority),
    ...given('runAt', flags.runAt),
    ...given('idempotencyKey', flags.idempotencyKey),
    ...given('executionTimeoutMs', flags.executionTimeout),
    ...given('retry', flags.maxAttempts === undefined ? undefined : { maxAttempts: flags.maxAttempts }),
    labels: Object.fromEntries(flags.label.map(parseLabel)),
  }
}

/** JSON, `@file`, or `-` for stdin. */
function readPayload(text: string): unknown {
  if (text === '-') return parseJson(readFileSync(0), 'stdin')
  if (!text.startsWith('@')) return parseJson(text, '--payload')
  try {
    return parseJson(readFileSync(text.slice(1)), text.slice(1))
  } catch (cause) {
    if (cause instanceof FairleadError) throw cause
    throw new FairleadError('INVALID_INPUT', `--payload: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}
