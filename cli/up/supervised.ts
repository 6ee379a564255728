// supervised.ts — keeps one process running until it is told to stop.
//
// Modes: starting → ready → (waiting → starting → ready)* → stopping → gone. A process that ends by itself is started
// again after 0.5 s, doubling to 10 s; a minute of good health forgets the past. One that never becomes ready at all
// fails the start after STARTS_MAX tries, with its own last words.

import { join } from 'node:path'
import type { Clock } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { Status } from '../contract.ts'
import { type Child, lastComplaint, startChild } from './child.ts'

export type Role = Status['processes'][number]['role']
export type Mode = 'starting' | 'ready' | 'waiting' | 'stopping' | 'gone'

export interface ProcessSpec {
  readonly name: string
  readonly role: Role
  readonly version: string
  readonly script: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Before each start; a failure is told and the process starts all the same (it has its last good state). */
  readonly beforeStart?: () => Promise<void>
}

export interface SuperviseOptions {
  readonly logs: string
  readonly clock: Clock
  /** Something to show: mode, pid, ports or restarts changed. */
  readonly onChange: () => void
  readonly onEvent: (message: string) => void
}

export const BACKOFF_MS_MIN = 500
export const BACKOFF_MS_MAX = 10_000
const HEALTHY_MS = 60_000
const STARTS_MAX = 4

/** n-th restart in a row, from 0. */
export const backoffMs = (n: number): number => Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(n, 16))

export class Supervised {
  readonly spec: ProcessSpec
  readonly #options: SuperviseOptions
  readonly #stop = new AbortController()
  #mode: Mode = 'starting'
  #child: Child | undefined
  #ports: Readonly<Record<string, number>> = {}
  #restarts = 0
  #done: Promise<void> = Promise.resolve()

  constructor(spec: ProcessSpec, options: SuperviseOptions) {
    this.spec = spec
    this.#options = options
  }

  get mode(): Mode {
    return this.#mode
  }

  get ports(): Readonly<Record<string, number>> {
    return this.#ports
  }

  status(): Status['processes'][number] {
    const { name, role, version } = this.spec
    return { name, role, pid: this.#child?.pid ?? null, version, ports: { ...this.#ports }, restarts: this.#restarts }
  }

  /** Resolves when it is ready for the first time. @throws START_FAILED when it cannot start. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#done = this.#run(resolve, reject)
    })
  }

  /** SIGTERM, then SIGKILL after `graceMs`. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stop.abort()
    this.#child?.kill('SIGTERM')
    const hard = this.#options.clock.after(graceMs, () => {
      this.#options.onEvent(`${this.spec.name} did not leave within ${graceMs / 1000} s and was killed`)
      this.kill()
    })
    await this.#done
    hard.cancel()
  }

  /** At once; `stop` or the run loop sees it end. */
  kill(): void {
    this.#stop.abort()
    this.#child?.kill('SIGKILL')
  }

  async #run(onReady: () => void, onFailed: (error: unknown) => void): Promise<void> {
    let everReady = false
    for (let row = 0; !this.#stop.signal.aborted; ) {
      const startedAt = this.#options.clock.now()
      if (await this.#once(onReady)) everReady = true
      if (this.#stop.signal.aborted) break
      row = this.#options.clock.now() - startedAt > HEALTHY_MS ? 0 : row
      if (!everReady && row + 1 >= STARTS_MAX) {
        onFailed(new FairleadError('START_FAILED', this.#whyNot()))
        break
      }
      await this.#wait(backoffMs(row++))
    }
    this.#set('gone')
    onFailed(new FairleadError('START_FAILED', `${this.spec.name} was stopped before it was ready.`))
  }

  /** One life of the process; true when it became ready. */
  async #once(onReady: () => void): Promise<boolean> {
    const { clock, logs, onEvent } = this.#options
    this.#set('starting')
    await this.spec.beforeStart?.().catch((error: unknown) => {
      onEvent(
        `${this.spec.name}: ${error instanceof Error ? error.message : String(error)}; starting from its last state`,
      )
    })
    if (this.#stop.signal.aborted) return false
    const child = startChild({ ...this.spec, logFile: this.#logFile(logs) }, clock)
    this.#child = child
    this.#options.onChange()
    const ports = await child.ready
    if (ports) {
      this.#ports = ports
      this.#set(this.#stop.signal.aborted ? 'stopping' : 'ready')
      onReady()
    }
    const { code, signal } = await child.exited
    this.#child = undefined
    if (!this.#stop.signal.aborted) onEvent(`${this.spec.name} ended (${signal ?? `exit ${code}`})`)
    return ports !== null
  }

  async #wait(ms: number): Promise<void> {
    this.#set('waiting')
    await this.#options.clock.sleep(ms, this.#stop.signal).catch(() => undefined) // stopped: the loop sees it
    if (!this.#stop.signal.aborted) this.#restarts++
  }

  #set(mode: Mode): void {
    this.#mode = mode
    this.#options.onChange()
  }

  #logFile(logs: string): string {
    return join(logs, `${this.spec.name}.log`)
  }

  #whyNot(): string {
    const file = this.#logFile(this.#options.logs)
    return `${this.spec.name} does not start: ${lastComplaint(file)} (log: ${file})`
  }
}
