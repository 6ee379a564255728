// fleet.ts — all processes of one `up`: started as their turn comes, stopped in the order that loses nothing.
//
// Order of leaving: workers (they finish what runs) → scheduler (it takes their results) → sidecars → control plane.
// Each step is bounded; `kill` ends everything at once and may be called during `close`.

import { closeSync, copyFileSync, ftruncateSync, openSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Status } from '../contract.ts'
import { type ProcessSpec, type Role, Supervised } from './supervised.ts'

/** Longer than each role's own bound for its drain. */
const GRACE_MS = { worker: 28_000, scheduler: 12_000, proxy: 13_000, 'control-plane': 8_000 } as const satisfies Record<
  Role,
  number
>
const LEAVING: readonly Role[] = ['worker', 'scheduler', 'proxy', 'control-plane']
const LOG_BYTES_MAX = 32 * 1024 * 1024
const LOG_CHECK_MS = 5_000

export interface FleetOptions {
  readonly logs: string
  readonly clock: Clock
  readonly onChange: (processes: Status['processes']) => void
  readonly onEvent: (message: string) => void
}

export class Fleet implements Closable {
  readonly #options: FleetOptions
  readonly #members = new Map<string, Supervised>()
  readonly #logTimer: { cancel(): void }
  #closing: Promise<void> | undefined

  constructor(options: FleetOptions) {
    this.#options = options
    this.#logTimer = options.clock.every(LOG_CHECK_MS, () => this.#boundLogs())
  }

  /** Resolves when it is ready; from then on it is kept running. */
  async start(spec: ProcessSpec): Promise<void> {
    if (this.#closing) return
    const { logs, clock, onEvent } = this.#options
    const member = new Supervised(spec, { logs, clock, onEvent, onChange: () => this.#tell() })
    this.#members.set(spec.name, member)
    await member.start()
  }

  portOf(name: string, port: string): number {
    const found = this.#members.get(name)?.ports[port]
    if (found === undefined) throw new Error(`process ${name} told no port ${port}`)
    return found
  }

  status(): Status['processes'] {
    return [...this.#members.values()].map((member) => member.status())
  }

  close(): Promise<void> {
    this.#closing ??= this.#leave()
    return this.#closing
  }

  kill(): void {
    for (const member of this.#members.values()) member.kill()
  }

  async #leave(): Promise<void> {
    this.#logTimer.cancel()
    for (const role of LEAVING) {
      const leaving = [...this.#members.values()].filter((member) => member.spec.role === role)
      await Promise.all(leaving.map((member) => member.stop(GRACE_MS[role])))
    }
  }

  #tell(): void {
    this.#options.onChange(this.status())
  }

  /** Children append (O_APPEND), so a log can be cut to nothing under them; the last part is kept as `.1`. */
  #boundLogs(): void {
    for (const name of this.#members.keys()) cutLog(join(this.#options.logs, `${name}.log`))
  }
}

function cutLog(file: string): void {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < LOG_BYTES_MAX) return
  copyFileSync(file, `${file}.1`)
  const fd = openSync(file, 'r+')
  try {
    ftruncateSync(fd, 0)
  } finally {
    closeSync(fd)
  }
}
