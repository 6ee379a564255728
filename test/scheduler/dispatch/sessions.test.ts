// Worker sessions: who gets one, who keeps it, and when it ends.

import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../../kernel/log.ts'
import { seededRandom } from '../../../kernel/random.ts'
import { type SessionEnd, Sessions, type WorkerSession } from '../../../scheduler/dispatch/sessions.ts'
import type { Heartbeat, SessionRequest } from '../../../workers/contract.ts'
import { ManualClock } from '../../support/clock.ts'
import { MemoryLeader } from '../../support/memory-leader.ts'

const peer = { namespace: 'default', service: 'worker' }
const request: SessionRequest = {
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
const beat = (session: string, status: Heartbeat['status'] = 'healthy'): Heartbeat => ({
  session,
  status,
  freeSlots: 4,
  running: [],
  unacked: 0,
})

function setup(leader?: MemoryLeader) {
  const clock = new ManualClock()
  const ended: [string, SessionEnd][] = []
  const parts = { clock, random: seededRandom(1), log: silentLog, leader: leader ?? new MemoryLeader(clock) }
  const onEnd = async (session: WorkerSession, why: SessionEnd): Promise<void> =>
    void ended.push([session.row.boot, why])
  const sessions = new Sessions({ ...parts, onEnd, onChange: () => undefined })
  onTestFinished(() => sessions.close())
  return { ...parts, sessions, ended }
}

/** Turns of the event loop, for the leader's writes. */
async function settle(): Promise<void> {
  for (let i = 0; i < 6; i++) await new Promise<void>((resolve) => void setImmediate(resolve))
}

test('session: stored before it is granted, and the same again for the same boot', async () => {
  const { sessions, leader } = setup()
  const first = await sessions.register(request, peer)
  expect(leader.sessions().map(({ session }) => session)).toEqual([first.session])
  const again = await sessions.register({ ...request, slots: 2, types: ['a', 'b'] }, peer)
  expect(again.session).toBe(first.session)
  expect(sessions.get(first.session)!.window).toBe(2)
  expect(leader.sessions()[0]!.types).toEqual(['a', 'b'])
})

test('session: another boot of the instance ends the old one, even when both come at once', async () => {
  const { sessions, ended, leader } = setup()
  const old = await sessions.register(request, peer)
  const [b2, b3] = await Promise.all([
    sessions.register({ ...request, boot: 'b2' }, peer),
    sessions.register({ ...request, boot: 'b3' }, peer),
  ])
  expect(ended).toEqual([
    ['b1', 'replaced'],
    ['b2', 'replaced'],
  ])
  expect([sessions.get(old.session), sessions.get(b2.session)]).toEqual([undefined, undefined])
  expect(leader.sessions().map(({ session }) => session)).toEqual([b3.session])
})

test('session: an instance of the same name in another service is another instance', async () => {
  const { sessions, ended } = setup()
  await sessions.register(request, peer)
  await sessions.register({ ...request, service: 'other' }, { ...peer, service: 'other' })
  expect([ended, sessions.all().length]).toEqual([[], 2])
})

test('session: ends when no heartbeat comes for its TTL, and not before', async () => {
  const { sessions, ended, clock } = setup()
  await clock.advance(40_000)
  const { session } = await sessions.register(request, peer)
  await clock.advance(20_000)
  sessions.heartbeat(beat(session), peer)
  await clock.advance(30_000)
  await settle()
  expect(ended).toEqual([])
  await clock.advance(1_000)
  await settle()
  expect(ended).toEqual([['b1', 'expired']])
  expect(() => sessions.heartbeat(beat(session), peer)).toThrow(expect.objectContaining({ code: 'SESSION_UNKNOWN' }))
})

test('session: nobody ends stored ones within one TTL of our start', async () => {
  const first = setup()
  await first.sessions.register(request, peer)
  const { ended, clock } = setup(first.leader)
  await clock.advance(30_000)
  await settle()
  expect(ended).toEqual([])
  await clock.advance(2_000)
  await settle()
  expect(ended).toEqual([['b1', 'expired']])
})

test('session: a pause of our own process ends none', async () => {
  const { sessions, ended, clock } = setup()
  await clock.advance(40_000)
  const { session } = await sessions.register(request, peer)
  const skipped = clock.advance.bind(clock)
  // The timers of the pause fire once, late: as after SIGSTOP.
  Object.assign(clock, { now: () => 200_000 })
  await skipped(1_000)
  await settle()
  expect([ended, sessions.get(session) === undefined]).toEqual([[], false])
})

test('session: a draining worker gets nothing until it says otherwise', async () => {
  const { sessions } = setup()
  const { session } = await sessions.register(request, peer)
  sessions.heartbeat(beat(session, 'draining'), peer)
  expect([sessions.get(session)!.open, sessions.get(session)!.live]).toEqual([false, false])
  sessions.heartbeat(beat(session), peer)
  expect(sessions.get(session)!.open).toBe(true)
})

test('session: left at once when the worker says so', async () => {
  const { sessions, ended, leader } = setup()
  const { session } = await sessions.register(request, peer)
  await sessions.leave(session, peer)
  expect([ended, leader.sessions()]).toEqual([[['b1', 'left']], []])
})

test('session: refused for another identity, protocol or session', async () => {
  const { sessions } = setup()
  const other = { namespace: 'default', service: 'intruder' }
  const forbidden = expect.objectContaining({ code: 'FORBIDDEN' })
  expect(() => sessions.register(request, other)).toThrow(forbidden)
  expect(() => sessions.register(request, { ...peer, namespace: 'prod' })).toThrow(forbidden)
  await expect(sessions.register({ ...request, protocol: 2 }, peer)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  const { session } = await sessions.register(request, peer)
  expect(() => sessions.heartbeat(beat(session), other)).toThrow(forbidden)
  expect(() => sessions.leave(session, other)).toThrow(forbidden)
  expect(() => sessions.heartbeat(beat('nope'), peer)).toThrow(expect.objectContaining({ code: 'SESSION_UNKNOWN' }))
})
