// store-conformance.ts — the promises of scheduler/store/contract.ts, for every engine. An engine's test file calls
// `conformance(name, open)`; `open` gives a store over the same rows each time it is called within one test.

import { expect, onTestFinished, test } from 'vitest'
import type { FairleadError } from '../../kernel/errors.ts'
import type { JobStore } from '../../scheduler/store/contract.ts'
import { until } from '../support/until.ts'
import { at, attemptRow, insert, jobRow, noBody, sessionRow } from './rows.ts'

export interface Engine {
  /** A store over this engine's rows; closing and opening again must find them. */
  open(): Promise<JobStore>
  /** A store over the same rows, of which one commit can be made to stand while its answer gets lost. */
  openLosing(onFatal: (error: FairleadError) => void): Promise<{ readonly store: JobStore; lose(): void }>
}

interface Setup {
  readonly store: JobStore
  reopen(): Promise<JobStore>
  readonly engine: Engine
}

async function setup(engine: () => Promise<Engine>): Promise<Setup> {
  const made = await engine()
  let store = await made.open()
  onTestFinished(() => store.close())
  return {
    store,
    engine: made,
    async reopen() {
      await store.close()
      store = await made.open()
      return store
    },
  }
}

export function conformance(name: string, engine: () => Promise<Engine>): void {
  const given = (subject: string, run: (s: Awaited<ReturnType<typeof setup>>) => Promise<void>): void =>
    test(`${name}: ${subject}`, async () => run(await setup(engine)))

  given('an inserted job is read back whole when it has every field', async ({ store }) => {
    const job = jobRow({
      name: 'n',
      description: 'd',
      owner: 'o',
      labels: { run: 'r1', team: 'a' },
      deadline: at(99_000),
      scheduleToStartMs: 5_000,
      heartbeatTimeoutMs: 700,
      orderingKey: 'ok',
      fairnessKey: 'fk',
      idempotencyKey: 'ik',
      traceparent: '00-aa-bb-01',
      priority: 9,
      class: 'critical',
    })
    await store.commit([{ t: 'insert', job, body: noBody, requestHash: 'h' }])
    expect(await store.rowsOf([job.id, 'unknown'])).toEqual([job])
    const got = await store.get('default', job.id)
    expect(got).toMatchObject({ id: job.id, class: 'critical', priority: 9, labels: job.labels, name: 'n', owner: 'o' })
    expect(got?.deadline).toBe('1970-01-01T00:01:39.000Z')
  })

  given('a job of another tenant is not found', async ({ store }) => {
    await store.commit([insert({ id: 'a', tenant: 'red' })])
    expect(await store.get('blue', 'a')).toBeUndefined()
    expect(await store.attempts('blue', 'a')).toEqual([])
    expect((await store.list({ tenant: 'blue', limit: 10 })).jobs).toEqual([])
    expect((await store.summary('blue')).total).toBe(0)
  })

  given('payload bytes come back exactly when binary, small and large', async ({ store }) => {
    const small = Uint8Array.from({ length: 256 }, (_, i) => i)
    const large = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) % 251)
    await store.commit([
      insert({ id: 'small' }, { payloadKind: 'bytes', payload: small, env: {} }),
      insert({ id: 'large' }, { payloadKind: 'bytes', payload: large, env: { A: 'b' } }),
    ])
    const bodies = await store.bodyOf(['small', 'large', 'unknown'])
    expect(bodies.size).toBe(2)
    expect(Buffer.compare(bodies.get('small')!.payload as Uint8Array, small)).toBe(0)
    expect(Buffer.compare(bodies.get('large')!.payload as Uint8Array, large)).toBe(0)
    expect(bodies.get('large')!.env).toEqual({ A: 'b' })
    expect((await store.get('default', 'large'))?.payloadBase64).toBe(Buffer.from(large).toString('base64'))
  })

  given('a JSON payload comes back exactly when small and when compressed', async ({ store }) => {
    const texts = ['null', '{"a":[1,2,"ü"]}', JSON.stringify({ text: 'ä☃'.repeat(20_000) })]
    await store.commit(texts.map((text, i) => insert({ id: `j${i}` }, { payloadKind: 'json', payload: text, env: {} })))
    const bodies = await store.bodyOf(['j0', 'j1', 'j2'])
    expect([...bodies.values()].map((b) => b.payload)).toEqual(texts)
    expect((await store.get('default', 'j0'))?.payload).toBeNull()
    expect((await store.get('default', 'j2'))?.payload).toEqual(JSON.parse(texts[2]!))
  })

  given('P1 rows are there when the store is opened again', async ({ store, reopen }) => {
    await store.commit([insert({ id: 'a' }), { t: 'session', row: sessionRow() }])
    await store.commit([{ t: 'lease', attempt: attemptRow('a', 7n) }])
    const again = await reopen()
    expect(await again.loadRunning()).toEqual([attemptRow('a', 7n)])
    expect(await again.loadSessions()).toEqual([sessionRow()])
    expect((await again.highest()).token).toBe(7n)
  })

  given('P1 error after commit: the outcome is unknown, the store is over, and the rows stand', async (s) => {
    await s.store.close()
    const told: FairleadError[] = []
    const { store, lose } = await s.engine.openLosing((error) => told.push(error))
    onTestFinished(() => store.close())
    await store.commit([insert({ id: 'before' })])
    lose()
    const unknown = { code: 'STORE_UNAVAILABLE', log: { unknown: true } }
    await expect(store.commit([insert({ id: 'lost answer', idempotencyKey: 'k' }, noBody, 'h')])).rejects.toMatchObject(
      unknown,
    )
    await until(() => told.length > 0)
    expect(told[0]).toMatchObject(unknown)
    await expect(store.commit([insert({ id: 'after' })])).rejects.toThrow()
    await store.close()
    const again = await s.reopen()
    expect((await again.rowsOf(['before', 'lost answer', 'after'])).map(({ id }) => id)).toEqual([
      'before',
      'lost answer',
    ])
    // The client repeats its request: the same job.
    expect(await again.commit([insert({ id: 'repeated', idempotencyKey: 'k' }, noBody, 'h')])).toEqual([
      { ok: true, existing: { id: 'lost answer', state: 'ready' } },
    ])
  })

  given('P2 a refused change is reported and the others stand', async ({ store }) => {
    await store.commit([insert({ id: 'a' }), insert({ id: 'b' })])
    const results = await store.commit([
      { t: 'move', job: 'a', from: 'deferred', to: 'ready', at: at(1) },
      { t: 'move', job: 'b', from: 'ready', to: 'cancelled', at: at(1) },
      { t: 'move', job: 'missing', from: 'ready', to: 'cancelled', at: at(1) },
    ])
    expect(results).toEqual([
      { ok: false, code: 'JOB_STATE_CONFLICT' },
      { ok: true },
      { ok: false, code: 'JOB_NOT_FOUND' },
    ])
    expect((await store.get('default', 'a'))?.state).toBe('ready')
    expect((await store.get('default', 'b'))?.state).toBe('cancelled')
  })

  given('P2 an atomic group stands or falls together', async ({ store }) => {
    await store.commit([insert({ id: 'first', idempotencyKey: 'k' }, noBody, 'h1')])
    const results = await store.commit([
      insert({ id: 'outside' }),
      { t: 'atomic', count: 2 },
      insert({ id: 'x' }),
      insert({ id: 'y', idempotencyKey: 'k' }, noBody, 'h2'),
      insert({ id: 'after' }),
    ])
    expect(results.map((r) => (r.ok ? 'ok' : r.code))).toEqual([
      'ok',
      'ok',
      'ATOMIC_REFUSED',
      'IDEMPOTENCY_CONFLICT',
      'ok',
    ])
    const ids = (await store.rowsOf(['outside', 'x', 'y', 'after'])).map((r) => r.id)
    expect(ids).toEqual(['outside', 'after'])
  })

  given('P2 an atomic group may say one key twice, and is one stage of an ordered commit', async ({ store }) => {
    const results = await store.commit([
      insert({ id: 'a' }),
      { t: 'lease', attempt: attemptRow('a', 1n) },
      { t: 'atomic', count: 3 },
      insert({ id: 'x', idempotencyKey: 'k' }, noBody, 'h'),
      insert({ id: 'y', idempotencyKey: 'k' }, noBody, 'h'),
      { t: 'started', job: 'a', token: 1n, at: at(3) },
      { t: 'atomic', count: 2 },
      { t: 'progress', job: 'a', token: 1n, pct: 10 },
      { t: 'progress', job: 'a', token: 9n, pct: 20 },
      { t: 'atomic', count: 1 },
      { t: 'progress', job: 'a', token: 1n, pct: 30 },
    ])
    expect(results.map((r) => (r.ok ? (r.existing?.id ?? 'ok') : r.code))).toEqual([
      ...['ok', 'ok', 'ok', 'ok', 'x', 'ok', 'ok', 'ATOMIC_REFUSED', 'TOKEN_STALE', 'ok', 'ok'],
    ])
    expect(await store.get('default', 'a')).toMatchObject({ state: 'leased', progress: 30 })
    expect((await store.rowsOf(['x', 'y'])).map(({ id }) => id)).toEqual(['x'])
  })

  given('odd text comes back as it was: U+0000, U+0001, quotes, backslashes', async ({ store }) => {
    const odd = 'a\u0000b\u00010\u00011"\\\n☃'
    const labels = { [odd]: odd, plain: 'x' }
    const job = jobRow({ id: 'odd', labels, idempotencyKey: odd, name: odd, owner: odd, orderingKey: odd })
    await store.commit([
      {
        t: 'insert',
        job,
        body: { payloadKind: 'json', payload: JSON.stringify(odd), env: { A: odd } },
        requestHash: 'h',
      },
      { t: 'lease', attempt: attemptRow('odd', 1n, { instance: odd }) },
      { t: 'log', job: 'odd', token: 1n, seq: 0, stream: 'stdout', text: odd, at: at(5) },
    ])
    expect((await store.rowsOf(['odd']))[0]).toMatchObject({ labels, idempotencyKey: odd, name: odd })
    expect(await store.get('default', 'odd')).toMatchObject({ payload: odd, env: { A: odd } })
    expect((await store.list({ tenant: 'default', limit: 9, labels: [{ key: odd, value: odd }] })).jobs).toHaveLength(1)
    expect((await store.logs('default', 'odd', 0, 9))[0]?.text).toBe(odd)
    expect((await store.attempts('default', 'odd'))[0]?.instance).toBe(odd)
    expect(await store.commit([insert({ id: 'two', idempotencyKey: odd }, noBody, 'h')])).toMatchObject([
      { existing: { id: 'odd' } },
    ])
  })

  given('P3 a known idempotency key inserts nothing and names the first job', async ({ store }) => {
    const first = insert({ id: 'first', idempotencyKey: 'k' }, noBody, 'h')
    const [one, two, other, tenant] = [
      await store.commit([first]),
      await store.commit([insert({ id: 'second', idempotencyKey: 'k' }, noBody, 'h')]),
      await store.commit([insert({ id: 'third', idempotencyKey: 'k' }, noBody, 'other body')]),
      await store.commit([insert({ id: 'fourth', idempotencyKey: 'k', tenant: 'red' }, noBody, 'other body')]),
    ]
    expect(one).toEqual([{ ok: true }])
    expect(two).toEqual([{ ok: true, existing: { id: 'first', state: 'ready' } }])
    expect(other).toEqual([{ ok: false, code: 'IDEMPOTENCY_CONFLICT' }])
    expect(tenant).toEqual([{ ok: true }])
    expect((await store.list({ tenant: 'default', limit: 10 })).jobs.map((j) => j.id)).toEqual(['first'])
  })

  given('P3 a key twice in one commit is one job, and after 24 h it is free', async ({ store }) => {
    const results = await store.commit([
      insert({ id: 'a', idempotencyKey: 'k' }, noBody, 'h'),
      insert({ id: 'b', idempotencyKey: 'k' }, noBody, 'h'),
    ])
    expect(results[1]).toEqual({ ok: true, existing: { id: 'a', state: 'ready' } })
    const nextDay = at(1_000 + 24 * 3600 * 1000)
    expect(await store.commit([insert({ id: 'c', idempotencyKey: 'k', createdAt: nextDay }, noBody, 'x')])).toEqual([
      { ok: true },
    ])
  })

  given('P3 an attempt is changed only by its own token', async ({ store }) => {
    await store.commit([insert({ id: 'a' }), { t: 'lease', attempt: attemptRow('a', 5n) }])
    const stale = await store.commit([
      { t: 'started', job: 'a', token: 4n, at: at(2) },
      { t: 'progress', job: 'a', token: 6n, pct: 50 },
      { t: 'log', job: 'a', token: 4n, seq: 0, stream: 'log', text: 'x', at: at(2) },
      {
        t: 'end',
        job: 'a',
        token: 4n,
        outcome: 'succeeded',
        to: 'succeeded',
        at: at(3),
        startedAt: null,
        charge: true,
      },
    ])
    expect(stale.map((r) => (r.ok ? 'ok' : r.code))).toEqual(Array(4).fill('TOKEN_STALE'))
    expect((await store.get('default', 'a'))?.state).toBe('leased')
    const done = await store.commit([
      {
        t: 'end',
        job: 'a',
        token: 5n,
        outcome: 'succeeded',
        to: 'succeeded',
        at: at(9_000),
        startedAt: at(8_000),
        charge: true,
        result: '{"n":1}',
      },
    ])
    expect(done).toEqual([{ ok: true }])
    const job = await store.get('default', 'a')
    expect(job).toMatchObject({ state: 'succeeded', attempts: 1, result: { n: 1 }, progress: 100 })
    expect([job?.startedAt, job?.finishedAt]).toEqual(['1970-01-01T00:00:08.000Z', '1970-01-01T00:00:09.000Z'])
  })

  given('a lease is refused when the job is not ready or the token is not newer', async ({ store }) => {
    await store.commit([insert({ id: 'd', state: 'deferred' }), insert({ id: 'a' })])
    await store.commit([{ t: 'lease', attempt: attemptRow('a', 9n) }])
    await store.commit([
      { t: 'end', job: 'a', token: 9n, outcome: 'released', to: 'ready', at: at(3), startedAt: null, charge: false },
    ])
    const results = await store.commit([
      { t: 'lease', attempt: attemptRow('d', 10n) },
      { t: 'lease', attempt: attemptRow('a', 9n) },
      { t: 'lease', attempt: attemptRow('a', 11n) },
      { t: 'lease', attempt: attemptRow('a', 12n) },
    ])
    expect(results.map((r) => (r.ok ? 'ok' : r.code))).toEqual([
      'JOB_STATE_CONFLICT',
      'JOB_STATE_CONFLICT',
      'ok',
      'JOB_STATE_CONFLICT',
    ])
  })

  given('a redrive clears what the attempts left', async ({ store }) => {
    const error = { code: 'X', class: 'transient' as const, message: 'm' }
    await store.commit([insert({ id: 'a', maxAttempts: 1 }), { t: 'lease', attempt: attemptRow('a', 1n) }])
    await store.commit([
      {
        t: 'end',
        job: 'a',
        token: 1n,
        outcome: 'failed',
        to: 'deadLettered',
        at: at(3),
        startedAt: at(2),
        charge: true,
        error,
      },
    ])
    expect(await store.get('default', 'a')).toMatchObject({ state: 'deadLettered', error, attempts: 1 })
    await store.commit([
      { t: 'move', job: 'a', from: 'deadLettered', to: 'ready', at: at(4), runAt: at(4), resetAttempts: true },
    ])
    const job = await store.get('default', 'a')
    expect(job).toMatchObject({ state: 'ready', attempts: 0, error: null, finishedAt: null, startedAt: null })
    expect(await store.attempts('default', 'a')).toHaveLength(1)
  })

  given('a move is refused when the version is another one, and keeps the last error', async ({ store }) => {
    const error = { code: 'X', class: 'transient' as const, message: 'm' }
    await store.commit([insert({ id: 'a' }), { t: 'lease', attempt: attemptRow('a', 1n) }])
    await store.commit([
      {
        t: 'end',
        job: 'a',
        token: 1n,
        outcome: 'failed',
        to: 'deferred',
        at: at(3),
        startedAt: null,
        charge: true,
        runAt: at(9),
        error,
      },
    ])
    const due = { t: 'move', job: 'a', from: 'deferred', to: 'ready', at: at(4) } as const
    expect(await store.commit([{ ...due, version: 2 }])).toEqual([{ ok: false, code: 'JOB_VERSION_CONFLICT' }])
    expect(await store.commit([{ ...due, version: 3 }])).toEqual([{ ok: true }])
    expect(await store.get('default', 'a')).toMatchObject({ state: 'ready', version: 4, error })
  })

  given('P4 a read sees every commit that resolved before it', async ({ store }) => {
    for (let i = 0; i < 30; i++) {
      await store.commit([insert({ id: `r${i}` })])
      expect((await store.get('default', `r${i}`))?.id).toBe(`r${i}`)
      expect(await store.rowsOf([`r${i}`])).toHaveLength(1)
    }
  })

  given('P5 pending rows load in order of seq, and finished ones do not', async ({ store }) => {
    await store.commit([
      insert({ id: 'c', seq: 900 }),
      insert({ id: 'a', seq: 700 }),
      insert({ id: 'b', seq: 800, state: 'deferred' }),
      insert({ id: 'gone', seq: 750 }),
      { t: 'move', job: 'gone', from: 'ready', to: 'cancelled', at: at(1) },
    ])
    const ids: string[] = []
    await store.loadPending((rows) => ids.push(...rows.map((r) => r.id)))
    expect(ids).toEqual(['a', 'b', 'c'])
    expect((await store.highest()).seq).toBe(900)
  })

  given('commits made together keep their order', async ({ store }) => {
    const all = await Promise.all([
      store.commit([insert({ id: 'a' })]),
      store.commit([{ t: 'lease', attempt: attemptRow('a', 1n) }]),
      store.commit([{ t: 'move', job: 'a', from: 'leased', to: 'cancelling', at: at(1) }]),
    ])
    expect(all.flat().every((r) => r.ok)).toBe(true)
    expect((await store.get('default', 'a'))?.state).toBe('cancelling')
  })

  given('lists page by cursor, newest first, and filter', async ({ store }) => {
    await store.commit([
      insert({ id: 'a', seq: 101, labels: { run: '1', team: 'x' } }),
      insert({ id: 'b', seq: 102, type: 'other' }),
      insert({ id: 'c', seq: 103, queue: 'q2', labels: { run: '1' } }),
      insert({ id: 'd', seq: 104, state: 'deferred', labels: { run: '2' } }),
      insert({ id: 'e', seq: 105 }),
      { t: 'move', job: 'e', from: 'ready', to: 'cancelled', at: at(1) },
    ])
    const ids = async (over: object): Promise<string[]> =>
      (await store.list({ tenant: 'default', limit: 10, ...over })).jobs.map((j) => j.id)
    const first = await store.list({ tenant: 'default', limit: 2 })
    expect(first.jobs.map((j) => j.id)).toEqual(['e', 'd'])
    const second = await store.list({ tenant: 'default', limit: 3, cursor: first.cursor! })
    expect([second.jobs.map((j) => j.id), second.cursor]).toEqual([['c', 'b', 'a'], null])
    expect(await ids({ type: 'other' })).toEqual(['b'])
    expect(await ids({ queue: 'q2' })).toEqual(['c'])
    expect(await ids({ states: ['ready'] })).toEqual(['c', 'b', 'a'])
    expect(await ids({ states: ['cancelled', 'failed'] })).toEqual(['e'])
    expect(await ids({ states: ['cancelled', 'deferred'] })).toEqual(['e', 'd'])
    expect(await ids({ labels: [{ key: 'run', value: '1' }] })).toEqual(['c', 'a'])
    expect(await ids({ labels: [{ key: 'run', value: '1' }], states: ['ready'], queue: 'q2' })).toEqual(['c'])
    expect(await ids({ labels: [{ key: 'run', value: "1' OR 1=1 --" }] })).toEqual([])
    const both = [
      { key: 'run', value: '1' },
      { key: 'team', value: 'x' },
    ]
    expect(await ids({ labels: both })).toEqual(['a'])
    expect(await ids({ labels: [...both].reverse(), states: ['ready'] })).toEqual(['a'])
  })

  given('logs page by id, are kept once, and end with a marker past 256 KiB', async ({ store }) => {
    await store.commit([insert({ id: 'a' }), { t: 'lease', attempt: attemptRow('a', 1n) }])
    const line = (seq: number, text: string) =>
      ({ t: 'log', job: 'a', token: 1n, seq, stream: 'stdout', text, at: at(5) }) as const
    await store.commit([line(0, 'hello'), line(1, 'x'.repeat(200_000)), line(0, 'hello again')])
    await store.commit([line(2, 'y'.repeat(100_000)), line(3, 'after'), line(4, 'after')])
    const all = await store.logs('default', 'a', 0, 100)
    expect(all.map((l) => [l.seq, l.stream, l.text.slice(0, 9)])).toEqual([
      [0, 'stdout', 'hello'],
      [1, 'stdout', 'xxxxxxxxx'],
      [2, 'log', '… log cut'],
    ])
    expect((await store.logs('default', 'a', all[0]!.id, 1)).map((l) => l.seq)).toEqual([1])
  })

  given('attempts are listed in order with refusals and errors', async ({ store }) => {
    await store.commit([insert({ id: 'a' }), { t: 'lease', attempt: attemptRow('a', 1n) }])
    await store.commit([
      {
        t: 'end',
        job: 'a',
        token: 1n,
        outcome: 'refused',
        to: 'ready',
        at: at(3),
        startedAt: null,
        charge: false,
        refusal: 'full',
      },
      { t: 'lease', attempt: attemptRow('a', 2n, { version: 'v2' }) },
      { t: 'started', job: 'a', token: 2n, at: at(2_500) },
    ])
    const [one, two] = await store.attempts('default', 'a')
    expect(one).toMatchObject({ token: '1', outcome: 'refused', startedAt: null })
    expect(two).toMatchObject({ token: '2', version: 'v2', outcome: null, startedAt: '1970-01-01T00:00:02.500Z' })
  })

  given('a lost attempt counts in lost and not in attempts', async ({ store }) => {
    await store.commit([insert({ id: 'a' }), { t: 'lease', attempt: attemptRow('a', 1n) }])
    await store.commit([
      { t: 'end', job: 'a', token: 1n, outcome: 'lost', to: 'ready', at: at(3), startedAt: null, charge: false },
    ])
    expect((await store.rowsOf(['a']))[0]).toMatchObject({ attempts: 0, lost: 1, state: 'ready', version: 3 })
  })

  given('sessions are kept until they end', async ({ store }) => {
    await store.commit([
      { t: 'session', row: sessionRow() },
      { t: 'session', row: sessionRow({ session: 's2' }) },
    ])
    await store.commit([
      { t: 'session', row: sessionRow({ slots: 9 }) },
      { t: 'sessionEnd', session: 's2' },
    ])
    expect(await store.loadSessions()).toEqual([sessionRow({ slots: 9 })])
  })

  given('a summary counts states, first attempts by version, retries and times', async ({ store }) => {
    const labels = { run: 'r' }
    await store.commit([insert({ id: 'a', labels }), insert({ id: 'b', labels }), insert({ id: 'other' })])
    const end = (job: string, token: bigint, outcome: 'refused' | 'failed' | 'succeeded', when: number) =>
      ({
        t: 'end',
        job,
        token,
        outcome,
        to: outcome === 'succeeded' ? 'succeeded' : 'ready',
        at: at(when),
        startedAt: null,
        charge: outcome !== 'refused',
      }) as const
    const lease = (job: string, token: bigint, version: string) =>
      ({ t: 'lease', attempt: attemptRow(job, token, { version }) }) as const
    await store.commit([
      lease('a', 1n, 'v1'),
      end('a', 1n, 'refused', 2),
      lease('a', 2n, 'v2'),
      end('a', 2n, 'failed', 3),
    ])
    await store.commit([lease('a', 3n, 'v1'), end('a', 3n, 'succeeded', 5_000), lease('b', 4n, 'v1')])
    expect(await store.summary('default', { key: 'run', value: 'r' })).toEqual({
      total: 2,
      byState: { succeeded: 1, leased: 1 },
      attempts: 4,
      retries: 2,
      byOutcome: { refused: 1, failed: 1, succeeded: 1 },
      byVersion: {
        v1: { jobs: 1, attempts: 3, succeeded: 1, failed: 0 },
        v2: { jobs: 1, attempts: 1, succeeded: 0, failed: 1 },
      },
      submitToDoneMs: { p50: 4_000, p99: 4_000 },
    })
    expect((await store.summary('default')).total).toBe(3)
  })
}
