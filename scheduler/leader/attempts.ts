// attempts.ts — the life of an attempt: lease, start, signs of life, end. Every end passes through `verdict`.

import type { MonotonicMs, WallMs } from '../../kernel/clock.ts'
import { type AttemptError, RESULT_BYTES_MAX, type WorkerResult } from '../../workers/contract.ts'
import type { AttemptRow, StoredBody } from '../store/contract.ts'
import type { Core } from './core.ts'
import { dispatchLine } from './dispatch-line.ts'
import type { Entry } from './entry.ts'
import type { Notes } from './notes.ts'
import type { Assignment, LeasedAttempt } from './port.ts'
import { type Said, type Verdict, verdict } from './verdict.ts'

/** The worker enforces the execution timeout; past this grace the leader asks it to stop. */
export const EXECUTION_GRACE_MS = 500
/** After a lease that could not be committed. */
export const STORE_RETRY_MS = 1_000

interface Chosen {
  readonly entry: Entry
  readonly row: AttemptRow
  readonly retry: boolean
}

interface EndExtra {
  readonly result?: string | null
  readonly refusal?: string
  readonly startedAt?: WallMs | undefined
  /** Not offered again before. */
  readonly heldMs?: number
}

export class Attempts {
  readonly #core: Core
  readonly #notes: Notes
  #token: bigint

  /** `token`: the highest ever given. */
  constructor(core: Core, notes: Notes, token: bigint) {
    this.#core = core
    this.#notes = notes
    this.#token = token
  }

  async lease(assignments: readonly Assignment[]): Promise<LeasedAttempt[]> {
    const chosen = this.#choose(assignments)
    if (chosen.length === 0) return []
    const entries = chosen.map(({ entry }) => entry)
    return this.#core.busy(entries, async () => {
      try {
        const bodies = await this.#core.bodies.of(entries.map(({ id }) => id))
        const results = await this.#core.store.commit(chosen.map(({ row }) => ({ t: 'lease', attempt: row })))
        return chosen.map((one, i) => {
          const result = results[i]!
          if (!result.ok) throw this.#core.diverged(one.entry, result.code)
          return this.#leased(one, bodies.get(one.entry.id)!)
        })
      } catch (error) {
        for (const entry of entries) if (entry.place === 'taken') this.#core.floor.comeBack(entry, STORE_RETRY_MS)
        throw error
      }
    })
  }

  #choose(assignments: readonly Assignment[]): Chosen[] {
    const chosen: Chosen[] = []
    for (const assignment of assignments) {
      const entry = this.#core.floor.jobs.get(assignment.job.id)
      if (entry?.place !== 'taken') continue
      // A change under way (cancel, expiry) settles the job when it is done.
      if (entry.busy) this.#core.floor.comeBack(entry)
      else chosen.push({ entry, row: this.#attemptRow(entry, assignment), retry: entry.token > 0n })
    }
    return chosen
  }

  #attemptRow(entry: Entry, { instance, session, backend, version }: Assignment): AttemptRow {
    this.#token += 1n
    return {
      job: entry.id,
      token: this.#token,
      attempt: entry.attempts + entry.lost + 1,
      instance,
      session,
      backend,
      version,
      leasedAt: this.#core.clock.wall(),
    }
  }

  #leased({ entry, row, retry }: Chosen, body: StoredBody): LeasedAttempt {
    entry.state = 'leased'
    entry.place = 'none'
    entry.token = row.token
    entry.startedAt = null
    this.take(entry, row)
    this.#core.changed(entry)
    return { row, dispatch: dispatchLine(entry, row, body, this.#core.clock.wall()), retry }
  }

  /** The attempt runs from now on, as far as its clocks are concerned. */
  take(entry: Entry, row: AttemptRow): void {
    entry.attempt = row
    entry.stopping = entry.state === 'cancelling' ? 'cancelled' : undefined
    entry.signAt = this.#core.clock.now()
    const ranMs = Math.max(0, this.#core.clock.wall() - row.leasedAt)
    entry.stopBy = this.#core.later(entry.stopping ? 0 : entry.executionTimeoutMs + EXECUTION_GRACE_MS - ranMs)
  }

  started(job: string, token: string): void {
    const entry = this.#current(job, token)
    if (!entry?.attempt) return
    entry.signAt = this.#core.clock.now()
    if (entry.startedAt !== null) return
    entry.startedAt = this.#core.clock.wall()
    if (entry.stopping === undefined) entry.stopBy = this.#core.later(entry.executionTimeoutMs + EXECUTION_GRACE_MS)
    if (!entry.busy) this.#core.floor.settle(entry)
    this.#notes.started(job, entry.token, entry.startedAt)
  }

  progress(job: string, token: string, pct: number): void {
    const entry = this.#signOfLife(job, token)
    if (entry) this.#notes.progress(job, entry.token, pct)
  }

  log(job: string, token: string, seq: number, stream: string, text: string): void {
    const entry = this.#signOfLife(job, token)
    if (!entry) return
    this.#notes.log({ t: 'log', job, token: entry.token, seq, stream, text, at: this.#core.clock.wall() })
  }

  finish(result: WorkerResult): Promise<boolean> {
    return this.#end(result.job, result.token, (entry) => {
      const { said, value } = wordOf(result, entry)
      const startedAt = result.startedMsAgo === undefined ? undefined : this.#core.clock.wall() - result.startedMsAgo
      return [said, { result: value, startedAt: startedAt as WallMs | undefined }]
    })
  }

  async giveBack(job: string, token: string, how: 'refused' | 'released', reason: string, delayMs: number) {
    await this.#end(job, token, () => [
      { outcome: how, error: null },
      { refusal: reason, heldMs: delayMs },
    ])
  }

  async lost(job: string, token: string): Promise<void> {
    await this.#end(job, token, () => [{ outcome: 'lost', error: null }, {}])
  }

  #end(job: string, token: string, say: (entry: Entry) => [Said, EndExtra]): Promise<boolean> {
    return this.#core.exclusive(
      job,
      async (entry) => {
        if (!this.#current(job, token)) return false
        await this.#commitEnd(entry, ...say(entry))
        return true
      },
      () => false,
    )
  }

  async #commitEnd(entry: Entry, said: Said, extra: EndExtra): Promise<void> {
    const { clock, store, o } = this.#core
    const at = clock.wall()
    const v = verdict(entry, said, at, o.random)
    this.#notes.ending(entry.id)
    const startedAt = entry.startedAt ?? extra.startedAt ?? null
    const [result] = await store.commit([
      {
        t: 'end',
        job: entry.id,
        token: entry.token,
        outcome: v.outcome,
        to: v.to,
        at,
        startedAt,
        charge: v.charge,
        error: v.error,
        ...(v.runAt === undefined ? {} : { runAt: v.runAt }),
        ...(v.to === 'succeeded' ? { result: extra.result ?? null } : {}),
        ...(extra.refusal === undefined ? {} : { refusal: extra.refusal }),
      },
    ])
    if (!result!.ok) throw this.#core.diverged(entry, result!.code)
    this.#report(entry, v, at, startedAt)
    this.#ended(entry, v, extra.heldMs ?? 0)
  }

  #ended(entry: Entry, v: Verdict, heldMs: number): void {
    entry.state = v.to
    if (v.charge) entry.attempts++
    if (v.outcome === 'lost') entry.lost++
    if (v.runAt !== undefined) entry.runAt = v.runAt
    entry.attempt = undefined
    entry.startedAt = null
    entry.stopping = undefined
    entry.stopBy = 0 as MonotonicMs
    this.#core.floor.comeBack(entry, heldMs)
    this.#core.changed(entry)
  }

  #report(entry: Entry, v: Verdict, at: WallMs, startedAt: WallMs | null): void {
    const { log, metrics } = this.#core.o
    const durationMs = startedAt === null ? undefined : Math.max(0, at - startedAt)
    metrics.attempt(entry.type, v.outcome, durationMs)
    if (v.event === 'retryLater' && v.to === 'deferred') metrics.retried(entry.type)
    const level = levelOf(v)
    if (!log.isLevelEnabled(level)) return
    log[level](
      {
        task_id: entry.id,
        tenant_id: entry.tenant,
        worker_id: entry.attempt?.instance,
        attempt: entry.attempt?.attempt,
        duration_ms: durationMs,
        type: entry.type,
        outcome: v.outcome,
        state: v.to,
        ...(v.error ? { code: v.error.code, class: v.error.class } : {}),
      },
      'attempt ended',
    )
  }

  /** The open job whose current attempt has this token. */
  #current(job: string, token: string): Entry | undefined {
    const entry = this.#core.floor.jobs.get(job)
    return entry?.attempt && String(entry.token) === token ? entry : undefined
  }

  #signOfLife(job: string, token: string): Entry | undefined {
    const entry = this.#current(job, token)
    if (entry) entry.signAt = this.#core.clock.now()
    return entry
  }
}

/** Successes and requeues are too many for a log that people read; failures are not. */
function levelOf(v: Verdict): 'debug' | 'info' | 'warn' {
  if (v.to === 'failed' || v.to === 'deadLettered' || v.to === 'timedOut' || v.to === 'expired') return 'warn'
  return v.outcome === 'failed' || v.outcome === 'timedOut' || v.outcome === 'lost' ? 'info' : 'debug'
}

function wordOf(result: WorkerResult, entry: Entry): { said: Said; value: string | null } {
  const error: AttemptError | null = result.error ?? null
  // Stopped by us for time, whatever the worker calls it.
  const outcome = result.outcome === 'cancelled' && entry.stopping === 'timedOut' ? 'timedOut' : result.outcome
  const value = outcome === 'succeeded' && result.value !== undefined ? JSON.stringify(result.value) : null
  if (value !== null && value.length > RESULT_BYTES_MAX) {
    const message = `The result has ${value.length} characters; at most ${RESULT_BYTES_MAX} are kept.`
    return {
      said: { outcome: 'failed', error: { code: 'PAYLOAD_TOO_LARGE', class: 'permanent', message } },
      value: null,
    }
  }
  return { said: { outcome, error }, value }
}
