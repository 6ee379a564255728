// Handlers, their contexts and their ends, without server or scheduler.

import { expect, expectTypeOf, test, vi } from 'vitest'
import { z } from '../../kernel/parse.ts'
import type { ActiveSpan, SpanStart, Tracing } from '../../kernel/tracing.ts'
import { CANCEL_GRACE_MS, startAttempt } from '../../workers/attempt.ts'
import { type Client, createClient } from '../../workers/client.ts'
import { LOG_BYTES_MAX, RESULT_BYTES_MAX, type WorkerEvent } from '../../workers/contract.ts'
import { PermanentError, TransientError, toAttemptError } from '../../workers/failure.ts'
import { defineHandler, type HandlerContext } from '../../workers/handler.ts'
import { testHandler } from '../../workers/testing.ts'
import { ManualClock } from '../support/clock.ts'

const untilAborted = (ctx: HandlerContext): Promise<never> =>
  new Promise((_resolve, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)))

test('handler: the result is what it returned when it succeeds', async () => {
  const add = defineHandler({ type: 'add', schema: z.tuple([z.number(), z.number()]), run: ([a, b]) => a + b })
  expect(await testHandler(add, [2, 3])).toMatchObject({ outcome: 'succeeded', value: 5, error: undefined })
})

test('handler: undefined becomes null, so that a result is always JSON', async () => {
  const quiet = defineHandler({ type: 'quiet', run: () => undefined })
  expect((await testHandler(quiet, {})).value).toBeNull()
})

test.each([[{}], [['1', 2]], [[1]], [null], [undefined], ['[1,2]']])(
  'handler: payload %j is a permanent error when the schema refuses it',
  async (payload) => {
    const run = vi.fn()
    const schema = z.tuple([z.number(), z.number()])
    const add = defineHandler({ type: 'add', schema, run })
    const { outcome, error } = await testHandler(add, payload)
    expect([outcome, error?.class, error?.code]).toEqual(['failed', 'permanent', 'INVALID_INPUT'])
    expect(run).not.toHaveBeenCalled()
  },
)

test('handler: errors keep their class, code and exit code; any other one is transient', () => {
  expect(toAttemptError(new PermanentError('no', { code: 'CARD_UNKNOWN', exitCode: 3 }))).toEqual({
    code: 'CARD_UNKNOWN',
    class: 'permanent',
    message: 'no',
    exitCode: 3,
  })
  expect(toAttemptError(new TransientError('later'))).toMatchObject({ code: 'HANDLER_FAILED', class: 'transient' })
  expect(toAttemptError(new Error('boom'))).toMatchObject({ class: 'transient', message: 'boom' })
  expect(toAttemptError('text')).toMatchObject({ class: 'transient', message: 'text' })
  expect(toAttemptError(new PermanentError('x', { code: 'spaces are no code' })).code).toBe('HANDLER_FAILED')
  expect(toAttemptError(new Error('x'.repeat(10_000))).message).toHaveLength(4096)
})

test('handler: a result over the limit is a permanent error that names the limit', async () => {
  const big = defineHandler({ type: 'big', run: () => 'x'.repeat(RESULT_BYTES_MAX) })
  const { outcome, error } = await testHandler(big, {})
  expect([outcome, error?.class, error?.code]).toEqual(['failed', 'permanent', 'PAYLOAD_TOO_LARGE'])
  expect(error?.message).toContain(String(RESULT_BYTES_MAX))
})

test.each([[() => 1n], [() => () => 1], [() => Symbol('x')]])(
  'handler: %s has no JSON form and fails',
  async (make) => {
    const odd = defineHandler({ type: 'odd', run: () => make() as unknown })
    expect((await testHandler(odd, {})).outcome).toBe('failed')
  },
)

test('log: one marker line and then silence when an attempt logs more than its limit', async () => {
  const chatty = defineHandler({
    type: 'chatty',
    run(_input, ctx) {
      for (let i = 0; i < 6; i++) ctx.log('x'.repeat(LOG_BYTES_MAX / 4))
    },
  })
  const { logs } = await testHandler(chatty, {})
  expect(logs).toHaveLength(5)
  expect(logs[4]).toContain(`reached ${LOG_BYTES_MAX} bytes`)
})

test('progress: is kept between 0 and 100', async () => {
  const eager = defineHandler({
    type: 'eager',
    run(_input, ctx) {
      for (const pct of [-5, 50, 250, Number.NaN]) ctx.progress(pct)
    },
  })
  expect((await testHandler(eager, {})).progress).toEqual([0, 50, 100, 0])
})

test('timeout: reported at T although the handler ignores its signal', async () => {
  const clock = new ManualClock()
  let aborted = false
  const deaf = defineHandler({
    type: 'deaf',
    run: (_input, ctx) => new Promise<void>(() => ctx.signal.addEventListener('abort', () => (aborted = true))),
  })
  const run = testHandler(deaf, {}, { clock, executionTimeoutMs: 1_000 })
  await clock.advance(999)
  expect(aborted).toBe(false)
  await clock.advance(1)
  expect(await run).toMatchObject({ outcome: 'timedOut', error: { code: 'EXECUTION_TIMEOUT', class: 'transient' } })
  expect(aborted).toBe(true)
})

test('timeout: names the deadline when that came first', async () => {
  const clock = new ManualClock()
  const slow = defineHandler({ type: 'slow', run: (_input, ctx) => untilAborted(ctx) })
  const run = testHandler(slow, {}, { clock, executionTimeoutMs: 5_000, remainingMs: 1_000 })
  await clock.advance(1_000)
  expect(await run).toMatchObject({ outcome: 'timedOut', error: { code: 'DEADLINE_PASSED' } })
})

test('timeout: a handler that says nothing for its heartbeat timeout ends; progress keeps it alive', async () => {
  const clock = new ManualClock()
  let tell!: () => void
  const silent = defineHandler({
    type: 'silent',
    run(_input, ctx) {
      tell = () => ctx.progress(1)
      return untilAborted(ctx)
    },
  })
  const run = testHandler(silent, {}, { clock, heartbeatTimeoutMs: 100 })
  await clock.advance(90)
  tell()
  await clock.advance(90)
  tell()
  await clock.advance(99)
  let done = false
  void run.then(() => (done = true))
  await clock.advance(0)
  expect(done).toBe(false)
  await clock.advance(1)
  expect((await run).outcome).toBe('timedOut')
})

test('cancel: the handler has a grace to stop, and its success still counts', async () => {
  const clock = new ManualClock()
  const cancel = new AbortController()
  const tidy = defineHandler({
    type: 'tidy',
    run: (_input, ctx) =>
      new Promise<string>((resolve) => ctx.signal.addEventListener('abort', () => resolve('finished all the same'))),
  })
  const run = testHandler(tidy, {}, { clock, cancel: cancel.signal })
  await clock.advance(1)
  cancel.abort()
  expect(await run).toMatchObject({ outcome: 'succeeded', value: 'finished all the same' })
})

test('cancel: reported after the grace when the handler ignores its signal', async () => {
  const clock = new ManualClock()
  const cancel = new AbortController()
  const deaf = defineHandler({ type: 'deaf', run: () => new Promise<void>(() => undefined) })
  const run = testHandler(deaf, {}, { clock, cancel: cancel.signal })
  await clock.advance(1)
  cancel.abort()
  await clock.advance(CANCEL_GRACE_MS)
  expect(await run).toMatchObject({ outcome: 'cancelled', error: undefined })
})

test('span: execute_task is a child of the job when the job is sampled', async () => {
  const started: [string, SpanStart][] = []
  const ended: (string | undefined)[] = []
  const tracing: Tracing = {
    on: true,
    startSpan(name, start) {
      started.push([name, start])
      const context = { traceId: 'a'.repeat(32), spanId: 'c'.repeat(16), sampled: true, state: undefined }
      return { context, set: () => undefined, end: (error) => void ended.push(error) } satisfies ActiveSpan
    },
    close: async () => undefined,
  }
  const run = async (flags: string): Promise<string | undefined> => {
    let seen: string | undefined
    const traced = defineHandler({
      type: 'traced',
      run(_input, ctx) {
        seen = ctx.traceparent
      },
    })
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags}`
    const job = { job: 'j', attempt: 2, token: '7', type: 'traced', env: {}, labels: {}, effectKey: 'j', traceparent }
    const parts = { clock: new ManualClock(), tracing, emit: (_event: WorkerEvent) => undefined }
    await startAttempt(traced, { ...job, executionTimeoutMs: 1000 }, parts).settled
    return seen
  }
  expect(await run('01')).toBe(`00-${'a'.repeat(32)}-${'c'.repeat(16)}-01`)
  expect(await run('00')).toBe(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`)
  expect(started).toHaveLength(1)
  expect(started[0]![0]).toBe('execute_task')
  expect(started[0]![1].attributes).toEqual({ 'task.id': 'j', 'task.type': 'traced', attempt: 2 })
  expect(started[0]![1].parent?.spanId).toBe('b'.repeat(16))
  expect(ended).toEqual([undefined])
})

test.each([[''], [' '], ['-a'], ['a b'], ['a\nb'], ['é'], ['a'.repeat(129)]])(
  'defineHandler: type %j is refused',
  (type) => {
    expect(() => defineHandler({ type, run: () => undefined })).toThrow(TypeError)
  },
)

test('client: payloads have the types of their handlers', () => {
  const add = defineHandler({ type: 'add', schema: z.tuple([z.number(), z.number()]), run: ([a, b]) => a + b })
  const greet = defineHandler({ type: 'greet', schema: z.object({ name: z.string() }), run: ({ name }) => name })
  const handlers = [add, greet] as const
  const client = createClient<typeof handlers>({ api: 'http://127.0.0.1:1', apiKey: 'k' })
  expectTypeOf(client).toEqualTypeOf<Client<typeof handlers>>()
  expectTypeOf(client.submit<'greet'>)
    .parameter(1)
    .toEqualTypeOf<{ name: string }>()
  expectTypeOf(client.submit<'add'>)
    .parameter(1)
    .toEqualTypeOf<[number, number]>()
})
