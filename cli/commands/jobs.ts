// commands/jobs.ts — jobs by hand: submit, look, wait, stop, repeat.

import type { Command } from 'commander'
import type { Act } from '../context.ts'
import type { ApiFlags } from '../running.ts'
import { wholeNumber } from './processes.ts'

export interface SubmitFlags extends ApiFlags {
  readonly payload?: string
  readonly queue?: string
  readonly class?: string
  readonly priority?: number
  readonly runAt?: string
  readonly label: readonly string[]
  readonly idempotencyKey?: string
  readonly executionTimeout?: number
  readonly maxAttempts?: number
  readonly watch?: boolean
}

export interface ListFlags extends ApiFlags {
  readonly state?: string
  readonly type?: string
  readonly label: readonly string[]
  readonly limit: number
  readonly cursor?: string
}

const SUBMIT_EXAMPLES = `
Examples:
  $ fairlead job submit package.audit --payload '{"root":"/srv/app/node_modules","path":"zod","run":"one"}' --watch
  $ fairlead job submit report.daily --payload @payload.json --label team=data --run-at 2026-12-24T18:00:00Z
  $ jq -c . big.json | fairlead job submit import --payload -`

export function addJobCommands(program: Command, act: Act): void {
  const job = program.command('job').description('jobs of the scheduler')
  addSubmit(job, act)
  addList(job, act)
  const one = (name: string, description: string, examples: string): Command =>
    api(job.command(name).description(description).argument('<id>', 'job id')).addHelpText('after', examples)
  one('get', 'everything about one job', '\nExamples:\n  $ fairlead job get ID --json').action(
    act(async (context, id: string, flags: ApiFlags) => {
      const { getJob } = await import('../job/read.ts')
      return await getJob(context, id, flags)
    }),
  )
  one('watch', 'follow one job until it ends (exit 0 only if it succeeded)', '').action(
    act(async (context, id: string, flags: ApiFlags) => {
      const { watchJob } = await import('../job/watch.ts')
      return await watchJob(context, id, flags)
    }),
  )
  one('logs', 'what its attempts wrote', '').action(
    act(async (context, id: string, flags: ApiFlags) => {
      const { showLogs } = await import('../job/read.ts')
      return await showLogs(context, id, flags)
    }),
  )
  one('cancel', 'stop it, or keep it from starting', '').action(
    act(async (context, id: string, flags: ApiFlags) => {
      const { changeJob } = await import('../job/change.ts')
      return await changeJob(context, id, 'cancel', flags)
    }),
  )
  one('retry', 'run a job again that failed, expired, was cancelled or dead-lettered', '').action(
    act(async (context, id: string, flags: ApiFlags) => {
      const { changeJob } = await import('../job/change.ts')
      return await changeJob(context, id, 'retry', flags)
    }),
  )
}

function addSubmit(job: Command, act: Act): void {
  api(job.command('submit'))
    .description('submit one job; prints its id')
    .argument('<type>', 'job type, for example package.audit')
    .option('--payload <json>', 'JSON, @file, or - for stdin')
    .option('--queue <name>', 'queue')
    .option('--class <class>', 'critical, high, normal or low')
    .option('--priority <n>', '1 to 10, 10 highest', wholeNumber)
    .option('--run-at <time>', 'not before this time (RFC 3339)')
    .option('--label <key=value>', 'label (may be repeated)', collect, [])
    .option('--idempotency-key <key>', 'the same key gives the same job')
    .option('--execution-timeout <ms>', 'of one attempt', wholeNumber)
    .option('--max-attempts <n>', 'attempts before it is dead-lettered', wholeNumber)
    .option('--watch', 'wait for its end')
    .addHelpText('after', SUBMIT_EXAMPLES)
    .action(
      act(async (context, type: string, flags: SubmitFlags) => {
        const { submitJob } = await import('../job/change.ts')
        return await submitJob(context, type, flags)
      }),
    )
}

function addList(job: Command, act: Act): void {
  api(job.command('list'))
    .description('jobs, newest first')
    .option('--state <state>', 'only in this state')
    .option('--type <type>', 'only of this type')
    .option('--label <key=value>', 'only with this label', collect, [])
    .option('--limit <n>', 'at most so many', wholeNumber, 20)
    .option('--cursor <cursor>', 'go on where the last page ended')
    .addHelpText(
      'after',
      '\nExamples:\n  $ fairlead job list --state deadLettered\n  $ fairlead job list --label run=ID --limit 100 --json',
    )
    .action(
      act(async (context, flags: ListFlags) => {
        const { listJobs } = await import('../job/read.ts')
        return await listJobs(context, flags)
      }),
    )
}

function api(command: Command): Command {
  return command
    .option('--url <url>', 'job API instead of the one in the data directory (also: FAIRLEAD_URL)')
    .option('--api-key-file <file>', 'file with its key (also: FAIRLEAD_API_KEY_FILE)')
}

const collect = (value: string, before: string[]): string[] => [...before, value]
