// check.ts — `fairlead check`: is all well here? Each failure with a hint and the command that mends it.
//
// Asks what runs in the data directory; what does not answer is a failure of its own and skips what hangs on it.

import { resolve } from 'node:path'
import { MeshStatusSchema, RevocationsSchema } from '../../control-plane/contract.ts'
import { asFairleadError } from '../../kernel/errors.ts'
import { parseWith, z } from '../../kernel/parse.ts'
import { printable } from '../../mesh-config/problem.ts'
import { type ApiClient, openClient } from '../client.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit.ts'
import type { Terminal } from '../terminal.ts'
import { isAlive } from '../up/alive.ts'
import { DATA_DIR_DEFAULT, type Paths, pathsOf, readApiKey } from '../up/data-dir.ts'
import { readState, type UpState } from '../up/state-file.ts'
import { hostChecks } from './host.ts'
import { meshChecks, processChecks } from './mesh.ts'
import { bad, type CheckCode, type CheckResult, ok, skipped } from './result.ts'

const ASK_MS = 3_000
const FilesSchema = z.object({ files: z.array(z.object({ name: z.string(), text: z.string() })) })

/** Exit code: 0 nothing failed (warnings may be), 1 something failed, 3 nothing runs here. */
export async function check(context: Context): Promise<number> {
  const paths = pathsOf(resolve(context.dataDir ?? DATA_DIR_DEFAULT))
  const results = [...hostChecks(paths, context.clock, process.version), ...(await runningChecks(paths))]
  const failed = results.filter((one) => one.status === 'failed')
  if (context.json) context.terminal.json({ ok: failed.length === 0, checks: results })
  else for (const line of linesOf(results, context.terminal)) context.terminal.say(line)
  if (failed.some((one) => one.code === 'RUNNING')) return EXIT.unreachable
  return failed.length === 0 ? EXIT.ok : EXIT.negative
}

async function runningChecks(paths: Paths): Promise<readonly CheckResult[]> {
  let state: UpState
  let key: string
  try {
    state = readState(paths.state)
    key = readApiKey(paths.apiKey)
  } catch (error) {
    return [bad('RUNNING', 'failed', '', asFairleadError(error).message, paths.dir)]
  }
  const control = openClient(state.addresses.controlApi, key)
  const jobs = openClient(state.addresses.jobs, key)
  try {
    const [mesh, job] = await Promise.all([controlChecks(control, paths.dir), jobCheck(jobs, paths.dir)])
    const running = ok('RUNNING', `since ${state.startedAt}`)
    return [running, ...processChecks(state.processes, isAlive, paths.dir), ...mesh, job]
  } finally {
    await Promise.all([control.close(), jobs.close()])
  }
}

const MESH_CODES = [
  'CONFIG_APPLIED',
  'CONFIG_CLEAN',
  'SIDECARS_CONNECTED',
  'SIDECARS_ACCEPTED',
  'INSTANCES_HEALTHY',
  'SERVICES_SERVED',
  'IDENTITIES_COUNT',
] as const satisfies readonly CheckCode[]

async function controlChecks(control: ApiClient, dir: string): Promise<readonly CheckResult[]> {
  const get = (path: string): Promise<unknown> => control.call(path, { timeoutMs: ASK_MS })
  try {
    const mesh = parseWith(MeshStatusSchema, await get('/api/v1/mesh'), 'mesh')
    const { files } = parseWith(FilesSchema, await get('/api/v1/config'), 'config')
    const { revocations } = parseWith(RevocationsSchema, await get('/api/v1/revocations'), 'revocations')
    const revokedIds = revocations.filter((one) => one.kind === 'id').map((one) => one.value)
    return [await readyCheck(get, dir), ...meshChecks({ mesh, files, revokedIds }, dir)]
  } catch (error) {
    const why = asFairleadError(error).message
    const failed = bad('CONTROL_PLANE_READY', 'failed', '', why, dir)
    return [failed, ...MESH_CODES.map((code) => skipped(code, 'the control plane does not answer'))]
  }
}

async function readyCheck(get: (path: string) => Promise<unknown>, dir: string): Promise<CheckResult> {
  try {
    await get('/readyz')
    return ok('CONTROL_PLANE_READY')
  } catch (error) {
    const cause = asFairleadError(error).cause
    const why = cause instanceof Error ? cause.message : asFairleadError(error).message
    return bad('CONTROL_PLANE_READY', 'failed', '', why, dir)
  }
}

async function jobCheck(jobs: ApiClient, dir: string): Promise<CheckResult> {
  try {
    await jobs.call('/api/v1/summary', { timeoutMs: ASK_MS })
    return ok('JOBS_ANSWER')
  } catch (error) {
    return bad('JOBS_ANSWER', 'failed', '', asFairleadError(error).message, dir)
  }
}

// ── for people ──────────────────────────────────────────────────────────────────────────────────────────────────────

function linesOf(results: readonly CheckResult[], terminal: Terminal): string[] {
  const count = (status: CheckResult['status']): number => results.filter((one) => one.status === status).length
  const [failed, warnings] = [count('failed'), count('warning')]
  const all = failed > 0 ? terminal.red(`${failed} failed`) : terminal.green('All is well')
  return [
    ...results.flatMap((one) => resultLines(one, terminal)),
    '',
    `${all}${warnings > 0 ? `, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}` : ''}.`,
  ]
}

function resultLines({ code, status, message, hint, command }: CheckResult, terminal: Terminal): string[] {
  const word = {
    ok: terminal.green('ok  '),
    warning: terminal.bold('warn'),
    failed: terminal.red('FAIL'),
    skipped: '-   ',
  }
  const line = `${word[status]}  ${code}  ${printable(message)}`
  if (hint === '') return [status === 'skipped' ? terminal.dim(line) : line]
  return [line, `        ${terminal.dim('hint')}  ${hint}`, `        ${terminal.dim('try ')}  ${printable(command)}`]
}
