// What the store does when a thread of it dies: everything open is refused, the owner is told once, nothing hangs.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { FairleadError } from '../../../kernel/errors.ts'
import type { Change, ChangeResult } from '../../../scheduler/store/contract.ts'
import { GroupCommit } from '../../../scheduler/store/group-commit.ts'
import { startThread } from '../../../scheduler/store/sqlite/client.ts'

test('thread: its death refuses open and later calls as unknown, and is told once', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-thread-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const told: FairleadError[] = []
  const data = { role: 'write', file: join(dir, 'jobs.db'), logBytesMax: 1 } as const
  const thread = await startThread(data, (error) => told.push(error))
  await expect(thread.call('nonsense')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', log: { unknown: false } })
  const open = Promise.allSettled(Array.from({ length: 50 }, () => thread.call('apply', [])))
  await thread.kill()
  for (const one of await open) {
    if (one.status === 'rejected') expect(one.reason).toMatchObject({ log: { unknown: true } })
  }
  await expect(thread.call('apply', [])).rejects.toMatchObject({ log: { unknown: true } })
  expect(told).toHaveLength(1)
  await thread.close()
})

function engine() {
  const calls: (readonly (readonly Change[])[])[] = []
  let settle: (() => void)[] = []
  let failure: Error | undefined
  return {
    calls,
    apply(group: readonly (readonly Change[])[]): Promise<readonly (readonly [number, ChangeResult])[]> {
      calls.push(group)
      return new Promise((resolve, reject) => {
        settle.push(() => (failure ? reject(failure) : resolve([[1, { ok: false, code: 'JOB_NOT_FOUND' }]])))
      })
    },
    async answer(error?: Error): Promise<void> {
      failure = error
      const all = settle
      settle = []
      for (const one of all) one()
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

const change = (session: string): Change => ({ t: 'sessionEnd', session })

test('group commit: what comes while a transaction runs shares the next one, each with its own results', async () => {
  const fake = engine()
  const group = new GroupCommit(fake)
  const first = group.commit([change('a')])
  const second = group.commit([change('b')])
  const third = group.commit([change('c'), change('d')])
  expect(fake.calls).toHaveLength(1)
  await fake.answer()
  expect(await first).toEqual([{ ok: true }])
  expect(fake.calls[1]).toEqual([[change('b')], [change('c'), change('d')]])
  await fake.answer()
  expect(await second).toEqual([{ ok: true }])
  expect(await third).toEqual([{ ok: false, code: 'JOB_NOT_FOUND' }, { ok: true }])
  await group.idle()
  expect(fake.calls).toHaveLength(2)
})

test('group commit: a call is never split, and a group ends before it grows past 5,000 changes', async () => {
  const fake = engine()
  const group = new GroupCommit(fake)
  const done = [group.commit([change('first')])]
  for (const n of [3_000, 2_000, 1, 7_000]) done.push(group.commit(Array(n).fill(change('x'))))
  for (let i = 0; i < 4; i++) await fake.answer()
  await Promise.all(done)
  expect(fake.calls.map((calls) => calls.map((changes) => changes.length))).toEqual([[1], [3_000, 2_000], [1], [7_000]])
})

test('group commit: a failed transaction refuses its calls and not the next', async () => {
  const fake = engine()
  const group = new GroupCommit(fake)
  const first = group.commit([change('a')])
  const second = group.commit([change('b')])
  first.catch(() => undefined)
  await fake.answer(new Error('no disk'))
  await expect(first).rejects.toThrow('no disk')
  await fake.answer()
  expect(await second).toEqual([{ ok: true }])
  expect(await group.commit([])).toEqual([])
})
