// The leader through its port: what workers and users do to jobs, and what is durable after it.

import { expect, test, vi } from 'vitest'
import type { JobState } from '../../../scheduler/states.ts'
import {
  assign,
  eventually,
  lease,
  newJob,
  permanent,
  result,
  setup,
  stateOf,
  submit,
  TYPES,
  transient,
} from './setup.ts'

test('submit → take → lease → finish: the job is durable at each step', async () => {
  const bench = await setup()
  const body = { payloadKind: 'json', payload: '{"n":1}', env: { A: 'b' } } as const
  const id = await submit(bench, { labels: { run: 'r' }, traceparent: '00-a-b-01' }, body)
  expect(await stateOf(bench, id)).toBe('ready')
  const attempt = await lease(bench)
  expect(attempt.dispatch).toEqual({
    job: id,
    attempt: 1,
    token: '1',
    type: 'demo.echo',
    payload: { n: 1 },
    env: { A: 'b' },
    executionTimeoutMs: 60_000,
    effectKey: id,
    traceparent: '00-a-b-01',
    labels: { run: 'r' },
  })
  expect(attempt.retry).toBe(false)
  expect(await stateOf(bench, id)).toBe('leased')
  expect(bench.leader.running()).toEqual([attempt.row])
  bench.leader.started(id, '1')
  await bench.clock.advance(250)
  expect(await bench.leader.finish(result(attempt, 'succeeded', { value: { ok: true } }))).toBe(true)
  const job = await bench.store.get('default', id)
  expect(job).toMatchObject({ state: 'succeeded', attempts: 1, result: { ok: true }, error: null })
  expect(Date.parse(job!.finishedAt!) - Date.parse(job!.startedAt!)).toBe(250)
  expect(bench.leader.running()).toEqual([])
  expect(bench.leader.stats()).toEqual({ pending: 0, ready: 0, running: 0 })
})

test('finish: false for a stale token, an unknown job and a second word', async () => {
  const bench = await setup()
  const id = await submit(bench)
  const first = await lease(bench)
  await bench.leader.giveBack(id, first.dispatch.token, 'refused', 'full', 0)
  const second = await lease(bench)
  expect(second.retry).toBe(true)
  expect(BigInt(second.dispatch.token) > BigInt(first.dispatch.token)).toBe(true)
  expect(await bench.leader.finish(result(first, 'succeeded'))).toBe(false)
  expect(await bench.leader.finish({ ...result(second, 'succeeded'), job: 'unknown' })).toBe(false)
  expect(await bench.leader.finish(result(second, 'succeeded'))).toBe(true)
  expect(await bench.leader.finish(result(second, 'failed', { error: transient }))).toBe(false)
  expect((await bench.store.get('default', id))?.attempts).toBe(1)
})

test('failed: deferred by 1 s, 2 s, 4 s + jitter, then deadLettered when attempts are used up', async () => {
  const bench = await setup()
  const id = await submit(bench, { maxAttempts: 4 })
  const waits: number[] = []
  for (let i = 1; i <= 3; i++) {
    const attempt = await lease(bench)
    expect(attempt.dispatch.attempt).toBe(i)
    await bench.leader.finish(result(attempt, 'failed', { error: transient }))
    const job = await bench.store.get('default', id)
    expect(job).toMatchObject({ state: 'deferred', error: transient })
    const wait = Date.parse(job!.runAt) - bench.clock.wall()
    waits.push(Math.floor(wait / 1000))
    expect(bench.leader.take(TYPES, 1)).toEqual([])
    await bench.clock.advance(wait)
    await eventually(() => bench.leader.stats().ready === 1, 'back-off over')
    expect((await bench.store.get('default', id))?.error).toEqual(transient)
  }
  expect(waits).toEqual([1, 2, 4])
  await bench.leader.finish(result(await lease(bench), 'failed', { error: transient }))
  expect(await bench.store.get('default', id)).toMatchObject({ state: 'deadLettered', attempts: 4, error: transient })
})

const ENDS: [string, object, JobState][] = [
  ['failed with a permanent error', { outcome: 'failed', error: permanent }, 'failed'],
  ['failed at the last attempt', { outcome: 'failed', error: transient }, 'deadLettered'],
  ['timed out at the last attempt', { outcome: 'timedOut' }, 'timedOut'],
  ['cancelled by itself at the last attempt', { outcome: 'cancelled' }, 'deadLettered'],
  ['succeeded', { outcome: 'succeeded' }, 'succeeded'],
]
for (const [name, word, state] of ENDS) {
  test(`finish: job ${state} when the attempt ${name}`, async () => {
    const bench = await setup()
    const id = await submit(bench, { maxAttempts: 1 })
    const attempt = await lease(bench)
    await bench.leader.finish({ ...result(attempt, 'succeeded'), ...word })
    expect(await stateOf(bench, id)).toBe(state)
  })
}

test('lost: charged nothing, and deadLettered as POISON the third time', async () => {
  const bench = await setup()
  const id = await submit(bench)
  for (let i = 1; i <= 3; i++) {
    const attempt = await lease(bench)
    expect(attempt.dispatch.attempt).toBe(i)
    await bench.leader.lost(id, attempt.dispatch.token)
  }
  expect(await bench.store.get('default', id)).toMatchObject({
    state: 'deadLettered',
    attempts: 0,
    error: { code: 'POISON' },
  })
  expect((await bench.store.attempts('default', id)).map((a) => a.outcome)).toEqual(['lost', 'lost', 'lost'])
})

test('giveBack: charges nothing and holds the job for the delay', async () => {
  const bench = await setup()
  const id = await submit(bench)
  const attempt = await lease(bench)
  await bench.leader.giveBack(id, attempt.dispatch.token, 'refused', 'UPSTREAM_CIRCUIT_OPEN', 300)
  expect(await bench.store.get('default', id)).toMatchObject({ state: 'ready', attempts: 0 })
  await bench.clock.advance(299)
  expect(bench.leader.take(TYPES, 1)).toEqual([])
  await bench.clock.advance(1)
  expect(bench.leader.take(TYPES, 1)).toMatchObject([{ id, retry: true }])
})

test('putBack: nothing is written, and the job returns after the delay', async () => {
  const bench = await setup()
  const id = await submit(bench)
  const [job] = bench.leader.take(TYPES, 1)
  expect(bench.leader.stats()).toEqual({ pending: 0, ready: 0, running: 1 })
  const before = bench.written.length
  bench.leader.putBack([job!], 50)
  bench.leader.putBack([job!], 50)
  await bench.clock.advance(49)
  expect(bench.leader.take(TYPES, 9)).toEqual([])
  await bench.clock.advance(1)
  expect(bench.leader.take(TYPES, 9)).toEqual([{ id, type: 'demo.echo', retry: false, pinned: undefined }])
  expect(bench.written.length).toBe(before)
})

test('onReady: once for many jobs, and for what was there before', async () => {
  const bench = await setup()
  await submit(bench)
  const heard = vi.fn()
  bench.leader.onReady(heard)
  await Promise.resolve()
  expect(heard).toHaveBeenCalledTimes(1)
  await bench.leader.submit([newJob(bench), newJob(bench), newJob(bench)], true)
  expect(heard).toHaveBeenCalledTimes(2)
})

test('cancel: a ready job ends at once, and twice is the same', async () => {
  const bench = await setup()
  const id = await submit(bench)
  expect(await bench.leader.cancel('default', id)).toBe('cancelled')
  expect(await bench.leader.cancel('default', id)).toBe('cancelled')
  expect(await stateOf(bench, id)).toBe('cancelled')
  expect(bench.leader.take(TYPES, 1)).toEqual([])
})

test('cancel: a running job is cancelling until the worker has spoken', async () => {
  const bench = await setup()
  const stops: unknown[] = []
  bench.leader.onStop((attempt, why) => stops.push([attempt.job, why]))
  const id = await submit(bench)
  const attempt = await lease(bench)
  expect(await bench.leader.cancel('default', id)).toBe('cancelling')
  expect(await bench.leader.cancel('default', id)).toBe('cancelling')
  expect(stops).toEqual([[id, 'cancelled']])
  await bench.clock.advance(5_000)
  expect(stops).toHaveLength(2)
  await bench.leader.finish(result(attempt, 'cancelled'))
  expect(await stateOf(bench, id)).toBe('cancelled')
  await bench.clock.advance(20_000)
  expect(stops).toHaveLength(2)
})

test('cancel: a success that was on its way is a success', async () => {
  const bench = await setup()
  const id = await submit(bench)
  const attempt = await lease(bench)
  await bench.leader.cancel('default', id)
  await bench.leader.finish(result(attempt, 'succeeded'))
  expect(await stateOf(bench, id)).toBe('succeeded')
})

test('cancel: a job in the dispatcher’s hands is left out of the lease', async () => {
  const bench = await setup()
  const id = await submit(bench)
  const other = await submit(bench)
  const taken = bench.leader.take(TYPES, 2)
  const cancelled = bench.leader.cancel('default', id)
  const leased = await bench.leader.lease(taken.map((job) => assign(job)))
  expect(leased.map((l) => l.row.job)).toEqual([other])
  expect(await cancelled).toBe('cancelled')
  expect(await bench.leader.lease(taken.map((job) => assign(job)))).toEqual([])
})

test('cancel and retry: refused when the state, tenant or version does not allow it', async () => {
  const bench = await setup()
  const id = await submit(bench)
  await expect(bench.leader.cancel('default', 'unknown')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
  await expect(bench.leader.cancel('red', id)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
  await expect(bench.leader.retry('red', id)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
  await expect(bench.leader.retry('default', 'unknown')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
  await expect(bench.leader.retry('default', id)).rejects.toMatchObject({ code: 'JOB_STATE_CONFLICT' })
  await expect(bench.leader.cancel('default', id, 7)).rejects.toMatchObject({ code: 'JOB_VERSION_CONFLICT' })
  expect(await stateOf(bench, id)).toBe('ready')
  await bench.leader.finish(result(await lease(bench), 'succeeded'))
  await expect(bench.leader.cancel('default', id)).rejects.toMatchObject({ code: 'JOB_STATE_CONFLICT' })
  await expect(bench.leader.retry('default', id)).rejects.toMatchObject({ code: 'JOB_STATE_CONFLICT' })
})

test('retry: a dead letter starts again with all its attempts', async () => {
  const bench = await setup()
  const id = await submit(bench, { maxAttempts: 1 })
  const first = await lease(bench)
  await bench.leader.finish(result(first, 'failed', { error: transient }))
  expect(await bench.leader.retry('default', id)).toBe('ready')
  expect(await bench.store.get('default', id)).toMatchObject({ state: 'ready', attempts: 0, error: null })
  const second = await lease(bench)
  expect(second.retry).toBe(true)
  expect(BigInt(second.dispatch.token) > BigInt(first.dispatch.token)).toBe(true)
  await bench.leader.finish(result(second, 'succeeded'))
  expect(await stateOf(bench, id)).toBe('succeeded')
})

test('retry: two at once redrive once', async () => {
  const bench = await setup()
  const id = await submit(bench)
  await bench.leader.cancel('default', id)
  const both = await Promise.allSettled([bench.leader.retry('default', id), bench.leader.retry('default', id)])
  expect(both.map((r) => r.status).sort()).toEqual(['fulfilled', 'rejected'])
  expect(bench.leader.take(TYPES, 5)).toHaveLength(1)
})

test('retry: a job in back-off is due now', async () => {
  const bench = await setup()
  const id = await submit(bench)
  await bench.leader.finish(result(await lease(bench), 'failed', { error: transient }))
  expect(await bench.leader.retry('default', id)).toBe('ready')
  expect(bench.leader.take(TYPES, 1)).toHaveLength(1)
})

test('runAt: a deferred job is not offered before its time', async () => {
  const bench = await setup()
  await submit(bench, { runAt: (bench.clock.wall() + 10_000) as never })
  await bench.clock.advance(9_999)
  expect(bench.leader.stats()).toEqual({ pending: 1, ready: 0, running: 0 })
  await bench.clock.advance(1)
  await eventually(() => bench.leader.stats().ready === 1, 'due')
})

test('deadline: expired when it passes before the start, also in the dispatcher’s hands', async () => {
  const bench = await setup()
  const deadline = (bench.clock.wall() + 1_000) as never
  const [a, b, c] = [
    await submit(bench, { deadline }),
    await submit(bench, { deadline }),
    await submit(bench, { deadline, runAt: (bench.clock.wall() + 5_000) as never }),
  ]
  const taken = bench.leader.take(TYPES, 1)
  await bench.clock.advance(1_000)
  await eventually(() => bench.leader.stats().pending === 0, 'expired')
  for (const id of [a, b, c]) {
    expect(await bench.store.get('default', id)).toMatchObject({ state: 'expired', error: { code: 'DEADLINE_PASSED' } })
  }
  expect(await bench.leader.lease(taken.map((job) => assign(job)))).toEqual([])
})

test('scheduleToStartMs: expired when no attempt came in time, and void after the first', async () => {
  const bench = await setup()
  const started = await submit(bench, { scheduleToStartMs: 500 })
  const attempt = await lease(bench)
  const late = await submit(bench, { scheduleToStartMs: 500 })
  await bench.leader.finish(result(attempt, 'failed', { error: transient }))
  await bench.clock.advance(500)
  await eventually(async () => (await stateOf(bench, late)) === 'expired', 'expired')
  expect(await stateOf(bench, started)).toBe('deferred')
})

test('execution timeout: stop is asked for after the grace and again, the word counts as timedOut', async () => {
  const bench = await setup()
  const stops: string[] = []
  bench.leader.onStop((_attempt, why) => stops.push(why))
  const id = await submit(bench, { executionTimeoutMs: 1_000 })
  const attempt = await lease(bench)
  await bench.clock.advance(800)
  bench.leader.started(id, attempt.dispatch.token) // the time counts from the start, not from the lease
  await bench.clock.advance(1_499)
  expect(stops).toEqual([])
  await bench.clock.advance(1)
  expect(stops).toEqual(['timedOut'])
  await bench.clock.advance(5_000)
  expect(stops).toEqual(['timedOut', 'timedOut'])
  await bench.leader.finish(result(attempt, 'cancelled'))
  expect(await bench.store.get('default', id)).toMatchObject({
    state: 'deferred',
    attempts: 1,
    error: { code: 'EXECUTION_TIMEOUT' },
  })
})

test('deadline: a running job is stopped at it, and not tried again', async () => {
  const bench = await setup()
  const stops: string[] = []
  bench.leader.onStop((_attempt, why) => stops.push(why))
  const id = await submit(bench, { deadline: (bench.clock.wall() + 2_000) as never })
  const attempt = await lease(bench)
  expect(attempt.dispatch.remainingMs).toBe(2_000)
  await bench.clock.advance(2_000)
  expect(stops).toEqual(['timedOut'])
  await bench.leader.finish(result(attempt, 'timedOut'))
  expect(await stateOf(bench, id)).toBe('timedOut')
})

test('heartbeat timeout: stop when the attempt gave no sign for that long', async () => {
  const bench = await setup()
  const stops: string[] = []
  bench.leader.onStop((_attempt, why) => stops.push(why))
  const id = await submit(bench, { heartbeatTimeoutMs: 1_000 })
  const attempt = await lease(bench)
  await bench.clock.advance(900)
  bench.leader.progress(id, attempt.dispatch.token, 10)
  await bench.clock.advance(900)
  bench.leader.log(id, attempt.dispatch.token, 0, 'log', 'still here')
  await bench.clock.advance(999)
  expect(stops).toEqual([])
  await bench.clock.advance(1)
  expect(stops).toEqual(['timedOut'])
})

test('progress and logs: written with the attempt, ignored with a stale token', async () => {
  const bench = await setup()
  const id = await submit(bench)
  const attempt = await lease(bench)
  bench.leader.started(id, attempt.dispatch.token)
  bench.leader.progress(id, attempt.dispatch.token, 30)
  bench.leader.progress(id, attempt.dispatch.token, 60)
  bench.leader.progress(id, '999', 99)
  bench.leader.log(id, attempt.dispatch.token, 0, 'stdout', 'line')
  bench.leader.log(id, '999', 1, 'stdout', 'stale')
  await bench.clock.advance(100)
  await eventually(async () => (await bench.store.get('default', id))?.progress === 60, 'progress')
  expect((await bench.store.logs('default', id, 0, 10)).map((l) => l.text)).toEqual(['line'])
  bench.leader.log(id, attempt.dispatch.token, 2, 'stdout', 'last words')
  await bench.leader.finish(result(attempt, 'succeeded'))
  expect((await bench.store.logs('default', id, 0, 10)).map((l) => l.text)).toEqual(['line', 'last words'])
})

test('queue bound: QUEUE_FULL with a retry time, and free again when a job ends', async () => {
  const bench = await setup({ queueJobsMax: 2 })
  await submit(bench)
  await expect(bench.leader.submit([newJob(bench), newJob(bench)], true)).rejects.toMatchObject({
    code: 'QUEUE_FULL',
    retryAfterS: 5,
  })
  await submit(bench)
  await bench.leader.finish(result(await lease(bench), 'succeeded'))
  await submit(bench)
})

test('ended: resolves with the job’s end, at once for a job that is not open, and by the signal', async () => {
  const bench = await setup()
  const id = await submit(bench)
  await bench.leader.ended('unknown', new AbortController().signal)
  const gaveUp = new AbortController()
  const short = bench.leader.ended(id, gaveUp.signal)
  gaveUp.abort()
  await short
  const end = bench.leader.ended(id, new AbortController().signal)
  await bench.leader.cancel('default', id)
  await end
})

test('result: a value that is too large fails the job for good', async () => {
  const bench = await setup()
  const id = await submit(bench)
  const value = 'x'.repeat(1024 * 1024)
  await bench.leader.finish(result(await lease(bench), 'succeeded', { value }))
  expect(await bench.store.get('default', id)).toMatchObject({ state: 'failed', error: { code: 'PAYLOAD_TOO_LARGE' } })
})

test('sessions: are known by type until they end, also after a restart', async () => {
  const bench = await setup()
  const row = {
    session: 's1',
    instance: 'w',
    service: 'worker',
    namespace: 'default',
    version: 'v1',
    boot: 'b',
    types: ['demo.echo'],
    slots: 4,
    labels: {},
  }
  await bench.leader.saveSession(row)
  expect([bench.leader.handles('demo.echo'), bench.leader.handles('other')]).toEqual([true, false])
  await bench.restart()
  expect(bench.leader.sessions()).toEqual([row])
  await bench.leader.endSession('s1')
  expect(bench.leader.handles('demo.echo')).toBe(false)
})
