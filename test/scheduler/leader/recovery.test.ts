// After a restart, and while the store refuses: memory is what the rows say.

import { expect, test } from 'vitest'
import { assign, eventually, lease, newJob, result, setup, stateOf, submit, TYPES, transient } from './setup.ts'

test('restart: every open job is there, in its place, with its attempt', async () => {
  const bench = await setup()
  const soon = bench.clock.wall() + 5_000
  const ready = await submit(bench)
  const deferred = await submit(bench, { runAt: soon as never })
  const done = await submit(bench, { priority: 6 })
  await bench.leader.finish(result(await lease(bench), 'succeeded'))
  const running = await submit(bench, { priority: 6, executionTimeoutMs: 2_000 })
  const attempt = await lease(bench)
  expect(attempt.row.job).toBe(running)

  await bench.clock.advance(1_000)
  const leader = await bench.restart()
  expect(leader.stats()).toEqual({ pending: 2, ready: 1, running: 1 })
  expect(leader.running()).toEqual([attempt.row])
  const stops: string[] = []
  leader.onStop((row, why) => stops.push(`${row.job} ${why}`))
  await bench.clock.advance(1_500)
  expect(stops).toEqual([`${running} timedOut`]) // its time went on
  expect(leader.take(TYPES, 9).map((job) => job.id)).toEqual([ready])
  await bench.clock.advance(2_500)
  await eventually(() => leader.stats().ready === 1, 'deferred is due')
  expect(leader.take(TYPES, 9).map((job) => job.id)).toEqual([deferred])
  expect(await leader.finish(result(attempt, 'succeeded'))).toBe(true)
  expect(await stateOf(bench, running)).toBe('succeeded')
  expect(await stateOf(bench, done)).toBe('succeeded')
})

test('restart: tokens and sequence go on above the highest ever given', async () => {
  const bench = await setup()
  await submit(bench)
  const first = await lease(bench)
  await bench.leader.finish(result(first, 'succeeded'))
  await bench.restart()
  const id = await submit(bench)
  const second = await lease(bench)
  expect(second.row.token > first.row.token).toBe(true)
  expect((await bench.store.rowsOf([id]))[0]!.seq).toBe(2)
})

test('restart: a job in the dispatcher’s hands is ready again, a cancelling one is told again to stop', async () => {
  const bench = await setup()
  const id = await submit(bench)
  bench.leader.take(TYPES, 1)
  await bench.restart()
  expect(bench.leader.stats().ready).toBe(1)
  const attempt = await lease(bench)
  await bench.leader.cancel('default', id)
  const leader = await bench.restart()
  const stops: string[] = []
  leader.onStop((_row, why) => stops.push(why))
  await bench.clock.advance(0)
  expect(stops).toEqual(['cancelled'])
  await leader.finish(result(attempt, 'cancelled'))
  expect(await stateOf(bench, id)).toBe('cancelled')
})

test('restart: retries and charges go on where they were', async () => {
  const bench = await setup()
  const id = await submit(bench, { maxAttempts: 2 })
  await bench.leader.finish(result(await lease(bench), 'failed', { error: transient }))
  await bench.restart()
  await bench.clock.advance(2_000)
  await eventually(() => bench.leader.stats().ready === 1, 'back-off over')
  const second = await lease(bench)
  expect([second.dispatch.attempt, second.retry]).toEqual([2, true])
  await bench.leader.finish(result(second, 'failed', { error: transient }))
  expect(await stateOf(bench, id)).toBe('deadLettered')
})

test('ordering key: serial in (runAt, sequence), the head in back-off blocks, also after a restart', async () => {
  const bench = await setup()
  const [a, b] = [await submit(bench, { orderingKey: 'k' }), await submit(bench, { orderingKey: 'k' })]
  const other = await submit(bench, { orderingKey: 'other' })
  const later = await submit(bench, { orderingKey: 'k', runAt: (bench.clock.wall() + 60_000) as never })
  expect(bench.leader.take(TYPES, 9).map((job) => job.id)).toEqual([a, other])
  await bench.restart()
  const first = bench.leader.take(TYPES, 9)
  expect(first.map((job) => job.id)).toEqual([a, other])
  const [attempt] = await bench.leader.lease([assign(first[0]!)])
  await bench.leader.finish(result(attempt!, 'failed', { error: transient }))
  expect(bench.leader.take(TYPES, 9)).toEqual([])
  await bench.restart()
  expect(bench.leader.take(TYPES, 9).map((job) => job.id)).toEqual([other])
  await bench.leader.cancel('default', a)
  expect(bench.leader.take(TYPES, 9).map((job) => job.id)).toEqual([b])
  expect(await stateOf(bench, later)).toBe('deferred')
})

test('concurrency key: one at a time, let go while the job is in back-off', async () => {
  const bench = await setup()
  const [a, b] = [await submit(bench, { concurrencyKey: 'k' }), await submit(bench, { concurrencyKey: 'k' })]
  const attempt = await lease(bench)
  expect(attempt.row.job).toBe(a)
  expect(bench.leader.take(TYPES, 9)).toEqual([])
  await bench.leader.finish(result(attempt, 'failed', { error: transient }))
  const second = await lease(bench)
  expect(second.row.job).toBe(b)
  await bench.clock.advance(2_000)
  await eventually(async () => (await stateOf(bench, a)) === 'ready', 'back-off over')
  expect(bench.leader.take(TYPES, 9)).toEqual([])
  await bench.leader.finish(result(second, 'succeeded'))
  expect(bench.leader.take(TYPES, 9).map((job) => job.id)).toEqual([a])
})

test('store refuses a submission: nothing is kept, and the next one stands', async () => {
  const bench = await setup({ queueJobsMax: 1 })
  bench.broken = true
  await expect(bench.leader.submit([newJob(bench)], true)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  expect(bench.leader.stats()).toEqual({ pending: 0, ready: 0, running: 0 })
  bench.broken = false
  await submit(bench)
})

test('store refuses a lease: the job is offered again a second later', async () => {
  const bench = await setup()
  await submit(bench)
  const [job] = bench.leader.take(TYPES, 1)
  bench.broken = true
  await expect(bench.leader.lease([assign(job!)])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  expect(bench.leader.stats()).toEqual({ pending: 1, ready: 0, running: 0 })
  bench.leader.putBack([job!], 10) // what the dispatcher does then: harmless
  bench.broken = false
  await bench.clock.advance(1_000)
  expect(bench.leader.running()).toEqual([])
  await lease(bench)
})

test('store refuses an end: the attempt runs on, and the same word counts later', async () => {
  const bench = await setup()
  const id = await submit(bench)
  const attempt = await lease(bench)
  bench.broken = true
  await expect(bench.leader.finish(result(attempt, 'succeeded'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  await expect(bench.leader.cancel('default', id)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  expect(bench.leader.running()).toHaveLength(1)
  bench.broken = false
  expect(await bench.leader.finish(result(attempt, 'succeeded'))).toBe(true)
  expect(await stateOf(bench, id)).toBe('succeeded')
})

test('store refuses what is due: it is tried again each second', async () => {
  const bench = await setup()
  const id = await submit(bench, { runAt: (bench.clock.wall() + 100) as never })
  bench.broken = true
  await bench.clock.advance(100)
  expect(bench.leader.stats().ready).toBe(0)
  await bench.clock.advance(1_000)
  bench.broken = false
  await bench.clock.advance(1_000)
  await eventually(() => bench.leader.stats().ready === 1, 'due')
  expect(await stateOf(bench, id)).toBe('ready')
})

test('idempotency: same key and body is one job, other body a conflict, in a batch all or each', async () => {
  const bench = await setup()
  const keyed = (hash: string) => newJob(bench, { idempotencyKey: 'k' }, undefined, hash)
  const [first] = await bench.leader.submit([keyed('h')], true)
  const [again] = await bench.leader.submit([keyed('h')], true)
  expect(again).toEqual({ ...first, created: false })
  const atomic = await bench.leader.submit([newJob(bench), keyed('x')], true)
  expect(atomic.map((r) => (r.ok ? 'ok' : r.error.code))).toEqual(['ATOMIC_REFUSED', 'IDEMPOTENCY_CONFLICT'])
  const each = await bench.leader.submit([newJob(bench), keyed('x'), keyed('h')], false)
  expect(each.map((r) => (r.ok ? r.created : r.error.code))).toEqual([true, 'IDEMPOTENCY_CONFLICT', false])
  expect(bench.leader.stats().pending).toBe(2)
})

test('random walk: memory equals rows after every kind of event and a restart', { timeout: 60_000 }, async () => {
  const seed = Number(process.env['SEED'] ?? 20_260)
  const bench = await setup()
  const random = (await import('../../../kernel/random.ts')).seededRandom(seed)
  const open = new Map<string, Awaited<ReturnType<typeof lease>>>()
  for (let step = 0; step < 400; step++) {
    const pick = random.int(10)
    if (pick < 3) {
      await submit(bench, {
        priority: 1 + random.int(10),
        ...(random.int(4) === 0 ? { orderingKey: `k${random.int(3)}` } : {}),
        ...(random.int(5) === 0 ? { concurrencyKey: `c${random.int(2)}` } : {}),
      })
    } else if (pick < 6) {
      const leased = await bench.leader.lease(bench.leader.take(TYPES, 1 + random.int(3)).map((job) => assign(job)))
      for (const attempt of leased) open.set(attempt.row.job, attempt)
    } else if (open.size > 0) {
      const attempt = [...open.values()][random.int(open.size)]!
      const { job, token } = attempt.row
      const end = random.int(6)
      if (end === 0) await bench.leader.lost(job, String(token))
      else if (end === 1) await bench.leader.giveBack(job, String(token), 'refused', 'full', random.int(500))
      else if (end === 2) await bench.leader.cancel('default', job)
      else await bench.leader.finish(result(attempt, end === 3 ? 'failed' : 'succeeded', { error: transient }))
      if (end !== 2) open.delete(job)
    }
    if (random.int(20) === 0) await bench.clock.advance(random.int(3_000))
  }
  const ids = (): string[] =>
    bench.leader
      .running()
      .map((row) => row.job)
      .sort()
  expect(ids(), `seed ${seed}`).toEqual([...open.keys()].sort())
  const before = bench.leader.stats()
  await bench.restart()
  expect(ids(), `seed ${seed}`).toEqual([...open.keys()].sort())
  expect(bench.leader.stats().pending, `seed ${seed}`).toBe(before.pending)
})
