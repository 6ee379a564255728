// The dispatcher with real workers over real sockets, a leader in memory and a mesh without TLS.

import { expect, onTestFinished, test } from 'vitest'
import { ACK_PATH, ATTACH_PATH, DISPATCH_PATH } from '../../../workers/contract.ts'
import { PermanentError, TransientError } from '../../../workers/failure.ts'
import { type AnyHandler, defineHandler } from '../../../workers/handler.ts'
import { DispatchBench, poll } from '../../support/dispatch-bench.ts'

async function setup(): Promise<DispatchBench> {
  const bench = new DispatchBench()
  onTestFinished(() => bench.close())
  await bench.startScheduler()
  return bench
}

interface Gated {
  readonly handler: AnyHandler
  /** Executions per job: what really ran. */
  readonly runs: Map<string, number>
  readonly aborted: string[]
  most: number
  release(): void
}

/** Counts its executions and waits until the test lets it go on, or its signal aborts. */
function gated(options: { honoursSignal?: boolean } = {}): Gated {
  let open = false
  let now = 0
  const waiting = new Set<() => void>()
  const gate: Gated = {
    runs: new Map(),
    aborted: [],
    most: 0,
    handler: defineHandler({
      type: 'work',
      async run(input: { index: number }, ctx) {
        gate.runs.set(ctx.job, (gate.runs.get(ctx.job) ?? 0) + 1)
        gate.most = Math.max(gate.most, ++now)
        ctx.progress(50)
        if (!open) await stop(ctx.signal)
        now--
        return input.index
      },
    }),
    release() {
      open = true
      for (const resume of waiting) resume()
    },
  }
  const stop = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      waiting.add(resolve)
      signal.addEventListener('abort', () => {
        gate.aborted.push(String((signal.reason as Error).message))
        if (options.honoursSignal ?? true) reject(signal.reason)
      })
    })
  return gate
}

const quick = defineHandler({ type: 'work', run: (input: { index: number }) => input.index })
const ends = (bench: DispatchBench, id: string): (string | undefined)[] =>
  bench.leader.job(id).attempts.map((a) => a.end)

test('dispatch: every job runs once and its result arrives when a worker is there', async () => {
  const bench = await setup()
  await bench.startWorker('worker-v1-1', [quick])
  const ids = bench.leader.submit(100, 'work')
  await bench.leader.until(() => bench.leader.ended(ids))
  for (const [index, id] of ids.entries()) {
    expect(bench.leader.job(id).result).toMatchObject({ outcome: 'succeeded', value: index })
    expect(bench.leader.job(id).attempts).toHaveLength(1)
    expect(bench.leader.job(id).attempts[0]!.started).toBe(true)
  }
  await poll(() => bench.mesh.outcomes.reduce((sum, one) => sum + one.succeeded, 0) === 100)
  expect(bench.mesh.outcomes.every((one) => one.authority === 'worker.mesh' && one.backend === 'worker-v1')).toBe(true)
})

test('dispatch: jobs wait untouched when no worker is there', async () => {
  const bench = await setup()
  const ids = bench.leader.submit(3, 'work')
  expect(bench.mesh.quotes).toEqual([])
  await bench.startWorker('worker-v1-1', [quick])
  await bench.leader.until(() => bench.leader.ended(ids))
})

test('dispatch: progress, log lines and errors arrive as the handler made them', async () => {
  const bench = await setup()
  const handlers = [
    defineHandler({
      type: 'talk',
      run(_input, ctx) {
        ctx.log('hello')
        ctx.progress(42)
        throw new PermanentError('no such card', { code: 'CARD_UNKNOWN' })
      },
    }),
    defineHandler({
      type: 'flaky',
      run(_input, ctx) {
        if (ctx.attempt < 3) throw new TransientError('not yet')
        return 'at last'
      },
    }),
  ]
  await bench.startWorker('worker-v1-1', handlers)
  const [talk] = bench.leader.submit(1, 'talk') as [string]
  const [flaky] = bench.leader.submit(1, 'flaky') as [string]
  await bench.leader.until(() => bench.leader.ended([talk, flaky]))
  const { result, logs, progress } = bench.leader.job(talk)
  expect(result).toMatchObject({ outcome: 'failed', error: { code: 'CARD_UNKNOWN', class: 'permanent' } })
  expect([logs, progress]).toEqual([['hello'], [42]])
  expect(ends(bench, flaky)).toEqual(['failed', 'failed', 'succeeded'])
  const repeats = bench.mesh.forwarded.filter(({ headers }) => headers['fairlead-retry'] === '1')
  expect(repeats.map(({ body }) => JSON.parse(body).attempt)).toEqual([2, 3])
  // The permanent error says nothing about the version; the two transient ones do.
  await poll(() => bench.mesh.outcomes.reduce((sum, one) => sum + one.failed, 0) === 2)
})

test('dispatch: a broken stream changes no state and nothing runs twice when the worker lives', async () => {
  const bench = await setup()
  const gate = gated()
  await bench.startWorker('worker-v1-1', [gate.handler])
  const ids = bench.leader.submit(5, 'work')
  await bench.leader.until(() => ids.every((id) => bench.leader.job(id).attempts[0]?.started))
  expect(bench.mesh.cut('worker-v1-1')).toBeGreaterThan(0)
  await poll(() => bench.mesh.forwarded.some(({ path }) => path === ATTACH_PATH))
  expect(ids.map((id) => bench.leader.job(id).state)).toEqual(Array(5).fill('leased'))
  gate.release()
  await bench.leader.until(() => bench.leader.ended(ids))
  for (const id of ids) {
    expect(gate.runs.get(id)).toBe(1)
    expect(ends(bench, id)).toEqual(['succeeded'])
  }
})

test('dispatch: a second break of the same jobs ends well too when attach is cut', async () => {
  const bench = await setup()
  const gate = gated()
  await bench.startWorker('worker-v1-1', [gate.handler])
  const ids = bench.leader.submit(3, 'work')
  await bench.leader.until(() => ids.every((id) => bench.leader.job(id).attempts[0]?.started))
  const attaches = (): number => bench.mesh.forwarded.filter(({ path }) => path === ATTACH_PATH).length
  bench.mesh.cut('worker-v1-1')
  await poll(() => attaches() === 1)
  await poll(() => bench.mesh.cut('worker-v1-1') > 0)
  await poll(() => attaches() >= 2)
  gate.release()
  await bench.leader.until(() => bench.leader.ended(ids))
  expect(ids.map((id) => [gate.runs.get(id), ends(bench, id)])).toEqual(ids.map(() => [1, ['succeeded']]))
})

test('dispatch: an attempt is released, uncharged, when its request never reached the worker', async () => {
  const bench = await setup()
  const gate = gated()
  gate.release()
  let swallowed = 0
  bench.mesh.refuse = ({ path }) => (path === DISPATCH_PATH && swallowed++ === 0 ? 'swallow' : undefined)
  await bench.startWorker('worker-v1-1', [gate.handler])
  const [id] = bench.leader.submit(1, 'work') as [string]
  await bench.leader.until(() => bench.leader.ended([id]))
  expect(ends(bench, id)).toEqual(['released', 'succeeded'])
  expect(gate.runs.get(id)).toBe(1)
})

test('dispatch: attempts are lost and run again when the same instance comes with another boot', async () => {
  const bench = await setup()
  const first = gated()
  await bench.startWorker('worker-v1-1', [first.handler])
  const ids = bench.leader.submit(2, 'work')
  await bench.leader.until(() => ids.every((id) => bench.leader.job(id).attempts[0]?.started))
  const session = bench.dispatcher.workers()[0]!.session
  bench.unplug('worker-v1-1')
  await bench.startWorker('worker-v1-1', [quick])
  await bench.leader.until(() => bench.leader.ended(ids))
  for (const id of ids) expect(ends(bench, id)).toEqual(['lost', 'succeeded'])
  expect(bench.leader.stored.has(session)).toBe(false)
  first.release()
})

test('dispatch: nothing is charged and the jobs come again when a sidecar refuses', async () => {
  const bench = await setup()
  let refused = 0
  bench.mesh.refuse = ({ path }) =>
    path === DISPATCH_PATH && refused++ < 2 ? { status: 503, code: 'UPSTREAM_SATURATED' } : undefined
  await bench.startWorker('worker-v1-1', [quick])
  const [id] = bench.leader.submit(1, 'work') as [string]
  await bench.leader.until(() => bench.leader.ended([id]))
  expect(ends(bench, id)).toEqual(['refused', 'refused', 'succeeded'])
  expect(bench.leader.job(id).attempts[0]!.reason).toBe('UPSTREAM_SATURATED')
  expect(await bench.metric('fairlead_dispatch_refusals_total')).toBe(2)
})

test('dispatch: an instance gets less at a time when it refused', async () => {
  const bench = await setup()
  bench.mesh.refuse = ({ path }) => (path === DISPATCH_PATH ? { status: 503, code: 'OVERLOADED' } : undefined)
  await bench.startWorker('worker-v1-1', [quick], { slots: 8 })
  const ids = bench.leader.submit(8, 'work')
  await poll(async () => (await bench.metric('fairlead_dispatch_window')) <= 2)
  bench.mesh.refuse = () => undefined
  await bench.leader.until(() => bench.leader.ended(ids))
})

test('dispatch: another app answer than 200 means nothing ran when it is a 4xx', async () => {
  const bench = await setup()
  await bench.startWorker('worker-v1-1', [quick])
  await bench.registered(1)
  const [id] = bench.leader.submit(1, 'work', { payload: () => 'x'.repeat(5 * 1024 * 1024) }) as [string]
  await bench.leader.until(() => bench.leader.job(id).attempts[0]?.end !== undefined)
  expect(bench.leader.job(id).attempts[0]).toMatchObject({ end: 'refused', reason: 'WORKER_413' })
})

test('cancel: the handler is aborted and the attempt ends cancelled when the leader asks', async () => {
  const bench = await setup()
  const gate = gated()
  await bench.startWorker('worker-v1-1', [gate.handler])
  const [id] = bench.leader.submit(1, 'work') as [string]
  await bench.leader.until(() => bench.leader.job(id).attempts[0]?.started === true)
  bench.leader.stop(id, 'cancelled')
  await bench.leader.until(() => bench.leader.ended([id]))
  expect(bench.leader.job(id).result?.outcome).toBe('cancelled')
  expect(gate.aborted).toEqual(['the job was cancelled'])
})

test('timeout: the attempt ends at T and the slot is free when the handler ignores its signal', async () => {
  const bench = await setup()
  const gate = gated({ honoursSignal: false })
  await bench.startWorker('worker-v1-1', [gate.handler], { slots: 1 })
  const [id] = bench.leader.submit(1, 'work', { executionTimeoutMs: 60 }) as [string]
  await bench.leader.until(() => bench.leader.ended([id]))
  expect(bench.leader.job(id).result).toMatchObject({ outcome: 'timedOut', error: { code: 'EXECUTION_TIMEOUT' } })
  const [next] = bench.leader.submit(1, 'work', { executionTimeoutMs: 60 }) as [string]
  await bench.leader.until(() => bench.leader.ended([next]))
  gate.release()
})

test('scheduler restart: a result made meanwhile is kept and nothing runs twice', async () => {
  const bench = await setup()
  const gate = gated()
  await bench.startWorker('worker-v1-1', [gate.handler])
  const ids = bench.leader.submit(4, 'work')
  await bench.leader.until(() => ids.every((id) => bench.leader.job(id).attempts[0]?.started))
  await bench.stopScheduler()
  expect(ids.map((id) => bench.leader.job(id).state)).toEqual(Array(4).fill('leased'))
  gate.release()
  await bench.startScheduler()
  await bench.leader.until(() => bench.leader.ended(ids))
  for (const id of ids) {
    expect(gate.runs.get(id)).toBe(1)
    expect(ends(bench, id)).toEqual(['succeeded'])
  }
})

test('scheduler restart: attempts of sessions that are not stored any more are lost', async () => {
  const bench = await setup()
  const gate = gated()
  await bench.startWorker('worker-v1-1', [gate.handler])
  const [id] = bench.leader.submit(1, 'work') as [string]
  await bench.leader.until(() => bench.leader.job(id).attempts[0]?.started === true)
  await bench.stopScheduler()
  bench.leader.stored.clear()
  await bench.startScheduler()
  await bench.leader.until(() => bench.leader.job(id).attempts[0]!.end === 'lost')
  gate.release()
})

test('ack: the worker keeps its results until the scheduler has them on disk', async () => {
  const bench = await setup()
  bench.mesh.refuse = ({ path }) => (path === ACK_PATH ? { status: 503, code: 'UPSTREAM_RESET' } : undefined)
  const worker = await bench.startWorker('worker-v1-1', [quick])
  const ids = bench.leader.submit(3, 'work')
  await bench.leader.until(() => bench.leader.ended(ids))
  const unacked = async (): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${worker.port}/metrics`)).text()
    return Number(/^fairlead_worker_unacked(?:\{.*\})? (\d+)$/m.exec(text)![1])
  }
  expect(await unacked()).toBe(3)
  bench.mesh.refuse = () => undefined
  await poll(async () => (await unacked()) === 0)
})

test('drain: running jobs finish once, nothing is charged, new ones wait when the worker stops', async () => {
  const bench = await setup()
  const gate = gated()
  const worker = await bench.startWorker('worker-v1-1', [gate.handler])
  const ids = bench.leader.submit(3, 'work')
  await bench.leader.until(() => ids.every((id) => bench.leader.job(id).attempts[0]?.started))
  const closed = worker.close()
  const later = bench.leader.submit(2, 'work')
  expect((await fetch(`http://127.0.0.1:${worker.port}/readyz`)).status).toBe(503)
  gate.release()
  await closed
  await poll(() => bench.dispatcher.workers().length === 0)
  for (const id of ids) expect([gate.runs.get(id), ends(bench, id)]).toEqual([1, ['succeeded']])
  for (const id of later) expect(gate.runs.has(id)).toBe(false)
  await bench.startWorker('worker-v1-2', [quick])
  await bench.leader.until(() => bench.leader.ended(later))
})

test('drain: a result that nobody could fetch comes with the leave when the mesh forgot the worker', async () => {
  const bench = await setup()
  const gate = gated()
  const worker = await bench.startWorker('worker-v1-1', [gate.handler], { drainAcksMs: 50 })
  const ids = bench.leader.submit(2, 'work')
  await bench.leader.until(() => ids.every((id) => bench.leader.job(id).attempts[0]?.started))
  const toWorker = (instance: string): boolean => instance === 'worker-v1-1'
  bench.mesh.refuse = ({ instance }) => (toWorker(instance) ? { status: 503, code: 'INSTANCE_GONE' } : undefined)
  bench.mesh.cut('worker-v1-1')
  const closed = worker.close()
  gate.release()
  await closed
  await bench.leader.until(() => bench.leader.ended(ids))
  for (const id of ids) expect([gate.runs.get(id), ends(bench, id)]).toEqual([1, ['succeeded']])
  expect(bench.dispatcher.workers()).toEqual([])
})

test('split: exact over a batch of two versions when one of them is always full', async () => {
  const bench = await setup()
  bench.mesh.weights = [
    { backend: 'worker-v1', version: 'v1', weight: 90 },
    { backend: 'worker-v2', version: 'v2', weight: 10 },
  ]
  const slow = defineHandler({
    type: 'work',
    run: () => new Promise<void>((resolve) => void bench.clock.after(2, resolve)),
  })
  await bench.startWorker('worker-v1-1', [slow], { slots: 2 })
  await bench.startWorker('worker-v1-2', [slow], { slots: 2 })
  await bench.startWorker('worker-v2-1', [quick], { version: 'v2', slots: 8 })
  await bench.registered(3)
  const ids = bench.leader.submit(300, 'work')
  await bench.leader.until(() => bench.leader.ended(ids))
  const versions = Map.groupBy(ids, (id) => bench.leader.job(id).attempts[0]!.row.version)
  expect([versions.get('v1')?.length, versions.get('v2')?.length]).toEqual([270, 30])
  const mixed = bench.mesh.forwarded.filter(({ instance, body }) => instance === 'worker-v2-1' && body.includes('v1'))
  expect(mixed).toEqual([])
})

test('split: a version whose breaker is open costs no attempt and its share comes again', async () => {
  const bench = await setup()
  bench.mesh.weights = [
    { backend: 'worker-v1', version: 'v1', weight: 50 },
    { backend: 'worker-v2', version: 'v2', weight: 50 },
  ]
  bench.mesh.openBreakers.add('worker-v2')
  await bench.startWorker('worker-v1-1', [quick])
  await bench.startWorker('worker-v2-1', [quick], { version: 'v2' })
  await bench.registered(2)
  const ids = bench.leader.submit(40, 'work')
  await bench.leader.until(() => ids.filter((id) => bench.leader.job(id).state === 'done').length >= 20)
  expect(bench.mesh.forwarded.some(({ path, instance }) => path === DISPATCH_PATH && instance === 'worker-v2-1')).toBe(
    false,
  )
  bench.mesh.openBreakers.clear()
  await bench.leader.until(() => bench.leader.ended(ids))
  for (const id of ids) expect(ends(bench, id)).toEqual(['succeeded'])
})

test('split: jobs go elsewhere in the end when a version has no worker', async () => {
  const bench = await setup()
  bench.mesh.weights = [
    { backend: 'worker-v1', version: 'v1', weight: 90 },
    { backend: 'worker-v2', version: 'v2', weight: 10 },
  ]
  await bench.startWorker('worker-v1-1', [quick])
  const ids = bench.leader.submit(50, 'work')
  await bench.leader.until(() => bench.leader.ended(ids))
  expect(new Set(ids.map((id) => bench.leader.job(id).attempts[0]!.row.version))).toEqual(new Set(['v1']))
  expect(bench.mesh.unused.filter(({ backend }) => backend === 'worker-v2').length).toBeGreaterThan(0)
})

test('pinned: a job runs on its version only, whatever the split says', async () => {
  const bench = await setup()
  bench.mesh.weights = [
    { backend: 'worker-v1', version: 'v1', weight: 100 },
    { backend: 'worker-v2', version: 'v2', weight: 0 },
  ]
  await bench.startWorker('worker-v1-1', [quick])
  await bench.startWorker('worker-v2-1', [quick], { version: 'v2', slots: 2 })
  await bench.registered(2)
  const pinned = bench.leader.submit(10, 'work', { pinned: 'v2' })
  const free = bench.leader.submit(10, 'work')
  await bench.leader.until(() => bench.leader.ended([...pinned, ...free]))
  expect(new Set(pinned.map((id) => bench.leader.job(id).attempts[0]!.row.version))).toEqual(new Set(['v2']))
  expect(new Set(free.map((id) => bench.leader.job(id).attempts[0]!.row.version))).toEqual(new Set(['v1']))
})

test('backpressure: never more than the slots at once and all of 1000 jobs once', async () => {
  const bench = await setup()
  const gate = gated()
  gate.release()
  await bench.startWorker('worker-v1-1', [gate.handler], { slots: 4 })
  await bench.startWorker('worker-v1-2', [gate.handler], { slots: 4 })
  const ids = bench.leader.submit(1000, 'work')
  await bench.leader.until(() => bench.leader.ended(ids))
  expect(gate.most).toBeLessThanOrEqual(8)
  expect(gate.runs.size).toBe(1000)
  expect(Math.max(...gate.runs.values())).toBe(1)
  const perRequest = bench.mesh.forwarded
    .filter(({ path }) => path === DISPATCH_PATH)
    .map(({ body }) => body.split('\n'))
  expect(Math.max(...perRequest.map((lines) => lines.length - 1))).toBeLessThanOrEqual(4)
})

test('lease: nothing is sent before it is stored and the jobs come again when it can not be', async () => {
  const bench = await setup()
  bench.leader.failLeases = 1
  await bench.startWorker('worker-v1-1', [quick])
  await bench.registered(1)
  const [id] = bench.leader.submit(1, 'work') as [string]
  await poll(() => bench.mesh.unused.length === 1)
  expect(bench.mesh.forwarded.filter(({ path }) => path === DISPATCH_PATH)).toEqual([])
  await bench.leader.until(() => bench.leader.ended([id]))
  expect(ends(bench, id)).toEqual(['succeeded'])
})

test('identity: a worker that names another service than its certificate gets no session', async () => {
  const bench = await setup()
  bench.mesh.impersonate = 'intruder'
  const worker = await bench.startWorker('worker-v1-1', [quick])
  await poll(() => bench.mesh.forwarded.length >= 2)
  expect(bench.dispatcher.workers()).toEqual([])
  expect(worker.session()).toEqual({ kind: 'none' })
})

test('workers: are listed with version, slots and what they run', async () => {
  const bench = await setup()
  const gate = gated()
  await bench.startWorker('worker-v1-1', [gate.handler], { slots: 3 })
  const ids = bench.leader.submit(2, 'work')
  await bench.leader.until(() => ids.every((id) => bench.leader.job(id).attempts[0]?.started))
  const [worker] = bench.dispatcher.workers()
  expect(worker).toMatchObject({ instance: 'worker-v1-1', service: 'worker', version: 'v1', slots: 3, running: 2 })
  gate.release()
})
