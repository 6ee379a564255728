// What happens to an audit when one of its processes is killed in the middle: every job ends, nothing is lost, and what
// ran twice is no more than what was in flight.

import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startUp, tempDir, type Up, until } from '../support/fairlead.ts'
import { makePackages } from '../support/packages.ts'

const PACKAGES = 150
const SLOTS = 24 // three workers with eight slots each

function startAudit(): Up {
  const root = join(tempDir('tree', onTestFinished), 'node_modules')
  makePackages(root, { packages: PACKAGES, bytesEach: 24 * 1024 * 1024 })
  return startUp(['--exit', '--dir', root], { later: onTestFinished })
}

async function killMidway(up: Up, name: string, signal: NodeJS.Signals): Promise<void> {
  await until('a third of the jobs ran', () => up.executions().length >= PACKAGES / 3, 60_000)
  process.kill(await up.pidOf(name), signal)
}

/** Jobs that ran more than once, with how often. */
function repeated(up: Up): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { job } of up.executions()) counts.set(job, (counts.get(job) ?? 0) + 1)
  return new Map([...counts].filter(([, times]) => times > 1))
}

function expectAllDone(up: Up, code: number | null): void {
  expect(code, up.output()).toBe(0)
  const report = up.report()
  expect(report.succeeded).toBe(report.jobs)
  expect(report.failed).toBe(0)
  const extra = [...repeated(up).values()].reduce((sum, times) => sum + times - 1, 0)
  expect(report.executions - report.jobs, `ran twice: ${[...repeated(up).keys()].join(', ')}`).toBe(extra)
  expect(extra).toBeLessThanOrEqual(SLOTS)
}

test('audit: ends complete when the scheduler is killed in the middle', { timeout: 150_000 }, async () => {
  const up = startAudit()
  await killMidway(up, 'scheduler', 'SIGKILL')
  expectAllDone(up, await up.exited)
  expect(repeated(up).size, 'workers keep results and running attempts are attached to').toBe(0)
})

test('audit: ends complete when a worker is killed in the middle', { timeout: 150_000 }, async () => {
  const up = startAudit()
  await killMidway(up, 'worker-v1-1', 'SIGKILL')
  expectAllDone(up, await up.exited)
})

test('audit: ends complete when a worker sidecar is killed in the middle', { timeout: 150_000 }, async () => {
  const up = startAudit()
  await killMidway(up, 'worker-v1-1-sidecar', 'SIGKILL')
  expectAllDone(up, await up.exited)
})

test("audit: ends complete when the scheduler's sidecar is killed in the middle", { timeout: 150_000 }, async () => {
  const up = startAudit()
  await killMidway(up, 'scheduler-sidecar', 'SIGKILL')
  expectAllDone(up, await up.exited)
})

test('audit: ends complete when the control plane is killed in the middle', { timeout: 150_000 }, async () => {
  const up = startAudit()
  await killMidway(up, 'control-plane', 'SIGKILL')
  expectAllDone(up, await up.exited)
  expect(repeated(up).size).toBe(0)
})

test('audit: runs nothing twice and charges nothing when a worker is told to leave', { timeout: 150_000 }, async () => {
  const up = startAudit()
  await killMidway(up, 'worker-v1-2', 'SIGTERM')
  expectAllDone(up, await up.exited)
  expect(repeated(up).size).toBe(0)
  expect(up.report().retries).toBe(0)
})
