// POST /jobs and /jobs/batch: what is taken, what is refused and where.

import { expect, test } from 'vitest'
import { LIMITS } from '../../../scheduler/contract.ts'
import { setup, sharedApi } from './setup.ts'

/** For what is refused: it stays empty. */
const shared = sharedApi()

const JOBS = '/api/v1/jobs'
const BATCH = '/api/v1/jobs/batch'

test('submit: 202 with id, state and a warning when nobody handles the type', async () => {
  const api = await setup()
  const one = await api.call('POST', JOBS, { type: 'demo.echo', payload: { n: 1 } })
  expect(one.status).toBe(202)
  expect(one.body).toEqual({ id: expect.any(String), created: true, state: 'ready', warnings: ['NO_HANDLER_YET'] })
  await api.leader.saveSession({
    session: 's',
    instance: 'w',
    service: 'worker',
    namespace: 'default',
    version: 'v1',
    boot: 'b',
    types: ['demo.echo'],
    slots: 1,
    labels: {},
  })
  expect((await api.call('POST', '/api/v1/tasks', { type: 'demo.echo' })).body.warnings).toEqual([])
})

test('submit: every field comes back from get', async () => {
  const api = await setup()
  const runAt = new Date(Date.now() + 3_600_000).toISOString()
  const job = {
    type: 'demo.echo',
    payload: { text: 'ü', list: [1, null, { a: false }] },
    env: { LANG: 'C' },
    queue: 'mail',
    priority: 8,
    runAt,
    idempotencyKey: 'k',
    deadline: '2100-01-01T00:00:00+01:00',
    executionTimeoutMs: 5_000,
    retry: { maxAttempts: 2 },
    labels: { run: 'r' },
    name: 'n',
    description: 'd',
    owner: 'o',
  }
  const { id } = (await api.call('POST', JOBS, job)).body
  const { retry: _, ...stored } = job
  const got = await api.call('GET', `${JOBS}/${id}`)
  expect(got.headers.get('etag')).toBe('"1"')
  expect(got.body).toMatchObject({
    ...stored,
    class: 'high',
    state: 'deferred',
    deadline: '2099-12-31T23:00:00.000Z',
    maxAttempts: 2,
    attempts: 0,
    attemptLog: [],
  })
})

test('submit: scheduledTime is runAt, and a time in the past is now', async () => {
  const api = await setup()
  const later = await api.call('POST', JOBS, { type: 'a', scheduledTime: '2100-01-01T00:00:00Z' })
  expect(later.body.state).toBe('deferred')
  expect((await api.call('POST', JOBS, { type: 'a', runAt: '2001-01-01T00:00:00Z' })).body.state).toBe('ready')
})

test('submit: binary payload comes back byte for byte', async () => {
  const api = await setup()
  const bytes = Buffer.from(Uint8Array.from({ length: 70_000 }, (_, i) => (i * 31) % 256))
  const { id } = (await api.call('POST', JOBS, { type: 'a', payloadBase64: bytes.toString('base64') })).body
  const got = (await api.call('GET', `${JOBS}/${id}`)).body
  expect(Buffer.from(got.payloadBase64, 'base64').equals(bytes)).toBe(true)
  expect('payload' in got).toBe(false)
})

test('submit: a null payload is not a missing one', async () => {
  const api = await setup()
  const withNull = (await api.call('POST', JOBS, { type: 'a', payload: null })).body.id
  const without = (await api.call('POST', JOBS, { type: 'a' })).body.id
  expect((await api.call('GET', `${JOBS}/${withNull}`)).body.payload).toBeNull()
  expect('payload' in (await api.call('GET', `${JOBS}/${without}`)).body).toBe(false)
})

test.each([
  ['no type', {}, '$.type'],
  ['an unknown field', { type: 'a', prioritty: 3 }, '$.prioritty'],
  ['an unknown field further in', { type: 'a', retry: { max: 3 } }, '$.retry.max'],
  ['a type with a space', { type: 'a b' }, '$.type'],
  ['a number as type', { type: 7 }, '$.type'],
  ['a priority of 11', { type: 'a', priority: 11 }, '$.priority'],
  ['a priority of 1.5', { type: 'a', priority: 1.5 }, '$.priority'],
  ['class and priority', { type: 'a', class: 'low', priority: 2 }, '$.priority'],
  ['an unknown class', { type: 'a', class: 'urgent' }, '$.class'],
  ['both payloads', { type: 'a', payload: 1, payloadBase64: 'AA==' }, '$.payloadBase64'],
  ['base64 that is none', { type: 'a', payloadBase64: '*' }, '$.payloadBase64'],
  ['a time without zone', { type: 'a', runAt: '2030-01-01T00:00:00' }, '$.runAt'],
  ['a day that is none', { type: 'a', runAt: '2030-02-30T00:00:00Z' }, '$.runAt'],
  ['two times', { type: 'a', runAt: '2030-01-01T00:00:00Z', scheduledTime: '2030-01-01T00:00:00Z' }, '$.scheduledTime'],
  ['both keys', { type: 'a', orderingKey: 'x', concurrencyKey: 'x' }, '$.concurrencyKey'],
  ['an env name with a dash', { type: 'a', env: { 'A-B': 'x' } }, '$.env["A-B"]'],
  ['a label that is no text', { type: 'a', labels: { run: 1 } }, '$.labels.run'],
  ['no attempts', { type: 'a', retry: { maxAttempts: 0 } }, '$.retry.maxAttempts'],
  ['an empty key', { type: 'a', idempotencyKey: '' }, '$.idempotencyKey'],
  ['a timeout of 0', { type: 'a', executionTimeoutMs: 0 }, '$.executionTimeoutMs'],
  ['an array', [], '$'],
])('submit: 400 with the path when it has %s', async (_name, body, path) => {
  const api = shared()
  const answer = await api.call('POST', JOBS, body)
  expect([answer.status, answer.body.code]).toEqual([400, 'INVALID_INPUT'])
  expect(answer.body.problems.map((p: { path: string }) => p.path)).toContain(path)
  const batch = await api.call('POST', BATCH, { jobs: [{ type: 'good' }, body] })
  expect(batch.status).toBe(400)
  expect(batch.body.problems.map((p: { path: string }) => p.path)).toContain(path.replace('$', '$.jobs[1]'))
  expect((await api.call('GET', '/api/v1/summary')).body.total).toBe(0)
})

test.each([
  ['no JSON', '{"type":', 'INVALID_JSON', 400],
  ['nothing', '', 'INVALID_INPUT', 400],
  ['bytes that are not UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 'INVALID_JSON', 400],
])('submit: refused when the body is %s', async (_name, body, code, status) => {
  const api = shared()
  const answer = await api.call('POST', JOBS, body)
  expect([answer.status, answer.body.code]).toEqual([status, code])
})

test('submit: refused when the media type is another one', async () => {
  const api = shared()
  const answer = await api.call('POST', JOBS, '{"type":"a"}', { 'content-type': 'text/plain' })
  expect([answer.status, answer.body.code]).toEqual([400, 'INVALID_JSON'])
})

test('submit: UNSUPPORTED for fields that this build would ignore', async () => {
  const api = shared()
  for (const field of ['fairnessKey', 'dedupKey']) {
    const answer = await api.call('POST', JOBS, { type: 'a', [field]: 'x' })
    expect([answer.status, answer.body.code, answer.body.problems[0].path]).toEqual([501, 'UNSUPPORTED', `$.${field}`])
  }
})

test.each([
  ['a JSON payload', { payload: 'x'.repeat(LIMITS.payloadBytesMax) }, LIMITS.payloadBytesMax],
  ['a payload of wide characters', { payload: '☃'.repeat(LIMITS.payloadBytesMax / 3) }, LIMITS.payloadBytesMax],
  [
    'a binary payload',
    { payloadBase64: Buffer.alloc(LIMITS.payloadBytesMax + 1).toString('base64') },
    LIMITS.payloadBytesMax,
  ],
  ['an environment', { env: { A: 'x'.repeat(LIMITS.envBytesMax) } }, LIMITS.envBytesMax],
])('submit: 413 naming the limit when %s is too large', async (_name, more, limit) => {
  const api = shared()
  const answer = await api.call('POST', JOBS, { type: 'a', ...more })
  expect([answer.status, answer.body.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  expect(answer.body.detail).toContain(String(limit))
})

test('submit: a payload of exactly the limit is taken', async () => {
  const api = await setup()
  expect((await api.call('POST', JOBS, { type: 'a', payload: 'x'.repeat(LIMITS.payloadBytesMax - 2) })).status).toBe(
    202,
  )
})

test('submit: 413 naming the limit when the whole body is too large', async () => {
  const api = shared()
  const answer = await api.call('POST', BATCH, ' '.repeat(LIMITS.bodyBytesMax + 1))
  expect([answer.status, answer.body.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  expect(answer.body.detail).toContain(String(LIMITS.bodyBytesMax))
})

test('idempotency: 200 and the same id for the same body, 409 for another', async () => {
  const api = await setup()
  const body = { type: 'a', payload: { x: 1 }, idempotencyKey: 'k' }
  const first = await api.call('POST', JOBS, body)
  const again = await api.call('POST', JOBS, { idempotencyKey: 'k', payload: { x: 1 }, type: 'a', queue: 'default' })
  expect([again.status, again.body.id, again.body.created]).toEqual([200, first.body.id, false])
  const other = await api.call('POST', JOBS, { ...body, payload: { x: 2 } })
  expect([other.status, other.body.code]).toEqual([409, 'IDEMPOTENCY_CONFLICT'])
  expect((await api.call('GET', '/api/v1/summary')).body.total).toBe(1)
})

test('idempotency: many at once make one job', async () => {
  const api = await setup()
  const body = { type: 'a', idempotencyKey: 'k' }
  const answers = await Promise.all(Array.from({ length: 20 }, () => api.call('POST', JOBS, body)))
  expect(new Set(answers.map((a) => a.body.id)).size).toBe(1)
  expect(answers.filter((a) => a.body.created)).toHaveLength(1)
})

test('batch: in order, and atomic means all or none', async () => {
  const api = await setup()
  const jobs = Array.from({ length: 500 }, (_, i) => ({ type: 'a', payload: i, idempotencyKey: `k${i}` }))
  const first = await api.call('POST', BATCH, { jobs })
  expect([first.status, first.body.accepted]).toEqual([202, 500])
  const again = await api.call('POST', BATCH, { mode: 'atomic', jobs })
  expect(again.body.jobs.map((j: { id: string }) => j.id)).toEqual(first.body.jobs.map((j: { id: string }) => j.id))
  expect(again.body.jobs.every((j: { created: boolean }) => !j.created)).toBe(true)
  const conflict = await api.call('POST', BATCH, { jobs: [{ type: 'new' }, { ...jobs[3], payload: 'other' }] })
  expect([conflict.status, conflict.body.code]).toEqual([409, 'IDEMPOTENCY_CONFLICT'])
  expect(conflict.body.problems[0].path).toBe('$.jobs[1].idempotencyKey')
  expect((await api.call('GET', '/api/v1/summary')).body.total).toBe(500)
})

test('batch: each takes the good items and says what is wrong with the others', async () => {
  const api = await setup()
  await api.call('POST', JOBS, { type: 'a', idempotencyKey: 'k' })
  const answer = await api.call('POST', BATCH, {
    mode: 'each',
    jobs: [{ type: 'a' }, { typ: 'a' }, { type: 'b', idempotencyKey: 'k' }, { type: 'a', idempotencyKey: 'k' }],
  })
  expect([answer.status, answer.body.accepted]).toEqual([202, 2])
  expect(answer.body.jobs.map((j: { error?: { code: string } }) => j.error?.code ?? 'ok')).toEqual([
    'ok',
    'INVALID_INPUT',
    'IDEMPOTENCY_CONFLICT',
    'ok',
  ])
  expect(answer.body.jobs[1].error.detail).toContain('$.jobs[1]')
})

test.each([
  ['no jobs', { jobs: [] }],
  ['too many', { jobs: Array(LIMITS.batchJobsMax + 1).fill({ type: 'a' }) }],
  ['another mode', { mode: 'some', jobs: [{ type: 'a' }] }],
  ['an unknown field', { jobs: [{ type: 'a' }], tenant: 'red' }],
])('batch: 400 when it has %s', async (_name, body) => {
  const api = shared()
  expect((await api.call('POST', BATCH, body)).status).toBe(400)
})

test('queue bound: 429 with Retry-After', async () => {
  const api = await setup({ queueJobsMax: 1 })
  await api.call('POST', JOBS, { type: 'a' })
  const answer = await api.call('POST', JOBS, { type: 'a' })
  expect([answer.status, answer.body.code, answer.headers.get('retry-after')]).toEqual([429, 'QUEUE_FULL', '5'])
})

test('trace: the caller’s context is stored with the job, and a fresh one without', async () => {
  const api = await setup()
  const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
  const kept = (await api.call('POST', JOBS, { type: 'a' }, { traceparent: parent })).body.id
  const fresh = (await api.call('POST', JOBS, { type: 'a' }, { traceparent: 'nonsense' })).body.id
  const rows = await api.store.rowsOf([kept, fresh])
  expect(rows[0]!.traceparent).toBe(parent)
  expect(rows[1]!.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
})

test('trace: a sampled submission makes a span, and the job carries the span', async () => {
  const spans: { name: string; parent: unknown; ended: string | undefined }[] = []
  const own = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), sampled: true, state: undefined }
  const api = await setup({
    tracing: {
      on: true,
      startSpan(name, start) {
        const span = { name, parent: start.parent?.spanId, ended: undefined as string | undefined }
        spans.push(span)
        const end = (error?: string): void => {
          span.ended = error ?? 'ok'
        }
        return { context: own, set: () => undefined, end }
      },
      close: async () => undefined,
    },
  })
  const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const { id } = (await api.call('POST', JOBS, { type: 'a.b' }, { traceparent: parent })).body
  expect((await api.store.rowsOf([id]))[0]!.traceparent).toBe(`00-${own.traceId}-${own.spanId}-01`)
  await api.call('POST', JOBS, { type: 'a b' })
  expect(spans).toEqual([
    { name: 'submit a.b', parent: 'b7ad6b7169203331', ended: 'ok' },
    { name: 'submit a b', parent: undefined, ended: 'INVALID_INPUT' },
  ])
})
