// Reading and changing jobs: get, wait, list, attempts, logs, cancel, retry, summary, events.

import { expect, test } from 'vitest'
import { parseJob, parseSummary } from '../../../scheduler/contract.ts'
import { assign, eventually, permanent, result } from '../leader/setup.ts'
import { KEY, setup, sharedApi, type TestApi } from './setup.ts'

const shared = sharedApi()

const JOBS = '/api/v1/jobs'
const TYPES = new Set(['demo.echo'])

async function submit(api: TestApi, more: object = {}): Promise<string> {
  return (await api.call('POST', JOBS, { type: 'demo.echo', ...more })).body.id
}

async function lease(api: TestApi) {
  const [job] = api.leader.take(TYPES, 1)
  return (await api.leader.lease([assign(job!)]))[0]!
}

test('get: payload, result and attempts of a finished job, in the contract’s shape', async () => {
  const api = await setup()
  const id = await submit(api, { payload: [1] })
  const attempt = await lease(api)
  api.leader.started(id, attempt.dispatch.token)
  await api.leader.finish(result(attempt, 'succeeded', { value: { done: true } }))
  const job = parseJob((await api.call('GET', `${JOBS}/${id}`)).body)
  expect(job).toMatchObject({ state: 'succeeded', payload: [1], result: { done: true }, attempts: 1 })
  expect(job.attemptLog).toMatchObject([{ attempt: 1, outcome: 'succeeded', instance: 'worker-v1-1', version: 'v1' }])
})

test('get: 404 for an unknown job, whatever is asked of it', async () => {
  const api = shared()
  const id = '01999999-0000-7000-8000-000000000000'
  for (const [method, path] of [
    ['GET', ''],
    ['GET', '/attempts'],
    ['GET', '/logs'],
    ['POST', '/cancel'],
    ['POST', '/retry'],
  ] as const) {
    const answer = await api.call(method, `${JOBS}/${id}${path}`)
    expect([answer.status, answer.body.code]).toEqual([404, 'JOB_NOT_FOUND'])
  }
})

test('wait: answers when the job ends, and with its state when the time is over', async () => {
  const api = await setup()
  const id = await submit(api)
  expect((await api.call('GET', `${JOBS}/${id}?wait=1`)).body.state).toBe('ready')
  const waiting = api.call('GET', `${JOBS}/${id}?wait=60000`)
  const attempt = await lease(api)
  await api.leader.finish(result(attempt, 'failed', { error: permanent }))
  expect((await waiting).body).toMatchObject({ state: 'failed', error: permanent })
  expect((await api.call('GET', `${JOBS}/${id}?wait=60000`)).body.state).toBe('failed')
})

test.each(['wait=-1', 'wait=soon', 'wait=60001', 'wait=1.5', 'other=1'])('get: 400 for ?%s', async (query) => {
  const api = shared()
  const id = await submit(api)
  expect((await api.call('GET', `${JOBS}/${id}?${query}`)).status).toBe(400)
})

test('list: pages by an opaque cursor, and filters', async () => {
  const api = await setup()
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.push(await submit(api, { labels: { run: i < 3 ? 'a' : 'b' } }))
  await api.call('POST', `${JOBS}/${ids[0]}/cancel`)
  const first = (await api.call('GET', `${JOBS}?limit=2`)).body
  const second = (await api.call('GET', `${JOBS}?limit=3&cursor=${first.cursor}`)).body
  const all = [...first.jobs, ...second.jobs].map((job: { id: string }) => job.id)
  expect([all, second.cursor]).toEqual([[...ids].reverse(), null])
  const idsOf = async (query: string): Promise<string[]> =>
    (await api.call('GET', `${JOBS}?${query}`)).body.jobs.map((job: { id: string }) => job.id)
  expect(await idsOf('label=run:b')).toEqual([ids[4], ids[3]])
  expect(await idsOf('state=cancelled,failed')).toEqual([ids[0]])
  expect(await idsOf('state=cancelled&state=ready&label=run:a')).toEqual([ids[2], ids[1], ids[0]])
  expect(await idsOf('type=other')).toEqual([])
})

test.each([
  'limit=0',
  'limit=1001',
  'limit=x',
  'state=done',
  'label=run',
  'label=:x',
  'cursor=nonsense',
  'cursor=MTotMQ',
  'offset=3',
])('list: 400 for ?%s', async (query) => {
  const api = shared()
  expect((await api.call('GET', `${JOBS}?${query}`)).status).toBe(400)
})

test('cancel: 200 at once for a waiting job, 202 while a worker runs it, 409 when it is over', async () => {
  const api = await setup()
  const id = await submit(api)
  const cancelled = await api.call('POST', `${JOBS}/${id}/cancel`, {})
  expect([cancelled.status, parseJob(cancelled.body).state]).toEqual([200, 'cancelled'])
  const running = await submit(api)
  const attempt = await lease(api)
  const asked = await api.call('POST', `${JOBS}/${running}/cancel`)
  expect([asked.status, asked.body.state]).toEqual([202, 'cancelling'])
  await api.leader.finish(result(attempt, 'succeeded'))
  const late = await api.call('POST', `${JOBS}/${running}/cancel`)
  expect([late.status, late.body.code]).toEqual([409, 'JOB_STATE_CONFLICT'])
})

test('If-Match: 409 when the job has changed since', async () => {
  const api = await setup()
  const id = await submit(api)
  const etag = (await api.call('GET', `${JOBS}/${id}`)).headers.get('etag')!
  const stale = await api.call('POST', `${JOBS}/${id}/cancel`, undefined, { 'if-match': '"99"' })
  expect([stale.status, stale.body.code]).toEqual([409, 'JOB_VERSION_CONFLICT'])
  expect((await api.call('POST', `${JOBS}/${id}/cancel`, undefined, { 'if-match': 'v1' })).status).toBe(400)
  expect((await api.call('POST', `${JOBS}/${id}/cancel`, undefined, { 'if-match': etag })).status).toBe(200)
})

test('retry: a failed job is ready again, one that waits is refused', async () => {
  const api = await setup()
  const id = await submit(api)
  expect((await api.call('POST', `${JOBS}/${id}/retry`)).status).toBe(409)
  await api.leader.finish(result(await lease(api), 'failed', { error: permanent }))
  const again = await api.call('POST', `${JOBS}/${id}/retry`, {})
  expect([again.status, again.body.state, again.body.attempts]).toEqual([202, 'ready', 0])
})

test('attempts and logs: as they were written', async () => {
  const api = await setup()
  const id = await submit(api)
  expect((await api.call('GET', `${JOBS}/${id}/attempts`)).body).toEqual({ attempts: [] })
  const attempt = await lease(api)
  for (const seq of [0, 1, 2]) api.leader.log(id, attempt.dispatch.token, seq, 'stdout', `line ${seq}`)
  await api.leader.finish(result(attempt, 'succeeded'))
  expect((await api.call('GET', `${JOBS}/${id}/attempts`)).body.attempts).toHaveLength(1)
  const page = (await api.call('GET', `${JOBS}/${id}/logs?limit=2`)).body
  expect(page.logs.map((l: { text: string }) => l.text)).toEqual(['line 0', 'line 1'])
  const rest = (await api.call('GET', `${JOBS}/${id}/logs?after=${page.after}`)).body
  expect(rest.logs).toMatchObject([{ attempt: 1, seq: 2, stream: 'stdout', text: 'line 2' }])
})

test('summary: of all jobs and of a label, in the contract’s shape', async () => {
  const api = await setup()
  await submit(api, { labels: { run: 'x:y' } })
  await submit(api)
  expect(parseSummary((await api.call('GET', '/api/v1/summary')).body).total).toBe(2)
  expect(parseSummary((await api.call('GET', '/api/v1/summary?label=run:x%3Ay')).body).byState).toEqual({ ready: 1 })
  expect((await api.call('GET', '/api/v1/summary?label=run')).status).toBe(400)
})

test('events: each durable change, as server-sent events', async () => {
  const api = await setup()
  const gone = new AbortController()
  const answer = await fetch(`http://127.0.0.1:${api.port}/api/v1/events`, {
    headers: { 'x-api-key': KEY },
    signal: gone.signal,
  })
  expect(answer.headers.get('content-type')).toBe('text/event-stream')
  let text = ''
  const reading = (async () => {
    for await (const chunk of answer.body!) text += Buffer.from(chunk).toString()
  })()
  await eventually(() => text.includes(': open'), 'stream is open')
  const id = await submit(api)
  await api.call('POST', `${JOBS}/${id}/cancel`)
  await eventually(() => text.includes('cancelled'), 'event')
  const data = [...text.matchAll(/^data: (.*)$/gm)].map((match) => JSON.parse(match[1]!).state)
  expect(data).toEqual(['ready', 'cancelled'])
  gone.abort()
  await expect(reading).rejects.toThrow()
})
