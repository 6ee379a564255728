// plan.ts — the changes of one commit → stages of rows, as the function fairlead.apply takes them. Pure.
//
// PostgreSQL applies a stage set by set, not change by change; that is the same thing as long as no two changes of a
// stage touch the same job or idempotency key. Nearly every commit is one stage. An atomic group has stages of its own.

import type { Change } from '../contract.ts'
import { type Row, rowOf, touchedBy } from './change-rows.ts'
import { shardOf } from './shards.ts'

export type Part = Exclude<Change['t'], 'atomic'>

export interface Stage {
  readonly parts: Partial<Record<Part, Row[]>>
  keyed: boolean
}

/** Stages that run one after the other; with a group they stand or fall together. */
export interface Block {
  readonly group: Group | undefined
  readonly stages: [Stage, ...Stage[]]
}

export interface Group {
  /** Of the group's own change; its members follow it. */
  readonly index: number
  readonly count: number
}

export interface Plan {
  /** The first is no group (and may be empty). */
  readonly blocks: readonly [Block, ...Block[]]
  readonly shards: readonly number[]
  /** Jobs that exist already: their shards are looked up. */
  readonly ids: readonly string[]
  readonly token: bigint
  readonly seq: number
}

/** `keyless`: the shard of new jobs without a key. */
export function planCommit(calls: readonly (readonly Change[])[], keyless: number): Plan {
  const planner = new Planner(keyless)
  for (const changes of calls) for (const change of changes) planner.add(change)
  return planner.plan()
}

type Single = Exclude<Change, { t: 'atomic' }>
const emptyStage = (): Stage => ({ parts: {}, keyed: false })

class Planner {
  readonly #keyless: number
  readonly #blocks: [Block, ...Block[]] = [{ group: undefined, stages: [emptyStage()] }]
  /** Of the open block: job, key or session → the last stage that touches it, and whether that was by a log line. */
  readonly #touched = new Map<string, { stage: number; log: boolean }>()
  readonly #shards = new Set<number>()
  readonly #ids = new Set<string>()
  #index = 0
  #membersLeft = 0
  #token = 0n
  #seq = 0

  constructor(keyless: number) {
    this.#keyless = keyless
  }

  add(change: Change): void {
    const index = this.#index++
    if (change.t !== 'atomic') this.#place(index, change)
    // A group of one is an ordinary change.
    else if (change.count > 1) {
      this.#open({ index, count: change.count })
      this.#membersLeft = change.count
    }
  }

  plan(): Plan {
    // A guard must hold something: the home shard stands for what belongs to no job.
    if (this.#shards.size === 0) this.#shards.add(this.#keyless)
    const marks = { token: this.#token, seq: this.#seq }
    return { blocks: this.#blocks, shards: [...this.#shards], ids: [...this.#ids], ...marks }
  }

  #open(group?: Group): void {
    this.#blocks.push({ group, stages: [emptyStage()] })
    this.#touched.clear()
  }

  #place(index: number, change: Single): void {
    this.#mark(change)
    const stage = this.#stageFor(change)
    const row = rowOf(index, change, this.#keyless)
    const rows = stage.parts[change.t]
    if (rows) rows.push(row)
    else stage.parts[change.t] = [row]
    if (change.t === 'insert' && change.job.idempotencyKey !== null) stage.keyed = true
    if (this.#membersLeft > 0 && --this.#membersLeft === 0) this.#open()
  }

  #stageFor(change: Single): Stage {
    const { stages } = this.#blocks.at(-1)!
    const things = touchedBy(change)
    const log = change.t === 'log'
    let at = 0
    for (const thing of things) {
      const last = this.#touched.get(thing)
      // Lines of one job go in order of their index, so they may share a stage.
      if (last) at = Math.max(at, last.log && log ? last.stage : last.stage + 1)
    }
    if (at === stages.length) stages.push(emptyStage())
    for (const thing of things) this.#touched.set(thing, { stage: at, log })
    return stages[at]!
  }

  #mark(change: Single): void {
    if (change.t === 'insert') {
      this.#shards.add(shardOf(change.job, this.#keyless))
      if (change.job.seq > this.#seq) this.#seq = change.job.seq
    } else if (change.t === 'lease') {
      this.#ids.add(change.attempt.job)
      if (change.attempt.token > this.#token) this.#token = change.attempt.token
    } else if ('job' in change) this.#ids.add(change.job)
  }
}
