// writer.ts — one group of commits = one call of fairlead.apply = one transaction in one round trip.
//
// One connection of its own, made again when it broke while idle. A commit whose outcome is not known, or that another
// leader's epoch refused, ends this process's right to write (session.lost): rows say what happened, memory cannot.

import type pg from 'pg'
import { assert, type ErrorCode, FairleadError } from '../../../kernel/errors.ts'
import type { Closable } from '../../../kernel/lifetime.ts'
import { LOG_BYTES_MAX } from '../../../workers/contract.ts'
import type { Change, ChangeResult } from '../contract.ts'
import type { Engine } from '../group-commit.ts'
import { stateOf } from '../sqlite/schema.ts'
import { bytesOf } from './change-rows.ts'
import { assertDurable, connect, failure, sqlstate } from './connection.ts'
import { type Block, type Group, type Plan, planCommit, type Stage } from './plan.ts'
import { fenced, type LeaderSession } from './session.ts'
import { SHARDS } from './shards.ts'

/** Serialization failure and deadlock: rolled back by the server, safe to repeat. */
const REPEATABLE = new Set(['40001', '40P01'])
const TRIES_MAX = 5
const FENCED = 'FL001'

type Special = readonly [number, ChangeResult]
interface SpecialRow {
  readonly n: number
  readonly code: string | null
  readonly id: string | null
  readonly state: number | null
}

export class Writer implements Engine, Closable {
  readonly #url: string
  readonly #session: LeaderSession
  #client: pg.Client | undefined
  #commits = 0
  #over: FairleadError | undefined

  constructor(url: string, session: LeaderSession) {
    this.#url = url
    this.#session = session
  }

  bytesOf(change: Change): number {
    return bytesOf(change)
  }

  async apply(calls: readonly (readonly Change[])[]): Promise<readonly Special[]> {
    const plan = planCommit(calls, this.#commits++ % SHARDS)
    const values = parameters(this.#session, plan)
    for (let tries = 1; ; tries++) {
      if (this.#over) throw this.#over
      const client = await this.#connected()
      try {
        const { rows } = await client.query<SpecialRow>({ name: 'fairlead-apply', text: APPLY, values })
        return rows.length === 0 ? [] : specials(rows, plan.blocks)
      } catch (cause) {
        if (tries < TRIES_MAX && REPEATABLE.has(sqlstate(cause) ?? '')) continue
        throw this.#failed(cause)
      }
    }
  }

  async close(): Promise<void> {
    this.#over ??= new FairleadError('STORE_UNAVAILABLE', 'The job store is closing.')
    await this.#client?.end().catch(() => undefined)
    this.#client = undefined
  }

  #failed(cause: unknown): FairleadError {
    if (sqlstate(cause) === FENCED) return this.#lost(fenced(cause))
    const error = failure(cause)
    return error.log['unknown'] === true ? this.#lost(error) : error
  }

  #lost(error: FairleadError): FairleadError {
    this.#over = error
    void this.#client?.end().catch(() => undefined)
    this.#client = undefined
    this.#session.lost(error)
    return error
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client) return this.#client
    const client = await connect(this.#url, 'writer')
    const drop = (): void => {
      if (this.#client === client) this.#client = undefined
    }
    client.on('error', drop)
    client.on('end', drop)
    await assertDurable(client)
    this.#client = client
    return client
  }
}

const COLUMNS = ['move', 'lease', 'started', 'progress', 'log', 'end', 'session', 'sessionEnd'] as const
const APPLY = `SELECT n, code, id, state FROM fairlead.apply($1, $2, $3, $4, $5, $6, $7, $8, $9,
  ${COLUMNS.map((_, i) => `$${10 + i}`).join(', ')}, $${10 + COLUMNS.length})`

function parameters(session: LeaderSession, { blocks, shards, ids, token, seq }: Plan): unknown[] {
  const [first, ...more] = blocks
  const [stage, ...stages] = first.stages
  // The first stage goes as columns of its own; whatever is more than that as documents.
  const documents = [...(stages.length > 0 ? [{ group: undefined, stages }] : []), ...more].filter(hasRows)
  return [
    ...[session.id, session.epochs, shards, ids, String(token), seq, LOG_BYTES_MAX],
    ...[json(stage.parts.insert), stage.keyed],
    ...COLUMNS.map((part) => json(stage.parts[part])),
    documents.map(documentOf),
  ]
}

interface Documented {
  readonly group: Group | undefined
  readonly stages: readonly Stage[]
}

const hasRows = ({ stages }: Documented): boolean => stages.some(({ parts }) => Object.keys(parts).length > 0)
const json = (rows: readonly unknown[] | undefined): string | null => (rows ? JSON.stringify(rows) : null)
const documentOf = ({ group, stages }: Documented): string =>
  JSON.stringify({ atomic: group?.index, stages: stages.map(({ parts, keyed }) => ({ ...parts, keyed })) })

function specials(rows: readonly SpecialRow[], blocks: readonly Block[]): Special[] {
  const found = new Map<number, ChangeResult>()
  const fallen = new Set<number>()
  for (const row of rows) {
    if (row.code === 'ATOMIC_REFUSED') fallen.add(Number(row.id))
    else found.set(row.n, resultOf(row))
  }
  for (const { group } of blocks) if (group && fallen.has(group.index)) refuseAll(group, found)
  return [...found]
}

/** What the group itself refused keeps its code; the others fall with it. */
function refuseAll({ index, count }: Group, found: Map<number, ChangeResult>): void {
  for (let n = index + 1; n <= index + count; n++) {
    if (found.get(n)?.ok !== false) found.set(n, { ok: false, code: 'ATOMIC_REFUSED' })
  }
}

function resultOf({ code, id, state }: SpecialRow): ChangeResult {
  if (code !== null) return { ok: false, code: code as ErrorCode }
  assert(id !== null, 'a change without a code names the job that exists')
  return { ok: true, existing: { id, state: stateOf(state) } }
}
