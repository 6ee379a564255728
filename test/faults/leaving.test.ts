// How `up` ends and begins again.

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startUp, tempDir, until } from '../support/fairlead.ts'
import { makePackages } from '../support/packages.ts'

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('up: leaves no process when it is interrupted, and resumes its data when started again', {
  timeout: 150_000,
}, async () => {
  const root = tempDir('up', onTestFinished)
  const dataDir = join(root, 'data')
  const tree = join(root, 'node_modules')
  makePackages(tree, { packages: 5 })
  const first = startUp(['--dir', tree], { later: onTestFinished, dataDir })
  await until('the first audit is over', () => first.output().includes('Ctrl-C'), 60_000)
  const jobs = await (await first.api('/api/v1/summary')).json()
  const pids = (await first.status()).processes.flatMap((process) => process.pid ?? [])
  expect(pids.length).toBe(9)
  first.child.kill('SIGINT')
  expect(await first.exited).toBe(130)
  expect(pids.filter(alive)).toEqual([])

  const second = startUp(['--dir', tree], { later: onTestFinished, dataDir })
  await until('the second audit is over', () => second.output().includes('Ctrl-C'), 60_000)
  const after = (await (await second.api('/api/v1/summary')).json()) as { total: number }
  expect(after.total).toBe((jobs as { total: number }).total * 2)
})

test('up: leaves no process when it is killed, since its children notice', { timeout: 120_000 }, async () => {
  const root = tempDir('up', onTestFinished)
  makePackages(join(root, 'node_modules'), { packages: 3 })
  const up = startUp(['--dir', join(root, 'node_modules')], { later: onTestFinished })
  await until('the audit is over', () => up.output().includes('Ctrl-C'), 60_000)
  const pids = (await up.status()).processes.flatMap((process) => process.pid ?? [])
  up.child.kill('SIGKILL')
  await until('all children are gone', () => pids.filter(alive).length === 0, 45_000)
  expect(execFileSync('ps', ['-eo', 'args']).toString()).not.toContain(up.dataDir)
})
