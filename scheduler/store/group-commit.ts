// group-commit.ts — many callers, one transaction at a time.
//
// The next transaction starts when the last one returned and takes every call that waits, up to CHANGES_MAX: no timer,
// and batches grow by themselves under load. A call is never split. Calls that wait are bounded by the callers
// (submissions are counted, the leader's own changes by its running attempts).

import type { ErrorCode } from '../../kernel/errors.ts'
import type { Change, ChangeResult } from './contract.ts'

export const CHANGES_MAX = 5_000
/** Where the engine says what a change weighs: one transaction must not fill the memory of both ends. */
export const GROUP_BYTES_MAX = 16 * 1024 * 1024

export interface Engine {
  /** One transaction over the changes of all calls; results that are not simply ok, by index. */
  apply(calls: readonly (readonly Change[])[]): Promise<readonly (readonly [number, ChangeResult])[]>
  bytesOf?(change: Change): number
}

interface Waiting {
  readonly changes: readonly Change[]
  resolve(results: readonly ChangeResult[]): void
  reject(error: unknown): void
}

const OK: ChangeResult = { ok: true }

export class GroupCommit {
  readonly #engine: Engine
  readonly #onCommit: (changes: number) => () => void
  #waiting: Waiting[] = []
  #running: Promise<void> | undefined

  /** `onCommit` is told when a transaction starts and returns what is called when it ended. */
  constructor(engine: Engine, onCommit: (changes: number) => () => void = () => () => undefined) {
    this.#engine = engine
    this.#onCommit = onCommit
  }

  commit(changes: readonly Change[]): Promise<readonly ChangeResult[]> {
    if (changes.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      this.#waiting.push({ changes, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#transaction(this.#takeGroup())
    this.#running = undefined
  }

  #takeGroup(): readonly Waiting[] {
    let changes = this.#waiting[0]!.changes.length
    let bytes = this.#bytes(this.#waiting[0]!)
    let calls = 1
    while (calls < this.#waiting.length) {
      const next = this.#waiting[calls]!
      changes += next.changes.length
      bytes += this.#bytes(next)
      if (changes > CHANGES_MAX || bytes > GROUP_BYTES_MAX) break
      calls++
    }
    if (calls < this.#waiting.length) return this.#waiting.splice(0, calls)
    const all = this.#waiting
    this.#waiting = []
    return all
  }

  #bytes({ changes }: Waiting): number {
    const weigh = this.#engine.bytesOf
    return weigh ? changes.reduce((sum, change) => sum + weigh(change), 0) : 0
  }

  async #transaction(group: readonly Waiting[]): Promise<void> {
    const ended = this.#onCommit(group.reduce((sum, { changes }) => sum + changes.length, 0))
    try {
      const special = await this.#engine.apply(group.map(({ changes }) => changes))
      answer(group, new Map(special))
    } catch (error) {
      for (const call of group) call.reject(error)
    } finally {
      ended()
    }
  }
}

function answer(group: readonly Waiting[], special: ReadonlyMap<number, ChangeResult>): void {
  let index = 0
  for (const call of group) {
    const results = call.changes.map(() => special.get(index++) ?? OK)
    call.resolve(results)
  }
}

/** The code of a refused change; undefined when it stands. */
export const refusal = (result: ChangeResult): ErrorCode | undefined => (result.ok ? undefined : result.code)
