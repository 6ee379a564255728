// outcomes.ts — how attempts ended, told to the own sidecar: a 200 hides a failed job.
//
// Counts per authority, backend and instance, sent at most every 250 ms. `succeeded` and `failed` (transient errors and
// time-outs); permanent errors and cancels say nothing about the version. Advisory: what cannot be sent is kept up to
// ENTRIES_MAX pairs and then dropped, counted.

import type { Clock, Timer } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { WorkerResult } from '../../workers/contract.ts'
import type { Sidecar } from './sidecar.ts'

export const OUTCOME_PERIOD_MS = 250
const ENTRIES_MAX = 1_000

export interface OutcomeKey {
  readonly authority: string
  readonly backend: string
  readonly instance: string
}

interface Count extends OutcomeKey {
  succeeded: number
  failed: number
}

export class Outcomes {
  readonly #sidecar: Sidecar
  readonly #clock: Clock
  readonly #log: Log
  #counts = new Map<string, Count>()
  #timer: Timer | undefined
  #sending: Promise<void> = Promise.resolve()

  constructor(sidecar: Sidecar, clock: Clock, log: Log) {
    this.#sidecar = sidecar
    this.#clock = clock
    this.#log = log
  }

  add(key: OutcomeKey, result: WorkerResult): void {
    const verdict = verdictOf(result)
    if (verdict === undefined) return
    this.#merge({ ...key, succeeded: verdict === 'succeeded' ? 1 : 0, failed: verdict === 'failed' ? 1 : 0 })
    this.#timer ??= this.#clock.after(OUTCOME_PERIOD_MS, () => void this.flush(), true)
  }

  flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#counts.size === 0) return this.#sending
    const outcomes = [...this.#counts.values()]
    this.#counts = new Map()
    this.#sending = this.#send(outcomes)
    return this.#sending
  }

  async #send(outcomes: Count[]): Promise<void> {
    try {
      await this.#sidecar.report({ outcomes })
    } catch (error) {
      this.#log.warn({ error }, 'outcomes not heard by the sidecar; kept for the next report')
      for (const count of outcomes) this.#merge(count)
      this.#timer ??= this.#clock.after(OUTCOME_PERIOD_MS * 4, () => void this.flush(), true)
    }
  }

  #merge(more: Count): void {
    const key = `${more.authority}\n${more.backend}\n${more.instance}`
    const count = this.#counts.get(key)
    if (count) {
      count.succeeded += more.succeeded
      count.failed += more.failed
    } else if (this.#counts.size < ENTRIES_MAX) {
      this.#counts.set(key, { ...more })
    } else {
      this.#log.warn({ instance: more.instance }, 'too many instances in one report; outcome dropped')
    }
  }
}

/** What a result says about the version that ran it. */
export function verdictOf(result: WorkerResult): 'succeeded' | 'failed' | undefined {
  if (result.outcome === 'succeeded') return 'succeeded'
  if (result.outcome === 'timedOut') return 'failed'
  if (result.outcome === 'failed' && result.error?.class !== 'permanent') return 'failed'
  return undefined
}
