// job/read.ts — looking at jobs: get, list, logs.

import { FairleadError } from '../../kernel/errors.ts'
import { parseWith, z } from '../../kernel/parse.ts'
import { type Job, JobListSchema, parseJob } from '../../scheduler/contract.ts'
import type { ApiClient } from '../client.ts'
import type { ListFlags } from '../commands/jobs.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit.ts'
import { type ApiFlags, withJobs } from '../running.ts'
import { columnsOf, type Terminal } from '../terminal.ts'

export const LogsSchema = z.object({
  logs: z.array(z.object({ attempt: z.int(), seq: z.int(), stream: z.string(), text: z.string() })),
  /** Where the next page begins. */
  after: z.int(),
})
type LogLine = z.infer<typeof LogsSchema>['logs'][number]

export const pathOf = (id: string): string => `/api/v1/jobs/${encodeURIComponent(id)}`

export async function readJob(api: ApiClient, id: string): Promise<Job> {
  return parseJob(await api.call(pathOf(id)))
}

export function getJob(context: Context, id: string, flags: ApiFlags): Promise<number> {
  return withJobs(context, flags, async (api) => {
    const job = await readJob(api, id)
    if (context.json) context.terminal.json(job)
    else showJob(job, context.terminal)
    return EXIT.ok
  })
}

export function listJobs(context: Context, flags: ListFlags): Promise<number> {
  return withJobs(context, flags, async (api) => {
    const page = parseWith(JobListSchema, await api.call(`/api/v1/jobs?${queryOf(flags)}`), 'answer of /api/v1/jobs')
    if (context.json) {
      context.terminal.json(page)
      return EXIT.ok
    }
    const head = ['ID', 'TYPE', 'STATE', 'ATTEMPTS', 'CREATED', 'NAME']
    const rows = page.jobs.map((job) => [
      job.id,
      job.type,
      job.state,
      `${job.attempts}/${job.maxAttempts}`,
      job.createdAt,
      job.name ?? '',
    ])
    for (const line of columnsOf([head, ...rows])) context.terminal.say(line)
    if (page.cursor !== null) context.terminal.note(`more: --cursor ${page.cursor}`)
    return EXIT.ok
  })
}

export function showLogs(context: Context, id: string, flags: ApiFlags): Promise<number> {
  return withJobs(context, flags, async (api) => {
    const logs = await readLogs(api, id)
    if (context.json) context.terminal.json({ logs })
    else for (const line of logs) context.terminal.say(`${line.attempt} ${line.stream} ${line.text}`)
    if (!context.json && logs.length === 0) context.terminal.note('Nothing was logged.')
    return EXIT.ok
  })
}

/** All pages; an attempt's log is bounded (256 KiB), and so are a job's attempts. */
async function readLogs(api: ApiClient, id: string): Promise<LogLine[]> {
  const lines: LogLine[] = []
  let after = 0
  for (;;) {
    const page = parseWith(LogsSchema, await api.call(`${pathOf(id)}/logs?after=${after}`), 'answer of logs')
    if (page.logs.length === 0) return lines
    lines.push(...page.logs)
    after = page.after
  }
}

function showJob(job: Job, terminal: Terminal): void {
  const rows: [string, string][] = [
    ['id', job.id],
    ['type', job.type],
    ['state', job.state],
    ...pair('name', job.name),
    ['queue', `${job.queue}, priority ${job.priority}`],
    ['attempts', `${job.attempts} of ${job.maxAttempts}`],
    ['created', job.createdAt],
    ...pair('started', job.startedAt),
    ...pair('finished', job.finishedAt),
    ...pair(
      'labels',
      Object.entries(job.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(', '),
    ),
    ...pair('error', job.error && `${job.error.code} (${job.error.class}): ${job.error.message}`),
    ...pair('result', job.result === undefined ? null : JSON.stringify(job.result)),
  ]
  for (const line of columnsOf(rows)) terminal.say(line)
  const attempts = (job.attemptLog ?? []).map((attempt) => [
    String(attempt.attempt),
    attempt.instance,
    attempt.version,
    attempt.outcome ?? 'running',
    attempt.error?.code ?? '',
    attempt.leasedAt,
  ])
  if (attempts.length === 0) return
  terminal.say('')
  for (const line of columnsOf([['ATTEMPT', 'INSTANCE', 'VERSION', 'OUTCOME', 'ERROR', 'LEASED'], ...attempts]))
    terminal.say(line)
}

const pair = (label: string, value: string | null): [string, string][] => (value ? [[label, value]] : [])

function queryOf(flags: ListFlags): string {
  const query = new URLSearchParams({ limit: String(flags.limit) })
  for (const name of ['state', 'type', 'cursor'] as const) if (flags[name] !== undefined) query.set(name, flags[name])
  for (const label of flags.label) query.append('label', parseLabel(label).join(':'))
  return query.toString()
}

/** `key=value` @throws INVALID_INPUT */
export function parseLabel(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new FairleadError('INVALID_INPUT', `--label ${JSON.stringify(text)} is not key=value.`)
  return [text.slice(0, at), text.slice(at + 1)]
}
