// The dispatcher with real workers over real sockets, a leader in memory and a mesh without TLS.

import { expect, onTestFinished, test } from 'vitest'
import { PermanentError, TransientError } from '../../../workers/failure.ts'
import { type AnyHandler, defineHandler } from '../../../workers/handler.ts'
import { DispatchBench, poll } from '../../support/dispatch-bench.ts'

async function setup(): Promise<DispatchBench> {
  const bench = new DispatchBench()
  onTestFinished(() => bench.close())
  await bench.startScheduler()
  return bench
}

/** A handler that counts its runs per job and waits where the test says so. */
function gated() {
  const runs = new Map<string, number>()
  const waiting = new Map<string, () => void>()
  let open = false
  const handler = defineHandler({
    type: 'work',
    async run(input: { index: number }, ctx) {
      runs.set(ctx.job, (runs.get(ctx.job) ?? 0) + 1)
      ctx.progress(50)
      if (!open) await new Promise<void>((resolve) => waiting.set(ctx.job, resolve))
      return { index: input.index, attempt: ctx.attempt }
    },
  })
  const release = (): void => {
    open = true
    for (const resume of waiting.values()) resume()
  }
  return { handler: handler as unknown as AnyHandler, runs, waiting, release }
}

const quick = defineHandler({ type: 'work', run: (input: { index: number }) => input.index }) as unknown as AnyHandler

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
})
void [PermanentError, TransientError, gated]
