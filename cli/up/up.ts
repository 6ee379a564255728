// up.ts — `fairlead up`: the whole of Fairlead on this machine, as supervised processes, until it is told to stop.
//
// Modes: starting → ready → (audit) → serving → leaving. The first interrupt leaves in order (fleet.ts), a second one
// kills. Whatever way this ends, no process stays: killed outright, our children notice by their IPC channel.

import { rmSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { type Clock, isoTime } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'
import { readConfigFiles } from '../../mesh-config/files.ts'
import { runAudit } from '../audit/audit.ts'
import { type ApiClient, openClient } from '../client.ts'
import { EXIT } from '../exit.ts'
import type { Terminal } from '../terminal.ts'
import { showBanner } from './banner.ts'
import { putConfig, writeJoinToken } from './control.ts'
import { DATA_DIR_DEFAULT, type DataDir, openDataDir } from './data-dir.ts'
import { childEnvironment } from './environment.ts'
import { Fleet } from './fleet.ts'
import { type Interrupts, watchInterrupts } from './interrupts.ts'
import { type Plan, planProcesses, ROOT } from './plan.ts'
import { portHolder } from './port-holder.ts'
import { assignPorts, canListen } from './ports.ts'
import { waitUntilReady } from './ready.ts'
import { openReservations } from './reservations.ts'
import { writeState } from './state-file.ts'

/** By the name that a user in the repository would give it: it appears in problems. */
const DEMO_CONFIG = relative(process.cwd(), join(ROOT, 'mesh-config', 'demo')) || '.'

export interface UpOptions {
  readonly demo: boolean
  readonly exit: boolean
  readonly ephemeral: boolean
  readonly badCanary: boolean
  readonly json: boolean
  /** undefined: `.fairlead`, or a temporary one when ephemeral. */
  readonly dataDir: string | undefined
  /** Tree to audit; undefined: our own node_modules. */
  readonly dir: string | undefined
  readonly report: string | undefined
  /** Configuration instead of the demo's. */
  readonly config: string | undefined
  /** `env`, or an address. */
  readonly consul: string | undefined
  readonly portBase: number | undefined
  /** URL of a PostgreSQL instead of the embedded store. */
  readonly database: string | undefined
}

export interface UpParts {
  readonly terminal: Terminal
  readonly clock: Clock
  readonly random: Random
  readonly env: Readonly<Record<string, string | undefined>>
  readonly fairleadVersion: string
}

/** Resolves with the exit code once everything has left. */
export async function runUp(options: UpOptions, parts: UpParts): Promise<number> {
  const { terminal, clock } = parts
  const { dataDir, ephemeral } = options
  const data = openDataDir({ dir: dataDir ?? DATA_DIR_DEFAULT, given: dataDir !== undefined, ephemeral })
  const session = new Session(options, parts, data)
  const interrupts = watchInterrupts(process, clock, () => {
    terminal.note('Ending at once.')
    session.fleet.kill()
  })
  const lastResort = (): void => session.fleet.kill()
  process.on('exit', lastResort)
  void interrupts.first.then(() => session.leave())
  try {
    return await session.run(interrupts)
  } catch (error) {
    if (interrupts.signal.aborted) return EXIT.interrupted
    throw error
  } finally {
    await session.leave()
    interrupts.close()
    process.off('exit', lastResort)
    data.close()
  }
}

class Session {
  readonly fleet: Fleet
  readonly #options: UpOptions
  readonly #parts: UpParts
  readonly #data: DataDir
  readonly #clients: ApiClient[] = []
  readonly #reservations = openReservations()
  #plan: Plan | undefined
  #leaving: Promise<void> | undefined

  constructor(options: UpOptions, parts: UpParts, data: DataDir) {
    this.#options = options
    this.#parts = parts
    this.#data = data
    this.fleet = new Fleet({
      logs: data.paths.logs,
      clock: parts.clock,
      onChange: () => this.#writeState(),
      onEvent: (message) => this.#tell(message),
    })
  }

  async run({ signal, first }: Interrupts): Promise<number> {
    const { options, clock, terminal } = { options: this.#options, ...this.#parts }
    const startedAt = clock.now()
    this.#note(`Starting Fairlead in ${this.#data.paths.dir} …`)
    const plan = await this.#makePlan()
    const control = this.#client(plan.addresses.controlApi)
    const jobs = this.#client(plan.addresses.jobs)
    const admin = this.#client(plan.addresses.admin)
    await this.#startProcesses(plan, control)
    await waitUntilReady({ control, jobs, admin, pairs: plan.pairs, clock, signal })
    this.#note(`Ready in ${((clock.now() - startedAt) / 1000).toFixed(1)} s: ${this.fleet.status().length} processes.`)
    const code = options.demo ? await this.#audit({ jobs, admin }, signal) : EXIT.ok
    if (options.exit) return code
    if (!options.json) showBanner({ ...options, addresses: plan.addresses, dataDir: this.#data.paths.dir }, terminal)
    return (await first) === 'SIGINT' ? EXIT.interrupted : EXIT.ok
  }

  leave(): Promise<void> {
    this.#leaving ??= this.#leaveInOrder()
    return this.#leaving
  }

  async #leaveInOrder(): Promise<void> {
    this.#note('Stopping: workers, scheduler, sidecars, control plane …')
    await this.fleet.close()
    await Promise.all(this.#clients.map((client) => client.close()))
    this.#reservations.close()
    rmSync(this.#data.paths.state, { force: true })
    this.#note('Stopped; no process is left.')
  }

  async #makePlan(): Promise<Plan> {
    const { env, fairleadVersion, random } = this.#parts
    const consul = consulAddress(this.#options.consul, env)
    const compileCache = join(ROOT, 'node_modules', '.cache', 'fairlead')
    this.#plan = await planProcesses({
      paths: this.#data.paths,
      ports: assignPorts({
        base: this.#options.portBase,
        random,
        onTaken: (message) => this.#tell(message),
        holder: (port) => portHolder(port) ?? this.#reservations.holder(port),
        claim: async (port) => this.#reservations.take(port) && (await canListen(port)),
      }),
      env: childEnvironment(env, { consulAsked: consul !== undefined, compileCache }),
      fairleadVersion,
      demo: this.#options.demo,
      badCanary: this.#options.badCanary,
      consul,
      database: this.#options.database,
    })
    return this.#plan
  }

  async #startProcesses(plan: Plan, control: ApiClient): Promise<void> {
    const apps = plan.pairs.map(({ app }) => this.fleet.start(app))
    const mesh = this.#startMesh(plan, control)
    await Promise.all([...apps, mesh])
  }

  async #startMesh(plan: Plan, control: ApiClient): Promise<void> {
    await this.fleet.start(plan.controlPlane)
    const config = this.#options.config ?? (this.#options.demo ? DEMO_CONFIG : undefined)
    if (config !== undefined) await putConfig(control, await readConfigFiles(config))
    await Promise.all(
      plan.pairs.map((pair) => this.fleet.start({ ...pair.sidecar, beforeStart: () => writeJoinToken(control, pair) })),
    )
  }

  #audit(apis: { jobs: ApiClient; admin: ApiClient }, signal: AbortSignal): Promise<number> {
    const { dir, report, badCanary, json } = this.#options
    return runAudit({
      ...apis,
      ...this.#parts,
      root: resolve(dir ?? join(ROOT, 'node_modules')),
      executionsFile: this.#data.paths.executions,
      reportFile: report,
      badCanary,
      json,
      signal,
    })
  }

  #client(origin: string): ApiClient {
    const client = openClient(origin, this.#data.apiKey)
    this.#clients.push(client)
    return client
  }

  #writeState(): void {
    if (!this.#plan || this.#leaving) return
    writeState(this.#data.paths.state, {
      schema: 1,
      supervisor: process.pid,
      startedAt: isoTime(this.#parts.clock.wall()),
      addresses: this.#plan.addresses,
      processes: this.fleet.status(),
    })
  }

  #note(message: string): void {
    if (!this.#options.json) this.#parts.terminal.note(message)
  }

  /** Things that went otherwise than planned are told also with --json, on stderr. */
  #tell(message: string): void {
    if (!this.#leaving) this.#parts.terminal.note(message)
  }
}

function consulAddress(
  asked: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (asked === undefined) return undefined
  const address = asked === 'env' ? env['CONSUL_HTTP_ADDR'] : asked
  if (!address) throw new FairleadError('INVALID_INPUT', '--consul env: CONSUL_HTTP_ADDR is not set.')
  return address.includes('://') ? address : `http://${address}`
}
