// Plain mode: a worker in another language behind the dispatcher, and how every status is read.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SESSION_PATH } from '../../workers/contract.ts'
import { DispatchBench } from '../support/dispatch-bench.ts'

const python = spawnSync('python3', ['--version']).status === 0 ? 'python3' : undefined

/** A dispatcher and an app on `port` that is registered as plain by whoever stands beside it. */
async function setup(port: number, types: string[]): Promise<DispatchBench> {
  const bench = new DispatchBench()
  onTestFinished(() => bench.close())
  await bench.startScheduler()
  const sidecar = await bench.mesh.join({ instance: 'plain-1', service: 'worker', version: 'v1' })
  bench.mesh.app('plain-1', port)
  const body = {
    protocol: 1,
    instance: 'plain-1',
    service: 'worker',
    namespace: 'default',
    version: 'v1',
    boot: 'b1',
    types,
    slots: 4,
    labels: { mode: 'plain' },
  }
  const answer = await fetch(`${sidecar}${SESSION_PATH}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'fairlead-instance': 'scheduler-1' },
    body: JSON.stringify(body),
  })
  expect(answer.status).toBe(200)
  return bench
}

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

async function startPython(): Promise<number> {
  const child: ChildProcess = spawn(python!, [join(import.meta.dirname, 'plain_worker.py')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  let trouble = ''
  child.stderr!.on('data', (chunk: Buffer) => {
    trouble += chunk
  })
  const died = once(child, 'exit').then(() => Promise.reject(new Error(`the Python worker ended: ${trouble}`)))
  const [line] = (await Promise.race([once(child.stdout!, 'data'), died])) as [Buffer]
  died.catch(() => undefined) // later it ends because we kill it
  return Number(line.toString())
}

const name = 'plain mode: a Python worker runs jobs when it only speaks HTTP'
test.skipIf(python === undefined)(python ? name : `${name} (skipped: python3 is missing)`, async () => {
  const bench = await setup(await startPython(), ['sum', 'bad', 'busy'])
  const [sum] = bench.leader.submit(1, 'sum', { payload: () => [1, 2, 39] }) as [string]
  const [bad] = bench.leader.submit(1, 'bad') as [string]
  await bench.leader.until(() => bench.leader.ended([sum, bad]))
  expect(bench.leader.job(sum).result).toMatchObject({ outcome: 'succeeded', value: { sum: 42, job: sum } })
  expect(bench.leader.job(bad).result).toMatchObject({ outcome: 'failed', error: { class: 'permanent' } })
  const [busy] = bench.leader.submit(1, 'busy') as [string]
  await bench.leader.until(() => bench.leader.ended([busy]))
  expect(bench.leader.job(busy).attempts.map(({ end }) => end)).toEqual(['refused', 'succeeded'])
})

test.each([
  [200, 'succeeded', undefined],
  [204, 'succeeded', undefined],
  [400, 'failed', 'permanent'],
  [404, 'failed', 'permanent'],
  [422, 'failed', 'permanent'],
  [401, 'failed', 'transient'],
  [500, 'failed', 'transient'],
  [504, 'failed', 'transient'],
] as const)('plain mode: %i is %s (%s) when the app says so', async (status, outcome, kind) => {
  const bench = await setup(
    await serve((request, response) => void request.resume().on('end', () => response.writeHead(status).end())),
    ['x'],
  )
  bench.leader.maxAttempts = 1
  const [id] = bench.leader.submit(1, 'x') as [string]
  await bench.leader.until(() => bench.leader.ended([id]))
  expect([bench.leader.job(id).result?.outcome, bench.leader.job(id).result?.error?.class]).toEqual([outcome, kind])
})

test.each([429, 503])('plain mode: %i costs no attempt and Retry-After is honoured', async (status) => {
  let calls = 0
  const port = await serve((request, response) => {
    request.resume()
    if (calls++ === 0) response.writeHead(status, { 'retry-after': '1' }).end()
    else response.end('"ok"')
  })
  const bench = await setup(port, ['x'])
  const [id] = bench.leader.submit(1, 'x') as [string]
  const start = performance.now()
  await bench.leader.until(() => bench.leader.ended([id]))
  expect(performance.now() - start).toBeGreaterThanOrEqual(1_000)
  expect(bench.leader.job(id).attempts.map(({ end }) => end)).toEqual(['refused', 'succeeded'])
})

test('plain mode: the request ends and the attempt is timed out when the time is over', async () => {
  let left = 0
  const bench = await setup(await serve((_request, response) => void response.on('close', () => left++)), ['x'])
  const [id] = bench.leader.submit(1, 'x', { executionTimeoutMs: 50 }) as [string]
  await bench.leader.until(() => bench.leader.ended([id]))
  expect(bench.leader.job(id).result?.outcome).toBe('timedOut')
})

test('plain mode: the request ends and the attempt is cancelled when the leader asks', async () => {
  const bench = await setup(await serve(() => undefined), ['x'])
  const [id] = bench.leader.submit(1, 'x') as [string]
  await bench.leader.until(() => bench.leader.job(id).attempts[0]?.started === true)
  bench.leader.stop(id, 'cancelled')
  await bench.leader.until(() => bench.leader.ended([id]))
  expect(bench.leader.job(id).result?.outcome).toBe('cancelled')
})

test('plain mode: a request that breaks is a transient failure when nobody can be asked', async () => {
  const bench = await setup(await serve((request) => void request.socket.destroy()), ['x'])
  bench.mesh.refuse = ({ path }) => (path === '/jobs/x' ? 'swallow' : undefined)
  bench.leader.maxAttempts = 1
  const [id] = bench.leader.submit(1, 'x') as [string]
  await bench.leader.until(() => bench.leader.ended([id]))
  expect(bench.leader.job(id).result).toMatchObject({ outcome: 'failed', error: { class: 'transient' } })
})
