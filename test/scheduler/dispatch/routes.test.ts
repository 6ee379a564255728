// The worker session endpoints over HTTP, as the scheduler's sidecar calls them.

import Fastify from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import { silentLog } from '../../../kernel/log.ts'
import { Registry } from '../../../kernel/metrics.ts'
import { systemRandom } from '../../../kernel/random.ts'
import { TRACING_OFF } from '../../../kernel/tracing.ts'
import { startDispatcher } from '../../../scheduler/dispatch/dispatcher.ts'
import { HEARTBEAT_PATH, LEAVE_PATH, SESSION_PATH } from '../../../workers/contract.ts'
import { MemoryLeader } from '../../support/memory-leader.ts'

const worker = 'By=x;URI=spiffe://fairlead.local/ns/default/sa/worker'
const request = {
  protocol: 1,
  instance: 'w-1',
  service: 'worker',
  namespace: 'default',
  version: 'v1',
  boot: 'b1',
  types: ['a'],
  slots: 4,
  labels: {},
}
const beat = { status: 'healthy', freeSlots: 4, running: [] as object[], unacked: 0 }

async function setup() {
  const leader = new MemoryLeader(systemClock)
  const parts = { clock: systemClock, random: systemRandom, log: silentLog, registry: new Registry() }
  const dispatcher = await startDispatcher({ leader, sidecar: 'http://127.0.0.1:1', tracing: TRACING_OFF, ...parts })
  const app = Fastify()
  dispatcher.routes(app)
  onTestFinished(async () => {
    await app.close()
    await dispatcher.close()
  })
  const call = async (url: string, body: object | string, peer: string | undefined = worker) => {
    const headers = { 'content-type': 'application/json', ...(peer === '' ? {} : { 'x-forwarded-client-cert': peer }) }
    const payload = typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await app.inject({ method: 'POST', url, headers, payload })
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() }
  }
  return { leader, dispatcher, call }
}

test('session calls: register, heartbeat, leave', async () => {
  const { call, dispatcher } = await setup()
  const { status, body } = await call(SESSION_PATH, request)
  expect([status, body.ttlMs, body.heartbeatMs]).toEqual([200, 30_000, 10_000])
  expect(dispatcher.workers()).toMatchObject([{ instance: 'w-1', status: 'healthy', running: 0 }])
  expect(await call(HEARTBEAT_PATH, { ...beat, session: body.session, status: 'overloaded' })).toEqual({
    status: 200,
    body: { ttlMs: 30_000, stop: [] },
  })
  expect(dispatcher.workers()[0]!.status).toBe('overloaded')
  expect((await call(LEAVE_PATH, { session: body.session })).status).toBe(204)
  expect(dispatcher.workers()).toEqual([])
})

test('heartbeat: names the attempts that are not this session’s, so that the worker stops them', async () => {
  const { call } = await setup()
  const { body } = await call(SESSION_PATH, request)
  const running = [{ job: 'nobody', token: '7' }]
  expect((await call(HEARTBEAT_PATH, { ...beat, session: body.session, running })).body.stop).toEqual(running)
})

test('leave: results of attempts that are nobody’s change nothing', async () => {
  const { call, leader } = await setup()
  const { body } = await call(SESSION_PATH, request)
  const results = [{ t: 'result', job: 'nobody', token: '7', outcome: 'succeeded', value: 1 }]
  expect((await call(LEAVE_PATH, { session: body.session, results })).status).toBe(204)
  expect(leader.sessions()).toEqual([])
})

test.each([
  ['no identity', SESSION_PATH, request, '', 401, 'UNAUTHENTICATED'],
  ['an identity of another service', SESSION_PATH, request, worker.replace('worker', 'web'), 403, 'FORBIDDEN'],
  ['an identity that is no SPIFFE ID', SESSION_PATH, request, 'URI=https://worker', 403, 'FORBIDDEN'],
  ['another protocol', SESSION_PATH, { ...request, protocol: 2 }, worker, 400, 'INVALID_INPUT'],
  ['no types', SESSION_PATH, { ...request, types: [] }, worker, 400, 'INVALID_INPUT'],
  ['no slots', SESSION_PATH, { ...request, slots: 0 }, worker, 400, 'INVALID_INPUT'],
  ['no JSON', SESSION_PATH, '{', worker, 400, 'INVALID_JSON'],
  ['a session that nobody knows', HEARTBEAT_PATH, { ...beat, session: 's0' }, worker, 409, 'SESSION_UNKNOWN'],
  ['a heartbeat without a session', HEARTBEAT_PATH, beat, worker, 400, 'INVALID_INPUT'],
  ['a status of its own', HEARTBEAT_PATH, { ...beat, session: 's0', status: 'fine' }, worker, 400, 'INVALID_INPUT'],
  ['a leave of a session that nobody knows', LEAVE_PATH, { session: 's0' }, worker, 409, 'SESSION_UNKNOWN'],
  [
    'a leave with half a result',
    LEAVE_PATH,
    { session: 's0', results: [{ t: 'result' }] },
    worker,
    400,
    'INVALID_INPUT',
  ],
] as const)('session calls: refused with %s', async (_what, path, body, peer, status, code) => {
  const { call, dispatcher } = await setup()
  expect(await call(path, body, peer)).toMatchObject({ status, body: { code } })
  expect(dispatcher.workers()).toEqual([])
})
