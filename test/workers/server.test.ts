// The worker's HTTP side over real sockets: what it starts, refuses, keeps and forgets.

import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../kernel/clock.ts'
import { silentLog } from '../../kernel/log.ts'
import { systemRandom } from '../../kernel/random.ts'
import { formatLine } from '../../workers/contract.ts'
import { type AnyHandler, defineHandler } from '../../workers/handler.ts'
import { startWorker, type WorkerOptions } from '../../workers/worker.ts'
import { ManualClock } from '../support/clock.ts'
import { poll } from '../support/dispatch-bench.ts'
import { WorkerBench } from '../support/worker-bench.ts'

const DISPATCH = '/fairlead/v1/dispatch'
const ATTACH = '/fairlead/v1/attach'
const ACK = '/fairlead/v1/ack'
const CANCEL = '/fairlead/v1/cancel'

const echo = defineHandler({ type: 'echo', run: (input: unknown) => input })

/** Runs until the test opens it; counts and aborts as told. */
function gate(honours = true) {
  const state = { runs: 0, aborts: [] as string[], open: (): void => undefined }
  const opened = new Promise<void>((resolve) => {
    state.open = resolve
  })
  const handler = defineHandler({
    type: 'wait',
    run(_input, ctx) {
      state.runs++
      const aborted = new Promise<never>((_resolve, reject) => {
        ctx.signal.addEventListener('abort', () => {
          state.aborts.push((ctx.signal.reason as Error).message)
          if (honours) reject(ctx.signal.reason)
        })
      })
      return Promise.race([opened.then(() => 'opened'), aborted])
    },
  })
  return { handler, state }
}

async function setup(
  handlers: readonly AnyHandler[],
  options: Partial<WorkerOptions> & { session?: boolean } = {},
): Promise<WorkerBench> {
  const bench = new WorkerBench()
  onTestFinished(() => bench.close())
  await bench.start(handlers, options)
  if (options.session) await poll(() => bench.worker.session().kind === 'held')
  return bench
}

test('dispatch: accepted and result for each job, then the end of the answer', async () => {
  const bench = await setup([echo])
  const events = await bench.dispatch(bench.job('echo', { payload: { a: 1 } }), bench.job('echo', { payload: 2 }))
  expect(events.filter((event) => event.t === 'accepted')).toHaveLength(2)
  const results = events.filter((event) => event.t === 'result')
  expect(results.map(({ job, outcome, value }) => [job, outcome, value])).toEqual([
    ['job-1', 'succeeded', { a: 1 }],
    ['job-2', 'succeeded', 2],
  ])
})

test('dispatch: a payload in base64 arrives as bytes', async () => {
  const size = defineHandler({ type: 'size', run: (input: Buffer) => [Buffer.isBuffer(input), input.length] })
  const bench = await setup([size])
  const events = await bench.dispatch(bench.job('size', { payloadBase64: Buffer.from([1, 2, 3]).toString('base64') }))
  expect(events.at(-1)).toMatchObject({ outcome: 'succeeded', value: [true, 3] })
})

test.each([
  ['equal', '5'],
  ['lower', '4'],
])('dispatch: a token %s to the highest seen is refused as stale', async (_what, token) => {
  const bench = await setup([echo])
  await bench.dispatch(bench.job('echo', { job: 'a', token: '5' }))
  expect(await bench.dispatch(bench.job('echo', { job: 'a', token }))).toEqual([
    { t: 'refused', job: 'a', token, reason: 'stale-token' },
  ])
})

test('dispatch: tokens are compared as numbers of 64 bits', async () => {
  const bench = await setup([echo])
  await bench.dispatch(bench.job('echo', { job: 'a', token: '9' }))
  const events = await bench.dispatch(bench.job('echo', { job: 'a', token: '18446744073709551615' }))
  expect(events.at(-1)).toMatchObject({ t: 'result', outcome: 'succeeded' })
  const [refused] = await bench.dispatch(bench.job('echo', { job: 'a', token: '18446744073709551614' }))
  expect(refused).toMatchObject({ reason: 'stale-token' })
})

test('dispatch: refused as full when every slot is taken, and the others run', async () => {
  const { handler, state } = gate()
  const bench = await setup([handler], { slots: 2 })
  const answer = await bench.open(DISPATCH, [1, 2, 3].map(() => formatLine(bench.job('wait'))).join(''))
  expect(await answer.next((event) => event.t === 'refused')).toMatchObject({ job: 'job-3', reason: 'full' })
  state.open()
  expect(await answer.next((event) => event.t === 'result')).toMatchObject({ outcome: 'succeeded' })
  expect(await answer.next((event) => event.t === 'result')).toMatchObject({ outcome: 'succeeded' })
  expect(await answer.next()).toBeUndefined()
})

test('dispatch: refused by type, and by session when the line names another', async () => {
  const bench = await setup([echo], { session: true })
  const [unknown] = await bench.dispatch(bench.job('nope'))
  const [stranger] = await bench.dispatch(bench.job('echo', { session: 's0' }))
  const own = await bench.dispatch(bench.job('echo', { session: 's1' }))
  expect([unknown, stranger].map((event) => event?.t === 'refused' && event.reason)).toEqual([
    'unknown-type',
    'wrong-session',
  ])
  expect(own.at(-1)).toMatchObject({ outcome: 'succeeded' })
})

test('dispatch: refused as draining once the worker stops; readyz says 503', async () => {
  const { handler, state } = gate()
  const bench = await setup([handler, echo])
  const answer = await bench.open(DISPATCH, formatLine(bench.job('wait')))
  await answer.next((event) => event.t === 'accepted')
  expect((await fetch(`http://127.0.0.1:${bench.worker.port}/readyz`)).status).toBe(200)
  const closed = bench.worker.close()
  expect((await fetch(`http://127.0.0.1:${bench.worker.port}/readyz`)).status).toBe(503)
  expect(await bench.dispatch(bench.job('echo'))).toMatchObject([{ t: 'refused', reason: 'draining' }])
  state.open()
  expect(await answer.next((event) => event.t === 'result')).toMatchObject({ outcome: 'succeeded' })
  await closed
})

test('dispatch: a higher token stops the older attempt of the same job', async () => {
  const { handler, state } = gate()
  const bench = await setup([handler])
  const first = await bench.open(DISPATCH, formatLine(bench.job('wait', { job: 'a', token: '1' })))
  await first.next((event) => event.t === 'accepted')
  const second = await bench.open(DISPATCH, formatLine(bench.job('wait', { job: 'a', token: '2' })))
  expect(await first.next((event) => event.t === 'result')).toMatchObject({ token: '1', outcome: 'cancelled' })
  state.open()
  expect(await second.next((event) => event.t === 'result')).toMatchObject({ token: '2', outcome: 'succeeded' })
})

test('dispatch: the handler goes on and its result is kept when the stream breaks', async () => {
  const { handler, state } = gate()
  const bench = await setup([handler], { session: true })
  const answer = await bench.open(DISPATCH, formatLine(bench.job('wait', { job: 'a', token: '1' })))
  await answer.next((event) => event.t === 'accepted')
  await answer.cancel()
  const attach = await bench.open(ATTACH, { session: 's1' })
  expect(await attach.next()).toEqual({ t: 'running', job: 'a', token: '1' })
  expect(await attach.next()).toEqual({ t: 'attached', session: 's1' })
  state.open()
  expect(await attach.next()).toMatchObject({ t: 'result', job: 'a', outcome: 'succeeded' })
  expect(await attach.next()).toBeUndefined()
  expect(state.runs).toBe(1)
})

test('ack: results are named by every attach until acked, then forgotten', async () => {
  const bench = await setup([echo], { session: true })
  await bench.dispatch(bench.job('echo', { job: 'a', token: '1' }), bench.job('echo', { job: 'b', token: '2' }))
  const attached = async () => {
    const events = []
    const reader = await bench.open(ATTACH, { session: 's1' })
    for (let event = await reader.next(); event; event = await reader.next()) events.push(event)
    return events.map((event) => (event.t === 'result' ? event.job : event.t))
  }
  expect(await attached()).toEqual(['a', 'b', 'attached'])
  expect(await attached()).toEqual(['a', 'b', 'attached'])
  const answer = await bench.post(ACK, {
    results: [
      { job: 'a', token: '1' },
      { job: 'b', token: '9' },
    ],
  })
  expect(answer.status).toBe(204)
  expect(await attached()).toEqual(['b', 'attached'])
})

test('cancel: 202 and a result when it runs, 404 when it does not', async () => {
  const { handler, state } = gate()
  const bench = await setup([handler])
  const answer = await bench.open(DISPATCH, formatLine(bench.job('wait', { job: 'a', token: '1' })))
  await answer.next((event) => event.t === 'accepted')
  expect((await bench.post(CANCEL, { job: 'a', token: '2', reason: 'cancelled' })).status).toBe(404)
  expect((await bench.post(CANCEL, { job: 'a', token: '1', reason: 'timedOut' })).status).toBe(202)
  expect(await answer.next((event) => event.t === 'result')).toMatchObject({ outcome: 'timedOut' })
  expect(state.aborts).toEqual(['the execution timeout passed'])
  expect((await bench.post(CANCEL, { job: 'a', token: '1', reason: 'cancelled' })).status).toBe(404)
})

test('zombies: a handler that outlives its result frees its slot, up to the bound', async () => {
  const { handler, state } = gate(false)
  const bench = await setup([handler], { slots: 1, zombiesMax: 1 })
  const timedOut = { executionTimeoutMs: 20 }
  expect((await bench.dispatch(bench.job('wait', timedOut))).at(-1)).toMatchObject({ outcome: 'timedOut' })
  expect(await bench.metric('fairlead_worker_zombies')).toBe(1)
  expect((await bench.dispatch(bench.job('wait', timedOut))).at(-1)).toMatchObject({ outcome: 'timedOut' })
  expect(await bench.dispatch(bench.job('wait', timedOut))).toMatchObject([{ t: 'refused', reason: 'full' }])
  state.open()
  await poll(async () => (await bench.metric('fairlead_worker_zombies')) === 0)
  expect((await bench.dispatch(bench.job('wait'))).at(-1)).toMatchObject({ outcome: 'succeeded' })
})

test('beat: free slots are told while a stream waits', async () => {
  const { handler } = gate()
  const clock = new ManualClock()
  const bench = await setup([handler], { slots: 3, clock })
  const answer = await bench.open(DISPATCH, formatLine(bench.job('wait')))
  await answer.next((event) => event.t === 'accepted')
  await clock.advance(5_000)
  expect(await answer.next((event) => event.t === 'beat')).toEqual({ t: 'beat', freeSlots: 2 })
  await answer.cancel()
  await bench.post(CANCEL, { job: 'job-1', token: '1', reason: 'superseded' })
  const closed = bench.worker.close()
  await clock.advance(60_000)
  await closed
})

test.each([
  ['attach with another session', ATTACH, { session: 's0' }, {}, 409],
  ['attach without a session', ATTACH, {}, {}, 400],
  ['dispatch without a line', DISPATCH, '', {}, 400],
  ['dispatch with something that is not JSON', DISPATCH, '{"job":\n', {}, 400],
  ['dispatch with a token that is a number', DISPATCH, '{"job":"a","attempt":1,"token":1}\n', {}, 400],
  ['dispatch with a negative token', DISPATCH, '{"job":"a","attempt":1,"token":"-1"}\n', {}, 400],
  ['dispatch with attempt 0', DISPATCH, '{"job":"a","attempt":0,"token":"1"}\n', {}, 400],
  ['dispatch of 1001 lines', DISPATCH, '{}\n'.repeat(1001), {}, 400],
  ['dispatch that calls itself text', DISPATCH, '{}\n', { 'content-type': 'text/plain' }, 400],
  ['ack that calls itself text', ACK, { results: [] }, { 'content-type': 'text/plain' }, 400],
  ['ack without results', ACK, {}, {}, 400],
  ['cancel with a reason of its own', CANCEL, { job: 'a', token: '1', reason: 'why not' }, {}, 400],
  ['a page of some origin', ACK, { results: [] }, { origin: 'http://evil.test' }, 403],
  ['a path that is not there', '/fairlead/v1/dispatches', {}, {}, 404],
] as const)('server: %s is refused', async (_what, path, body, headers, status) => {
  let ran = 0
  const counted = defineHandler({ type: 'echo', run: () => ran++ })
  const bench = await setup([counted], { session: true })
  expect((await bench.post(path, body, headers)).status).toBe(status)
  expect(ran).toBe(0)
})

test('server: one bad line refuses the whole request before anything ran', async () => {
  let ran = 0
  const counted = defineHandler({ type: 'echo', run: () => ran++ })
  const bench = await setup([counted])
  const answer = await bench.post(DISPATCH, `${formatLine(bench.job('echo'))}{"job":"b"}\n`)
  expect([answer.status, ran]).toEqual([400, 0])
})

test('startWorker: names the port when it is taken', async () => {
  const bench = await setup([echo])
  const listen = { host: '127.0.0.1', port: bench.worker.port }
  const parts = { log: silentLog, clock: systemClock, random: systemRandom, sidecar: 'http://127.0.0.1:1', slots: 1 }
  await expect(startWorker({ handlers: [echo], version: 'v1', listen, ...parts })).rejects.toMatchObject({
    code: 'PORT_IN_USE',
  })
})

test.each([
  ['no handler', [], 1],
  ['two of a type', [echo, echo], 1],
  ['no slot', [echo], 0],
])('startWorker: refused when there is %s', async (_what, handlers, slots) => {
  const listen = { host: '127.0.0.1', port: 0 }
  const parts = { log: silentLog, clock: systemClock, random: systemRandom, sidecar: 'http://127.0.0.1:1' }
  await expect(startWorker({ handlers, slots, version: 'v1', listen, ...parts })).rejects.toThrow()
})
