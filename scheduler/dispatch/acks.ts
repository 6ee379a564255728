// acks.ts — tells workers which results are durable, in batches, until they have heard it.
//
// Per session one queue and one call at a time; what gathers while it is on its way goes with the next. Lost acks are
// harmless (the worker names the result again on attach), so a queue past its bound drops the oldest.

import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import { ACK_PATH } from '../../workers/contract.ts'
import { keyOf, type Ref } from './flights.ts'
import type { WorkerSession } from './sessions.ts'
import { type Sidecar, textOf } from './sidecar.ts'

const BATCH_MAX = 5_000
const QUEUE_MAX = 50_000
const CALL_TIMEOUT_MS = 5_000
const RETRY_MIN_MS = 200
const RETRY_MAX_MS = 5_000
const ANSWER_BYTES_MAX = 64 * 1024

export interface AcksParts {
  readonly sidecar: Sidecar
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly closing: AbortSignal
  headers(session: WorkerSession): Record<string, string>
}

export class Acks {
  readonly #parts: AcksParts
  readonly #queues = new Map<WorkerSession, Map<string, Ref>>()
  readonly #loops = new Map<WorkerSession, Promise<void>>()

  constructor(parts: AcksParts) {
    this.#parts = parts
  }

  add(session: WorkerSession, { job, token }: Ref): void {
    if (session.plain || session.ended) return
    const queue = this.#queues.get(session) ?? new Map<string, Ref>()
    this.#queues.set(session, queue.set(keyOf({ job, token }), { job, token }))
    if (queue.size > QUEUE_MAX) queue.delete(queue.keys().next().value!)
    if (!this.#loops.has(session)) this.#loops.set(session, this.#run(session, queue))
  }

  /** Resolves when what was queued is sent, or we close. */
  async settle(): Promise<void> {
    await Promise.all(this.#loops.values())
  }

  async #run(session: WorkerSession, queue: Map<string, Ref>): Promise<void> {
    const { clock, random, closing } = this.#parts
    await new Promise<void>((resolve) => void setImmediate(resolve)) // gather what this turn has
    let delayMs = RETRY_MIN_MS
    while (queue.size > 0 && !session.ended && !closing.aborted) {
      const batch = [...queue.values()].slice(0, BATCH_MAX)
      if (await this.#send(session, batch)) {
        for (const ref of batch) queue.delete(keyOf(ref))
        delayMs = RETRY_MIN_MS
      } else {
        await clock.sleep(random.between(delayMs / 2, delayMs), closing).catch(() => undefined)
        delayMs = Math.min(RETRY_MAX_MS, delayMs * 2)
      }
    }
    this.#queues.delete(session)
    this.#loops.delete(session)
  }

  async #send(session: WorkerSession, results: readonly Ref[]): Promise<boolean> {
    const { sidecar, log, closing, headers } = this.#parts
    try {
      const answer = await sidecar.post({
        authority: session.authority,
        path: ACK_PATH,
        headers: headers(session),
        body: JSON.stringify({ results }),
        contentType: 'application/json',
        signal: closing,
        headersTimeoutMs: CALL_TIMEOUT_MS,
        idleTimeoutMs: CALL_TIMEOUT_MS,
      })
      const text = await textOf(answer.body, ANSWER_BYTES_MAX)
      if (answer.status === 204) return true
      log.warn({ worker_id: session.row.instance, status: answer.status, answer: text }, 'ack not taken; trying again')
    } catch (error) {
      if (!closing.aborted) log.warn({ error, worker_id: session.row.instance }, 'ack not heard; trying again')
    }
    return false
  }
}
