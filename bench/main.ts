// main.ts — `node bench/main.ts NAME [--json] [--case CASE] [--seconds N] [--rounds N]`: runs bench/NAME.ts.
//
// A bench measures us beside peers in one run, interleaved, both sides configured alike (bench/parity.md), and reports
// medians with their spread. It exits 1 when a side answered with an error: such a number means nothing.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type BenchOptions, type BenchResult, machine, printTable } from './support/result.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    case: { type: 'string' },
    seconds: { type: 'string' },
    rounds: { type: 'string' },
  },
})

const name = positionals[0] ?? ''
const file = join(import.meta.dirname, `${name}.ts`)
if (!/^[a-z]+$/.test(name) || name === 'main' || !existsSync(file)) {
  process.stderr.write('usage: node bench/main.ts proxy|jobs [--json] [--case CASE] [--seconds N] [--rounds N]\n')
  process.exit(2)
}

const options: BenchOptions = {
  ...(values.case === undefined ? {} : { only: values.case }),
  ...(values.seconds === undefined ? {} : { seconds: Number(values.seconds) }),
  ...(values.rounds === undefined ? {} : { rounds: Number(values.rounds) }),
  note: (text) => process.stderr.write(`${text}\n`),
}
const { run } = (await import(`./${name}.ts`)) as { run(options: BenchOptions): Promise<BenchResult> }
try {
  const result: BenchResult = { ...(await run(options)), machine: machine() }
  process.stdout.write(values.json ? `${JSON.stringify(result, null, 2)}\n` : printTable(result))
} catch (error) {
  process.stderr.write(`bench ${name} failed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
