// Static stability: without its control plane a sidecar starts from what it kept on disk, and serves.

import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startUp, tempDir, until } from '../support/fairlead.ts'
import { makePackages } from '../support/packages.ts'

test('sidecar: serves from its last good state when it restarts without a control plane', {
  timeout: 120_000,
}, async () => {
  const tree = join(tempDir('tree', onTestFinished), 'node_modules')
  makePackages(tree, { packages: 3 })
  const up = startUp(['--dir', tree], { later: onTestFinished })
  await until('the audit is over', () => up.output().includes('Ctrl-C'), 60_000)
  const controlPlane = await up.pidOf('control-plane')
  process.kill(controlPlane, 'SIGSTOP') // alive, so that nobody restarts it; away all the same
  try {
    for (const name of ['scheduler-sidecar', 'worker-v1-1-sidecar', 'worker-v1-2-sidecar', 'worker-v2-1-sidecar']) {
      const pid = await up.pidOf(name)
      process.kill(pid, 'SIGKILL')
      await until(`${name} is back`, async () => (await up.pidOf(name)) !== pid)
    }
    const answer = await up.api('/api/v1/jobs', {
      method: 'POST',
      body: JSON.stringify({ type: 'package.audit', payload: { root: tree, path: 'p1', run: 'away' } }),
    })
    const { id } = (await answer.json()) as { id: string }
    await until(
      'the job succeeded',
      async () => ((await (await up.api(`/api/v1/jobs/${id}`)).json()) as { state: string }).state === 'succeeded',
      45_000,
    )
  } finally {
    process.kill(controlPlane, 'SIGCONT')
  }
  expect((await up.status()).processes.every((process) => process.pid !== null)).toBe(true)
})
