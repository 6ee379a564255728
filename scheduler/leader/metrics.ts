// metrics.ts — what the scheduler counts. Names of the first three are the seeds' (requirements Q1–Q3).
//
// Job types are the users' words: past TYPES_MAX of them (per process) the label says `other`.

import { Counter, Gauge, Histogram, type Registry } from '../../kernel/metrics.ts'
import type { AttemptOutcome, TerminalState } from '../states.ts'
import type { LeaderStats } from './job-leader.ts'

export const TYPES_MAX = 200
const DURATION_BUCKETS_S = [0.1, 0.5, 1, 5, 10, 30, 60]
const COMMIT_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5]

export interface LeaderMetrics {
  submitted(tenant: string, type: string): void
  attempt(type: string, outcome: AttemptOutcome, ranMs: number | undefined): void
  retried(type: string): void
  ended(type: string, state: TerminalState): void
  stop(why: string): void
  /** Told at a transaction's start and, by what it returns, at its end. */
  commit(changes: number): () => void
  /** `task_queue_depth` and `tasks_running` read this when scraped. */
  follow(stats: () => LeaderStats): void
}

export function createLeaderMetrics(registry: Registry, now: () => number): LeaderMetrics {
  const registers = [registry]
  const typeLabel = boundedLabel(TYPES_MAX)
  const submitted = new Counter({
    name: 'tasks_submitted_total',
    help: 'Jobs accepted (durable).',
    labelNames: ['tenant_id', 'task_type'],
    registers,
  })
  const duration = new Histogram({
    name: 'task_duration_seconds',
    help: 'Time from start to end of attempts that ran, by outcome.',
    labelNames: ['task_type', 'status'],
    buckets: DURATION_BUCKETS_S,
    registers,
  })
  const attempts = counter('task_attempts_total', 'Attempts ended, by outcome.', ['task_type', 'outcome'])
  const retries = counter('task_retries_total', 'Attempts that will be repeated at a charge.', ['task_type'])
  const ended = counter('tasks_ended_total', 'Jobs that reached a final state.', ['task_type', 'state'])
  const stops = counter('task_stops_total', 'Running attempts told to stop.', ['why'])
  const commits = new Histogram({
    name: 'scheduler_commit_seconds',
    help: 'Time of one durable transaction.',
    buckets: COMMIT_BUCKETS_S,
    registers,
  })
  const changes = counter('scheduler_commit_changes_total', 'Changes committed.', [])
  function counter(name: string, help: string, labelNames: string[]): Counter<string> {
    return new Counter({ name, help, labelNames, registers })
  }
  return {
    submitted: (tenant, type) => submitted.inc({ tenant_id: tenant, task_type: typeLabel(type) }),
    attempt(type, outcome, ranMs) {
      attempts.inc({ task_type: typeLabel(type), outcome })
      if (ranMs !== undefined) duration.observe({ task_type: typeLabel(type), status: outcome }, ranMs / 1000)
    },
    retried: (type) => retries.inc({ task_type: typeLabel(type) }),
    ended: (type, state) => ended.inc({ task_type: typeLabel(type), state }),
    stop: (why) => stops.inc({ why }),
    commit(count) {
      const start = now()
      return () => {
        commits.observe((now() - start) / 1000)
        changes.inc(count)
      }
    },
    follow: (stats) => followDepth(registry, stats),
  }
}

function followDepth(registry: Registry, stats: () => LeaderStats): void {
  const gauges = [
    ['task_queue_depth', 'Jobs that wait to run: ready, deferred, blocked.', () => stats().pending],
    ['task_queue_ready', 'Jobs that could run now.', () => stats().ready],
    ['tasks_running', 'Jobs in the dispatcher’s hands or running.', () => stats().running],
  ] as const
  for (const [name, help, read] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  }
}

/** The first `max` values stand for themselves, later ones are `other`. */
export function boundedLabel(max: number): (value: string) => string {
  const known = new Set<string>()
  return (value) => {
    if (known.has(value)) return value
    if (known.size >= max) return 'other'
    known.add(value)
    return value
  }
}
