// leader.ts — owner of every open job: one process, all shards (DESIGN.md §9).
//
// Parts: floor (where each job stands), core (how a job is changed), requests (users), attempts (workers), and here
// what time and recovery ask for.

import { asFairleadError, assert } from '../../kernel/errors.ts'
import type { AttemptError } from '../../workers/contract.ts'
import type { AttemptRow, Change, SessionRow } from '../store/contract.ts'
import { Attempts, STORE_RETRY_MS } from './attempts.ts'
import { Core, type LeaderOptions } from './core.ts'
import { type Entry, entryOf, expireAt } from './entry.ts'
import { Floor, stopAt } from './floor.ts'
import type { JobChange, JobLeader, LeaderStats, NewJob, Submitted } from './job-leader.ts'
import { byRunAt } from './key-gate.ts'
import { Notes } from './notes.ts'
import type { Assignment, LeasedAttempt, ReadyJob, StopWhy } from './port.ts'
import { Requests } from './requests.ts'

/** A worker that has not spoken is told again. */
export const STOP_REPEAT_MS = 5_000
const WALL_CHECK_MS = 5_000
const WALL_JUMP_MS = 1_000

const LATE: AttemptError = {
  code: 'DEADLINE_PASSED',
  class: 'permanent',
  message: 'The job could not start before its deadline or within scheduleToStartMs.',
}

type StopListener = (attempt: AttemptRow, why: StopWhy) => void

/** Loads every open job; resolves when jobs can be taken. */
export async function startLeader(options: LeaderOptions): Promise<JobLeader> {
  const { store, clock, log, metrics } = options
  const ready = new ReadySignal()
  const stops = new Set<StopListener>()
  const floor: Floor = new Floor(clock, { ring: (due) => ring(due), ready: () => ready.announce() })
  const core = new Core(options, floor)
  const notes = new Notes(clock, (changes) => writeNotes(core, notes, changes))
  const highest = await store.highest()
  const attempts = new Attempts(core, notes, highest.token)
  const ring = (due: readonly Entry[]): void => lookAt(core, due, (entry) => stop(core, stops, entry))
  const requests = new Requests(core, highest.seq, (entry) => stop(core, stops, entry))
  const sessions = new Map((await store.loadSessions()).map((row) => [row.session, row]))
  let types = typesOf(sessions)
  const open = await load(core, attempts)
  const wallCheck = watchWall(core)
  metrics.follow(() => stats(floor))
  log.info({ jobs: open, sessions: sessions.size, token: String(highest.token) }, 'open jobs loaded')

  return {
    onReady(listener) {
      ready.add(listener)
      if (floor.readyCount > 0) ready.announce()
    },
    onStop: (listener) => void stops.add(listener),
    take: (types, max): ReadyJob[] => floor.take(types, max).map(readyJob),
    putBack: (jobs, delayMs) => putBack(floor, jobs, delayMs),
    lease: (assignments: readonly Assignment[]): Promise<LeasedAttempt[]> => attempts.lease(assignments),
    started: (job, token) => attempts.started(job, token),
    progress: (job, token, pct) => attempts.progress(job, token, pct),
    log: (job, token, seq, stream, text) => attempts.log(job, token, seq, stream, text),
    giveBack: (job, token, how, reason, delayMs) => attempts.giveBack(job, token, how, reason, delayMs),
    finish: (result) => attempts.finish(result),
    lost: (job, token) => attempts.lost(job, token),
    running: () => [...floor.out].flatMap((entry) => entry.attempt ?? []),
    sessions: () => [...sessions.values()],
    async saveSession(row: SessionRow) {
      await store.commit([{ t: 'session', row }])
      sessions.set(row.session, row)
      types = typesOf(sessions)
    },
    async endSession(session) {
      await store.commit([{ t: 'sessionEnd', session }])
      sessions.delete(session)
      types = typesOf(sessions)
    },
    submit: (jobs: readonly NewJob[], atomic): Promise<readonly Submitted[]> => requests.submit(jobs, atomic),
    cancel: (tenant, id, version) => requests.cancel(tenant, id, version),
    retry: (tenant, id, version) => requests.retry(tenant, id, version),
    async ended(id, signal) {
      if (floor.jobs.has(id)) await core.waiters.wait(id, signal)
    },
    onChange(listener: (change: JobChange) => void) {
      core.listeners.add(listener)
      return () => void core.listeners.delete(listener)
    },
    handles: (type) => types.has(type),
    stats: () => stats(floor),
    async close() {
      wallCheck.cancel()
      floor.close()
      core.waiters.endAll()
      notes.flush()
    },
  }
}

/** Open jobs from rows, with the attempts that may still run. */
async function load(core: Core, attempts: Attempts): Promise<number> {
  const running = new Map((await core.store.loadRunning()).map((row) => [row.job, row]))
  const entries: Entry[] = []
  await core.store.loadPending((rows) => {
    for (const row of rows) {
      const entry = entryOf(row)
      const attempt = running.get(row.id)
      const runs = entry.state === 'leased' || entry.state === 'cancelling'
      assert(runs === (attempt !== undefined), `job ${row.id} is ${row.state} and its attempt says otherwise`)
      if (attempt) attempts.take(entry, attempt)
      entries.push(entry)
    }
  })
  core.floor.recover(entries)
  return entries.length
}

/** Alarms rang: move what is due or late, stop what runs too long, arm the rest again. */
function lookAt(core: Core, entries: readonly Entry[], stopIt: (entry: Entry) => void): void {
  const due: Entry[] = []
  const late: Entry[] = []
  const wall = core.clock.wall()
  for (const entry of entries) {
    if (entry.busy) continue // settled when its change is done
    if (entry.attempt) stopIfOver(core, entry, stopIt)
    else if (wall >= expireAt(entry)) late.push(entry)
    else if (entry.state === 'deferred' && wall >= entry.runAt) due.push(entry)
    else core.floor.settle(entry)
  }
  void moveAll(core, due.sort(byRunAt), 'due')
  void moveAll(core, late, 'expire', LATE)
}

async function moveAll(
  core: Core,
  entries: readonly Entry[],
  event: 'due' | 'expire',
  error?: AttemptError,
): Promise<void> {
  if (entries.length === 0) return
  try {
    await core.busy(entries, () => core.move(entries, event, error ? { error } : {}))
  } catch (thrown) {
    core.o.log.error({ error: asFairleadError(thrown), event, jobs: entries.length }, 'jobs not moved; trying again')
    for (const entry of entries) if (!entry.busy) core.floor.lookAt(entry, core.later(STORE_RETRY_MS))
  }
}

function stopIfOver(core: Core, entry: Entry, stopIt: (entry: Entry) => void): void {
  if (stopAt(entry, core.clock) <= core.clock.now()) stopIt(entry)
  else core.floor.settle(entry)
}

/** Asks the worker to stop, now and again until it has spoken. */
function stop(core: Core, listeners: ReadonlySet<StopListener>, entry: Entry): void {
  const why: StopWhy = entry.state === 'cancelling' ? 'cancelled' : 'timedOut'
  entry.stopping = why
  entry.stopBy = core.later(STOP_REPEAT_MS)
  if (!entry.busy) core.floor.settle(entry)
  core.o.metrics.stop(why)
  for (const listener of listeners) listener(entry.attempt!, why)
}

function putBack(floor: Floor, jobs: readonly ReadyJob[], delayMs?: number): void {
  for (const { id } of jobs) {
    const entry = floor.jobs.get(id)
    if (entry?.place !== 'taken') continue
    floor.comeBack(entry, delayMs)
    if (!entry.busy) floor.settle(entry)
  }
}

function writeNotes(core: Core, notes: Notes, changes: readonly Change[]): void {
  const { log } = core.o
  if (notes.dropped > 0) log.warn({ lines: notes.dropped }, 'log lines dropped: they came faster than the disk')
  notes.dropped = 0
  core.store.commit(changes).catch((error: unknown) => {
    log.error({ error, changes: changes.length }, 'starts, progress or log lines were not written')
  })
}

/** The wall clock was set: alarms that follow it are armed again. */
function watchWall(core: Core): { cancel(): void } {
  const offset = (): number => core.clock.wall() - core.clock.now()
  let known = offset()
  return core.clock.every(WALL_CHECK_MS, () => {
    const jump = offset() - known
    if (Math.abs(jump) < WALL_JUMP_MS) return
    known = offset()
    core.o.log.warn({ jumpMs: Math.round(jump) }, 'the wall clock jumped; timers follow it')
    for (const entry of core.floor.jobs.values()) if (!entry.busy) core.floor.settle(entry)
  })
}

const typesOf = (sessions: ReadonlyMap<string, SessionRow>): ReadonlySet<string> =>
  new Set([...sessions.values()].flatMap((row) => row.types))

const readyJob = (entry: Entry): ReadyJob => ({
  id: entry.id,
  type: entry.type,
  retry: entry.token > 0n,
  pinned: undefined,
})

function stats(floor: Floor): LeaderStats {
  const running = floor.out.size
  return { pending: floor.jobs.size - running, ready: floor.readyCount, running }
}

/** Listeners are told once for all jobs that became ready in one turn. */
class ReadySignal {
  readonly #listeners: (() => void)[] = []
  #announced = false

  add(listener: () => void): void {
    this.#listeners.push(listener)
  }

  announce(): void {
    if (this.#announced) return
    this.#announced = true
    queueMicrotask(() => {
      this.#announced = false
      for (const listener of this.#listeners) listener()
    })
  }
}
