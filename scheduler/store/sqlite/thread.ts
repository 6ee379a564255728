// thread.ts — what runs inside the store's threads: one database connection each, one call at a time.
//
// Role `write`: the only connection that writes. Role `read`: read-only. A call is `{id, op, args}`, its answer
// `{id, value}` or `{id, failure}`; the first message says whether the file could be opened.

import { DatabaseSync } from 'node:sqlite'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { FairleadError } from '../../../kernel/errors.ts'
import type { Label, ListQuery } from '../contract.ts'
import type { Cell } from './codec.ts'
import { Reader } from './reader.ts'
import { prepareSchema } from './schema.ts'
import { summarize } from './summary.ts'
import type { Answer, Call, Failure, ThreadData } from './wire.ts'
import { UnknownOutcome, Writer } from './writer.ts'

type Ops = Record<string, (...args: never[]) => unknown>

const port = parentPort as MessagePort
const data = workerData as ThreadData

function open(): { db: DatabaseSync; ops: Ops } {
  if (data.role === 'write') {
    const db = new DatabaseSync(data.file, { timeout: 5_000 })
    prepareSchema(db)
    const writer = new Writer(db, data.logBytesMax)
    return { db, ops: { apply: (cells: readonly Cell[]) => writer.apply(cells) } }
  }
  const db = new DatabaseSync(data.file, { readOnly: true, timeout: 5_000 })
  return { db, ops: readOps(new Reader(db)) }
}

function readOps(reader: Reader): Ops {
  return {
    pending: (after: number, limit: number) => reader.pending(after, limit),
    running: () => reader.running(),
    sessions: () => reader.sessions(),
    highest: () => reader.highest(),
    bodies: (ids: readonly string[]) => reader.bodies(ids),
    rows: (ids: readonly string[]) => reader.rows(ids),
    get: (tenant: string, id: string) => reader.get(tenant, id),
    attempts: (tenant: string, id: string) => reader.attempts(tenant, id),
    logs: (tenant: string, id: string, after: number, limit: number) => reader.logs(tenant, id, after, limit),
    list: (query: ListQuery) => reader.list(query),
    summary: (tenant: string, label?: Label) => summarize(reader, tenant, label),
  }
}

function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error)
  return {
    code: error instanceof FairleadError ? error.code : 'STORE_UNAVAILABLE',
    message,
    unknown: error instanceof UnknownOutcome,
  }
}

function serve(db: DatabaseSync, ops: Ops): void {
  port.on('message', (call: Call) => {
    if (call.op === 'close') {
      db.close()
      port.postMessage({ id: call.id, value: undefined } satisfies Answer)
      port.close()
      return
    }
    try {
      const value = ops[call.op]!(...(call.args as never[]))
      port.postMessage({ id: call.id, value } satisfies Answer)
    } catch (error) {
      port.postMessage({ id: call.id, failure: failureOf(error) } satisfies Answer)
    }
  })
}

try {
  const { db, ops } = open()
  serve(db, ops)
  port.postMessage({ id: 0, value: undefined } satisfies Answer)
} catch (error) {
  port.postMessage({ id: 0, failure: failureOf(error) } satisfies Answer)
  port.close()
}
