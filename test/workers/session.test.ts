// The worker's session: kept, lost, fenced, left.

import { expect, onTestFinished, test } from 'vitest'
import { formatLine } from '../../workers/contract.ts'
import { defineHandler } from '../../workers/handler.ts'
import { ManualClock } from '../support/clock.ts'
import { poll } from '../support/dispatch-bench.ts'
import { WorkerBench } from '../support/worker-bench.ts'

const aborts: string[] = []
const wait = defineHandler({
  type: 'wait',
  run: (_input, ctx) =>
    new Promise<never>((_resolve, reject) =>
      ctx.signal.addEventListener('abort', () => {
        aborts.push((ctx.signal.reason as Error).message)
        reject(ctx.signal.reason)
      }),
    ),
})

async function setup(): Promise<{ bench: WorkerBench; clock: ManualClock }> {
  aborts.length = 0
  const clock = new ManualClock()
  const bench = new WorkerBench()
  onTestFinished(async () => {
    const closed = bench.close()
    await poll(async () => {
      await clock.advance(1_000)
      return Promise.race([closed.then(() => true), new Promise<boolean>((resolve) => setImmediate(resolve, false))])
    })
  })
  await bench.start([wait], { session: true, clock })
  await poll(() => bench.worker.session().kind === 'held')
  return { bench, clock }
}

test('session: names who the sidecar says it is, its types and slots', async () => {
  const { bench } = await setup()
  expect(bench.scheduler.registered[0]).toMatchObject({
    protocol: 1,
    instance: 'worker-v1-1',
    service: 'worker',
    version: 'v1',
    types: ['wait'],
    slots: 4,
  })
})

test('session: a heartbeat each 10 s tells what runs, and stops what the scheduler does not count', async () => {
  const { bench, clock } = await setup()
  const answer = await bench.open('/fairlead/v1/dispatch', formatLine(bench.job('wait')))
  await answer.next((event) => event.t === 'accepted')
  bench.scheduler.stop = [{ job: 'job-1', token: '1' }]
  await clock.advance(10_000)
  await poll(() => bench.scheduler.beats.length === 1)
  expect(bench.scheduler.beats[0]).toMatchObject({ running: [{ job: 'job-1', token: '1' }], freeSlots: 3, unacked: 0 })
  expect(await answer.next((event) => event.t === 'result')).toMatchObject({ outcome: 'cancelled' })
  expect(aborts).toEqual(['the scheduler no longer counts this attempt as ours'])
})

test('session: registers again with the same boot when the scheduler does not know it', async () => {
  const { bench, clock } = await setup()
  bench.scheduler.known.clear()
  await clock.advance(10_000)
  await poll(() => bench.scheduler.registered.length === 2)
  expect(bench.scheduler.registered[1]!.boot).toBe(bench.scheduler.registered[0]!.boot)
})

test('session: another one makes the attempts of the old one nobody’s', async () => {
  const { bench, clock } = await setup()
  const answer = await bench.open('/fairlead/v1/dispatch', formatLine(bench.job('wait')))
  await answer.next((event) => event.t === 'accepted')
  bench.scheduler.known.clear()
  bench.scheduler.grant = 's2'
  await clock.advance(10_000)
  await poll(() => aborts.length === 1)
  const attach = await bench.open('/fairlead/v1/attach', { session: 's2' })
  expect(await attach.next()).toEqual({ t: 'attached', session: 's2' })
})

test('session: handlers are aborted 5 s before it would end, and nothing new starts', async () => {
  const { bench, clock } = await setup()
  const answer = await bench.open('/fairlead/v1/dispatch', formatLine(bench.job('wait')))
  await answer.next((event) => event.t === 'accepted')
  bench.scheduler.grant = undefined
  await clock.advance(24_999)
  expect(aborts).toEqual([])
  await clock.advance(1)
  expect(aborts).toEqual(['the worker session ended'])
  expect(bench.worker.session()).toEqual({ kind: 'fenced' })
  expect(await answer.next((event) => event.t === 'result')).toMatchObject({ error: { code: 'WORKER_LOST' } })
  expect(await bench.dispatch(bench.job('wait'))).toMatchObject([{ t: 'refused', reason: 'wrong-session' }])
})

test('session: comes back from the fence when a scheduler confirms it', async () => {
  const { bench, clock } = await setup()
  bench.scheduler.grant = undefined
  await clock.advance(25_000)
  expect(bench.worker.session().kind).toBe('fenced')
  bench.scheduler.grant = 's1'
  await poll(async () => {
    await clock.advance(1_000)
    return bench.worker.session().kind === 'held'
  })
})

test('session: left after a drain; handlers that do not finish count as lost', async () => {
  const { bench, clock } = await setup()
  const answer = await bench.open('/fairlead/v1/dispatch', formatLine(bench.job('wait')))
  await answer.next((event) => event.t === 'accepted')
  const closed = bench.worker.close()
  await clock.advance(2_000)
  expect(await answer.next((event) => event.t === 'result')).toMatchObject({ error: { code: 'WORKER_LOST' } })
  await clock.advance(50)
  await closed
  expect(bench.scheduler.left).toMatchObject([{ session: 's1', results: [{ job: 'job-1', token: '1' }] }])
})
