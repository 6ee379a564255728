// main.ts — the long forms of the proofs: `npm run proof -- NAME [--seed N] [--rounds N]`; writes docs/proof/NAME.json.

import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { auditKills } from './audit-kills.ts'
import { cron } from './cron.ts'

export interface ProofOptions {
  readonly seed: number
  readonly rounds: number | undefined
  readonly say: (line: string) => void
}
export interface ProofResult {
  readonly ok: boolean
  readonly figures: Readonly<Record<string, unknown>>
}

const PROOFS: Record<string, (options: ProofOptions) => Promise<ProofResult>> = { 'audit-kills': auditKills, cron }
const DIR = join(import.meta.dirname, '../../docs/proof')

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, rounds: { type: 'string' } },
})
const name = positionals[0] ?? ''
const proof = PROOFS[name]
if (!proof) {
  process.stderr.write(
    `usage: npm run proof -- NAME [--seed N] [--rounds N]\nproofs: ${Object.keys(PROOFS).join(', ')}\n`,
  )
  process.exit(2)
}
const seed = Number(values.seed ?? process.pid)
process.stderr.write(`proof ${name}, seed ${seed}\n`)
const result = await proof({
  seed,
  rounds: values.rounds === undefined ? undefined : Number(values.rounds),
  say: (line) => process.stderr.write(`${line}\n`),
})
const page = {
  proof: name,
  ok: result.ok,
  seed,
  commit: commit(),
  machine: {
    cpus: cpus().length,
    model: cpus()[0]?.model,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
  },
  node: process.version,
  figures: result.figures,
}
mkdirSync(DIR, { recursive: true })
writeFileSync(join(DIR, `${name}.json`), `${JSON.stringify(page, null, 2)}\n`)
process.stdout.write(`${JSON.stringify(page, null, 2)}\n`)
process.exitCode = result.ok ? 0 : 1

function commit(): string {
  return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: import.meta.dirname })
    .toString()
    .trim()
}
