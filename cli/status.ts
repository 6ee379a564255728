// status.ts — `fairlead status`: processes of the data directory, and for people how mesh and jobs are.

import type { MeshStatus } from '../control-plane/contract.ts'
import { asFairleadError } from '../kernel/errors.ts'
import { parseSummary, type Summary } from '../scheduler/contract.ts'
import { type ApiClient, openClient } from './client.ts'
import type { Context } from './context.ts'
import { parseStatus, type Status } from './contract.ts'
import { EXIT } from './exit.ts'
import { findRunning } from './running.ts'
import { columnsOf, type Terminal } from './terminal.ts'
import { readMesh } from './up/control.ts'
import type { Role } from './up/supervised.ts'

const ASK_TIMEOUT_MS = 2_000
const ROLES = ['control-plane', 'scheduler', 'worker', 'proxy'] as const satisfies readonly Role[]

export async function showStatus(context: Context): Promise<number> {
  const { state, apiKey, paths } = findRunning(context)
  const status = parseStatus({ processes: state.processes })
  if (context.json) {
    context.terminal.json(status)
    return EXIT.ok
  }
  const control = openClient(state.addresses.controlApi, apiKey)
  const jobs = openClient(state.addresses.jobs, apiKey)
  try {
    context.terminal.say(`Fairlead in ${paths.dir}, since ${state.startedAt}\n`)
    showProcesses(status, context.terminal)
    context.terminal.say('')
    context.terminal.say(`Mesh  ${await ask(async () => meshLine(await readMesh(control)))}`)
    context.terminal.say(`Jobs  ${await ask(async () => jobsLine(await readSummary(jobs)))}`)
  } finally {
    await Promise.all([control.close(), jobs.close()])
  }
  return EXIT.ok
}

function showProcesses(status: Status, terminal: Terminal): void {
  const head = ['NAME', 'ROLE', 'VERSION', 'PID', 'RESTARTS', 'PORTS']
  const ordered = ROLES.flatMap((role) => status.processes.filter((process) => process.role === role))
  const rows = ordered.map(({ name, role, version, pid, restarts, ports }) => [
    ...[name, role, version, pid === null ? '-' : String(pid), String(restarts)],
    Object.entries(ports)
      .map(([port, number]) => `${port} ${number}`)
      .join(', '),
  ])
  for (const line of columnsOf([head, ...rows])) terminal.say(line)
}

function meshLine({ accepted, config, instances }: MeshStatus): string {
  const healthy = instances.filter((instance) => instance.passing).length
  const missing = accepted.missing.length > 0 ? ` (not: ${accepted.missing.join(', ')})` : ''
  return `config ${config.version.slice(0, 12)} accepted by ${accepted.n}/${accepted.m}${missing}, ${healthy}/${instances.length} instances healthy`
}

function jobsLine({ total, byState }: Summary): string {
  const states = Object.entries(byState).filter(([, n]) => n > 0)
  return `${total} in all${states.length > 0 ? `: ${states.map(([state, n]) => `${n} ${state}`).join(', ')}` : ''}`
}

async function readSummary(jobs: ApiClient): Promise<Summary> {
  return parseSummary(await jobs.call('/api/v1/summary', { timeoutMs: ASK_TIMEOUT_MS }))
}

/** A process that does not answer is part of the picture, not a reason to show none. */
async function ask(read: () => Promise<string>): Promise<string> {
  try {
    return await read()
  } catch (error) {
    return `does not answer (${asFairleadError(error).message})`
  }
}
