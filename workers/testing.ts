// testing.ts — runs one handler without server, mesh or scheduler, through the same attempt code as the worker.

import { type Clock, systemClock } from '../kernel/clock.ts'
import { startTracing, type Tracing } from '../kernel/tracing.ts'
import { startAttempt } from './attempt.ts'
import type { AttemptError, DispatchJob, Outcome, WorkerEvent } from './contract.ts'
import type { Handler } from './handler.ts'

export interface TestOptions extends Partial<Omit<DispatchJob, 'type' | 'payload'>> {
  readonly clock?: Clock
  /** Aborting it is a cancel. */
  readonly cancel?: AbortSignal
}

export interface TestRun<Out> {
  readonly outcome: Outcome
  /** Undefined unless it succeeded. */
  readonly value: Out | undefined
  readonly error: AttemptError | undefined
  readonly progress: readonly number[]
  readonly logs: readonly string[]
}

/** The payload is checked by the handler's schema like any other, so it may be anything. */
export async function testHandler<Type extends string, In, Out>(
  handler: Handler<Type, In, Out>,
  payload: unknown,
  options: TestOptions = {},
): Promise<TestRun<Out>> {
  const { clock = systemClock, cancel, ...job } = options
  const tracing: Tracing = await startTracing({ serviceName: 't', serviceVersion: 't', instance: 't', endpoint: '' })
  const events: WorkerEvent[] = []
  const dispatch: DispatchJob = { ...defaultJob(handler.type), ...job, payload }
  const attempt = startAttempt(handler, dispatch, {
    clock,
    tracing,
    emit: (event) => void events.push(event),
  })
  const onCancel = (): void => attempt.stop('cancelled')
  if (cancel?.aborted) onCancel()
  else cancel?.addEventListener('abort', onCancel, { once: true })
  const result = await attempt.settled
  cancel?.removeEventListener('abort', onCancel)
  return {
    outcome: result.outcome,
    value: result.value as Out | undefined,
    error: result.error,
    progress: events.flatMap((event) => (event.t === 'progress' ? [event.pct] : [])),
    logs: events.flatMap((event) => (event.t === 'log' ? [event.text] : [])),
  }
}

function defaultJob(type: string): DispatchJob {
  return {
    job: 'test-job',
    attempt: 1,
    token: '1',
    type,
    env: {},
    executionTimeoutMs: 60_000,
    effectKey: 'test-job',
    labels: {},
  }
}
