// audit.ts — the main job: every package of a tree audited by jobs that went through the mesh, and a report about it.

import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Clock } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { type Random, uuidv7 } from '../../kernel/random.ts'
import type { Summary } from '../../scheduler/contract.ts'
import type { ApiClient } from '../client.ts'
import { parseReport, type Report } from '../contract.ts'
import { EXIT } from '../exit.ts'
import type { Terminal } from '../terminal.ts'
import { breakersOpened, collectOutcomes, countExecutions, type Outcome } from './collect.ts'
import { findPackages } from './find.ts'
import { followRun } from './follow.ts'
import { buildReport, showReport } from './report.ts'
import { patiently, submitAudit } from './submit.ts'
import { configuredWeights } from './weights.ts'

/** A healthy package takes milliseconds; a bad canary's hanging handlers are not waited for as long. */
const EXECUTION_TIMEOUT_MS = 30_000
const CANARY_EXECUTION_TIMEOUT_MS = 3_000
export const AUDITED_SERVICE = 'worker'

export interface AuditOptions {
  readonly jobs: ApiClient
  readonly admin: ApiClient
  readonly root: string
  readonly executionsFile: string
  readonly reportFile: string | undefined
  readonly badCanary: boolean
  readonly json: boolean
  readonly terminal: Terminal
  readonly clock: Clock
  readonly random: Random
  readonly signal: AbortSignal
}

/** Exit code: 0 only if every job succeeded. */
export async function runAudit(options: AuditOptions): Promise<number> {
  const { jobs, root, terminal, clock, signal, json } = options
  const packages = await findPackages(root)
  if (packages.length === 0) throw new FairleadError('INVALID_INPUT', `No packages below ${root}.`)
  const run = uuidv7(clock.wall(), options.random)
  if (!json) terminal.note(`Auditing ${packages.length} packages of ${root} as jobs through the mesh (run ${run}) …`)
  const executionTimeoutMs = options.badCanary ? CANARY_EXECUTION_TIMEOUT_MS : EXECUTION_TIMEOUT_MS
  const ids = await submitAudit(jobs, packages, { run, root, executionTimeoutMs }, clock, signal)
  const shown = json ? undefined : terminal
  const summary = await followRun({ api: jobs, run, total: ids.length, clock, signal, terminal: shown })
  const get = (path: string): Promise<unknown> => patiently(() => jobs.call(path), clock, signal)
  const outcomes = await collectOutcomes(ids, get)
  return await tellReport(options, await makeReport(options, run, summary, outcomes), outcomes)
}

async function makeReport(options: AuditOptions, run: string, summary: Summary, outcomes: Outcome[]): Promise<Report> {
  const { admin, clock, signal } = options
  const report = buildReport({
    run,
    summary,
    outcomes,
    executions: await countExecutions(options.executionsFile, run),
    configuredWeights: await patiently(() => configuredWeights(admin, AUDITED_SERVICE), clock, signal),
    breakerOpened: await patiently(() => breakersOpened(admin), clock, signal),
  })
  return parseReport(report)
}

async function tellReport(options: AuditOptions, report: Report, outcomes: readonly Outcome[]): Promise<number> {
  const { terminal, reportFile, json } = options
  if (json) terminal.json(report)
  else showReport(report, outcomes, terminal)
  if (reportFile !== undefined) {
    writeFileSync(reportFile, `${JSON.stringify(report, null, 2)}\n`)
    if (!json) terminal.note(`\nReport written to ${resolve(reportFile)}`)
  }
  return report.succeeded === report.jobs ? EXIT.ok : EXIT.negative
}
