// memory-leader.ts — a Leader without a store, for tests of dispatch: every promise of leader/port.ts, none of its
// durability. Writes resolve in a later turn, as a commit would. Attempts end as states.ts says, retries are at once.

import type { Clock } from '../../kernel/clock.ts'
import type { Assignment, Leader, LeasedAttempt, ReadyJob, StopWhy } from '../../scheduler/leader/port.ts'
import type { AttemptRow, SessionRow } from '../../scheduler/store/contract.ts'
import type { WorkerResult } from '../../workers/contract.ts'

export interface MemoryJob {
  readonly id: string
  readonly type: string
  readonly payload: unknown
  readonly pinned: string | undefined
  readonly executionTimeoutMs: number
  state: 'ready' | 'taken' | 'waiting' | 'leased' | 'done' | 'cancelled'
  token: bigint
  attempts: AttemptNote[]
  result: WorkerResult | undefined
  progress: number[]
  logs: string[]
}

export interface AttemptNote {
  readonly row: AttemptRow
  started: boolean
  end: string | undefined
  reason: string | undefined
}

export class MemoryLeader implements Leader {
  readonly jobs = new Map<string, MemoryJob>()
  readonly stored = new Map<string, SessionRow>()
  readonly #clock: Clock
  #ready: string[] = []
  #onReady: Array<() => void> = []
  #onStop: Array<(attempt: AttemptRow, why: StopWhy) => void> = []
  #token = 0n
  #watchers = new Set<() => void>()
  /** Times that `take` was called with room. */
  takes = 0
  failLeases = 0
  maxAttempts = 5

  constructor(clock: Clock) {
    this.#clock = clock
  }

  submit(
    count: number,
    type: string,
    extra: { payload?: (index: number) => unknown; pinned?: string; executionTimeoutMs?: number } = {},
  ): string[] {
    const ids: string[] = []
    for (let index = 0; index < count; index++) {
      const id = `job-${this.jobs.size + 1}`
      ids.push(id)
      this.jobs.set(id, {
        id,
        type,
        payload: extra.payload?.(index) ?? { index },
        pinned: extra.pinned,
        executionTimeoutMs: extra.executionTimeoutMs ?? 60_000,
        state: 'ready',
        token: 0n,
        attempts: [],
        result: undefined,
        progress: [],
        logs: [],
      })
      this.#ready.push(id)
    }
    this.#tellReady()
    return ids
  }

  job(id: string): MemoryJob {
    return this.jobs.get(id)!
  }

  stop(id: string, why: StopWhy): void {
    const attempt = this.job(id).attempts.at(-1)!
    for (const listener of this.#onStop) listener(attempt.row, why)
  }

  /** Resolves when `done()` holds; asked after each change. */
  async until(done: () => boolean): Promise<void> {
    const control = new AbortController()
    const late = this.#clock.sleep(15_000, control.signal).then(
      () => {
        throw new Error(`not in time: ${done.toString()}`)
      },
      () => undefined,
    )
    let check = (): void => undefined
    const held = new Promise<void>((resolve) => {
      check = () => done() && resolve()
      this.#watchers.add(check)
      check()
    })
    await Promise.race([held, late])
    this.#watchers.delete(check)
    control.abort()
  }

  ended(ids: readonly string[]): boolean {
    return ids.every((id) => this.job(id).state === 'done' || this.job(id).state === 'cancelled')
  }

  onReady(listener: () => void): void {
    this.#onReady.push(listener)
  }

  onStop(listener: (attempt: AttemptRow, why: StopWhy) => void): void {
    this.#onStop.push(listener)
  }

  take(types: ReadonlySet<string>, max: number): ReadyJob[] {
    this.takes++
    const taken: ReadyJob[] = []
    this.#ready = this.#ready.filter((id) => {
      const job = this.job(id)
      if (taken.length >= max || !types.has(job.type)) return true
      job.state = 'taken'
      taken.push({ id, type: job.type, retry: job.attempts.length > 0, pinned: job.pinned })
      return false
    })
    return taken
  }

  putBack(jobs: readonly ReadyJob[], delayMs = 0): void {
    for (const { id } of jobs) if (this.job(id).state === 'taken') this.#requeue(this.job(id), delayMs, true)
  }

  async lease(assignments: readonly Assignment[]): Promise<LeasedAttempt[]> {
    await turn()
    if (this.failLeases-- > 0) throw new Error('the store is away')
    return assignments.flatMap((assignment) => {
      const job = this.job(assignment.job.id)
      if (job.state !== 'taken') return []
      return [this.#lease(job, assignment)]
    })
  }

  #lease(job: MemoryJob, { instance, session, backend, version }: Assignment): LeasedAttempt {
    const token = ++this.#token
    const attempt = job.attempts.length + 1
    const row: AttemptRow = {
      job: job.id,
      token,
      attempt,
      instance,
      session,
      backend,
      version,
      leasedAt: this.#clock.wall(),
    }
    const retry = job.attempts.length > 0
    job.state = 'leased'
    job.token = token
    job.attempts.push({ row, started: false, end: undefined, reason: undefined })
    const dispatch = {
      job: job.id,
      attempt,
      token: token.toString(),
      type: job.type,
      payload: job.payload,
      env: {},
      executionTimeoutMs: job.executionTimeoutMs,
      effectKey: job.id,
      labels: {},
    }
    return { row, dispatch, retry }
  }

  started(job: string, token: string): void {
    const open = this.#open(job, token)
    if (open) open.started = true
    this.#changed()
  }

  progress(job: string, token: string, pct: number): void {
    if (this.#open(job, token)) this.job(job).progress.push(pct)
    this.#changed()
  }

  log(job: string, token: string, _seq: number, _stream: string, text: string): void {
    if (this.#open(job, token)) this.job(job).logs.push(text)
    this.#changed()
  }

  async giveBack(
    job: string,
    token: string,
    how: 'refused' | 'released',
    reason: string,
    delayMs: number,
  ): Promise<void> {
    await turn()
    if (this.#end(job, token, how, reason)) this.#requeue(this.job(job), delayMs)
  }

  async finish(result: WorkerResult): Promise<boolean> {
    await turn()
    const ended = this.#end(result.job, result.token, result.outcome, result.error?.code)
    if (!ended) return false
    const job = this.job(result.job)
    job.result = result
    const again = result.outcome === 'failed' && result.error?.class === 'transient'
    const charged = job.attempts.filter(({ end }) => end === 'failed').length
    if (again && charged < this.maxAttempts) this.#requeue(job, 0)
    else job.state = 'done'
    this.#changed()
    return true
  }

  async lost(job: string, token: string): Promise<void> {
    await turn()
    if (this.#end(job, token, 'lost', undefined)) this.#requeue(this.job(job), 0)
  }

  running(): readonly AttemptRow[] {
    return [...this.jobs.values()].flatMap((job) => (job.state === 'leased' ? [job.attempts.at(-1)!.row] : []))
  }

  sessions(): readonly SessionRow[] {
    return [...this.stored.values()]
  }

  async saveSession(row: SessionRow): Promise<void> {
    await turn()
    this.stored.set(row.session, row)
  }

  async endSession(session: string): Promise<void> {
    await turn()
    this.stored.delete(session)
  }

  #open(id: string, token: string): AttemptNote | undefined {
    const job = this.jobs.get(id)
    const attempt = job?.attempts.at(-1)
    return job?.state === 'leased' && attempt?.row.token.toString() === token ? attempt : undefined
  }

  #end(id: string, token: string, end: string, reason: string | undefined): boolean {
    const attempt = this.#open(id, token)
    if (!attempt) return false
    attempt.end = end
    attempt.reason = reason
    return true
  }

  #requeue(job: MemoryJob, delayMs: number, quiet = false): void {
    job.state = 'waiting'
    const ready = (): void => {
      if (job.state !== 'waiting') return
      job.state = 'ready'
      this.#ready.push(job.id)
      this.#tellReady()
    }
    if (delayMs > 0) this.#clock.after(delayMs, ready, true)
    else if (quiet) {
      job.state = 'ready'
      this.#ready.unshift(job.id)
      this.#tellReady()
    } else ready()
    this.#changed()
  }

  #tellReady(): void {
    for (const listener of this.#onReady) listener()
  }

  #changed(): void {
    for (const check of this.#watchers) check()
  }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
