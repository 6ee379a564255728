// cancels.ts — tells a worker to stop an attempt, again and again until the attempt has its last word.
//
// The word itself comes as a `result` on a stream. A 404 may mean that the dispatch is still on its way.

import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import { CANCEL_PATH, type Cancel } from '../../workers/contract.ts'
import type { StopWhy } from '../leader/port.ts'
import type { Flight, Flights } from './flights.ts'
import type { WorkerSession } from './sessions.ts'
import { type Sidecar, textOf } from './sidecar.ts'

const CALL_TIMEOUT_MS = 5_000
const REPEAT_MIN_MS = 500
const REPEAT_MAX_MS = 5_000
const ANSWER_BYTES_MAX = 64 * 1024

export interface CancelsParts {
  readonly sidecar: Sidecar
  readonly flights: Flights
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly closing: AbortSignal
  headers(session: WorkerSession): Record<string, string>
}

export class Cancels {
  readonly #parts: CancelsParts
  /** At most one loop per flight. */
  readonly #loops = new Map<string, Promise<void>>()

  constructor(parts: CancelsParts) {
    this.#parts = parts
  }

  cancel(flight: Flight, why: StopWhy): void {
    if (flight.abort || this.#loops.has(flight.key)) {
      flight.abort?.(why)
      return
    }
    const loop = this.#run(flight, why).finally(() => this.#loops.delete(flight.key))
    this.#loops.set(flight.key, loop)
  }

  async settle(): Promise<void> {
    await Promise.all(this.#loops.values())
  }

  async #run(flight: Flight, why: StopWhy): Promise<void> {
    const { flights, clock, random, closing } = this.#parts
    for (let delayMs = REPEAT_MIN_MS; ; delayMs = Math.min(REPEAT_MAX_MS, delayMs * 2)) {
      if (flights.get(flight) !== flight || flight.landing || flight.session.ended || closing.aborted) return
      await this.#send(flight, { job: flight.job, token: flight.token, reason: why })
      await clock.sleep(random.between(delayMs / 2, delayMs), closing).catch(() => undefined)
    }
  }

  async #send(flight: Flight, body: Cancel): Promise<void> {
    const { sidecar, log, closing, headers } = this.#parts
    try {
      const answer = await sidecar.post({
        authority: flight.session.authority,
        path: CANCEL_PATH,
        headers: headers(flight.session),
        body: JSON.stringify(body),
        contentType: 'application/json',
        signal: closing,
        headersTimeoutMs: CALL_TIMEOUT_MS,
        idleTimeoutMs: CALL_TIMEOUT_MS,
      })
      await textOf(answer.body, ANSWER_BYTES_MAX)
    } catch (error) {
      if (!closing.aborted) log.warn({ error, task_id: flight.job }, 'cancel not heard; trying again')
    }
  }
}
