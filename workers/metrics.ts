// metrics.ts — what one worker shows on /metrics. Label values are bounded: handler types, outcomes, reasons.

import { Counter, Gauge, Histogram, type Registry } from '../kernel/metrics.ts'
import type { Outcome, RefusalReason } from './contract.ts'

export interface WorkerMetrics {
  finished(type: string, outcome: Outcome, seconds: number): void
  refused(reason: RefusalReason): void
}

export interface WorkerGauges {
  readonly running: number
  readonly unacked: number
  readonly zombies: number
}

const SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 5, 10, 30, 60]

export function workerMetrics(registry: Registry): WorkerMetrics {
  const registers = [registry]
  const duration = new Histogram({
    name: 'fairlead_worker_attempt_seconds',
    help: 'From accepted to result, by job type and outcome.',
    labelNames: ['task_type', 'outcome'],
    buckets: SECONDS,
    registers,
  })
  const refusals = new Counter({
    name: 'fairlead_worker_refusals_total',
    help: 'Dispatched jobs that this worker did not start, by reason.',
    labelNames: ['reason'],
    registers,
  })
  return {
    finished: (type, outcome, seconds) => duration.labels(type, outcome).observe(seconds),
    refused: (reason) => refusals.labels(reason).inc(),
  }
}

export function workerGauges(registry: Registry, read: () => WorkerGauges): void {
  gauge(registry, 'running', 'Attempts that hold a slot.', () => read().running)
  gauge(registry, 'unacked', 'Results kept for want of an ack.', () => read().unacked)
  gauge(registry, 'zombies', 'Handlers that still run after their result was reported.', () => read().zombies)
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name: `fairlead_worker_${name}`,
    help,
    registers: [registry],
    collect() {
      this.set(read())
    },
  })
}
