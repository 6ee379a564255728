// audit-kills.ts — audits with processes killed at random: every job ends, nothing is lost, and what ran twice is
// explained by what was in flight. Seeded; each round is a fresh data directory.

import { join } from 'node:path'
import { seededRandom } from '../../kernel/random.ts'
import { startUp, tempDir, until } from '../support/fairlead.ts'
import { makePackages } from '../support/packages.ts'
import type { ProofOptions, ProofResult } from './main.ts'

const VICTIMS = [
  ...['scheduler', 'control-plane', 'worker-v1-1', 'worker-v1-2', 'worker-v2-1'],
  ...['scheduler-sidecar', 'worker-v1-1-sidecar', 'worker-v2-1-sidecar'],
]
const PACKAGES = 200
const SLOTS = 24

export async function auditKills({ seed, rounds = 10, say }: ProofOptions): Promise<ProofResult> {
  const random = seededRandom(seed)
  const figures = { rounds: 0, kills: 0, jobs: 0, executions: 0, repeated: 0, broken: [] as string[] }
  for (let round = 0; round < rounds; round++) {
    const steps: (() => Promise<void> | void)[] = []
    const later = (step: () => Promise<void> | void): void => void steps.unshift(step)
    const root = join(tempDir('tree', later), 'node_modules')
    makePackages(root, { packages: PACKAGES, bytesEach: 24 * 1024 * 1024 })
    const up = startUp(['--exit', '--dir', root], { later })
    const kills = 1 + random.int(3)
    for (let kill = 0; kill < kills; kill++) {
      const at = PACKAGES * random.between(0.1, 0.8)
      const victim = VICTIMS[random.int(VICTIMS.length)]!
      await until(`${at} executions`, () => up.executions().length >= at || up.child.exitCode !== null, 120_000)
      if (up.child.exitCode !== null) break
      process.kill(await up.pidOf(victim), 'SIGKILL')
      say(`round ${round}: killed ${victim} after ${up.executions().length} executions`)
      figures.kills++
    }
    const code = await up.exited
    const report = up.report()
    const extra = report.executions - report.jobs
    if (code !== 0 || report.succeeded !== report.jobs || extra > SLOTS * kills) {
      figures.broken.push(`round ${round}: exit ${code}, ${report.succeeded}/${report.jobs}, ${extra} repeated`)
    }
    figures.rounds++
    figures.jobs += report.jobs
    figures.executions += report.executions
    figures.repeated += extra
    for (const step of steps) await step()
  }
  return { ok: figures.broken.length === 0, figures }
}
