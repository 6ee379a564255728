// print-time.ts — fills the examples of docs/time.md: `node docs/print-time.ts` runs the command in each `console` block
// and writes what it answers below it. A test holds page and answers equal.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type ScheduleNextFlags, scheduleNext } from '../cli/schedule.ts'
import { openTerminal } from '../cli/terminal.ts'
import { systemClock } from '../kernel/clock.ts'

const PAGE = join(import.meta.dirname, 'time.md')

/** The page with each example answered anew. */
export async function filledIn(page: string): Promise<string> {
  const parts = page.split(/(?<=```console\n)([\s\S]*?)(?=```)/)
  for (let i = 1; i < parts.length; i += 2) {
    const command = parts[i]!.split('\n')[0]!
    parts[i] = `${command}\n${await answerTo(command)}`
  }
  return parts.join('')
}

async function answerTo(line: string): Promise<string> {
  const [, command] = /^\$ fairlead schedule next (.+)$/.exec(line) ?? []
  if (command === undefined) throw new Error(`docs/time.md: cannot run ${line}`)
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)
  let said = ''
  const write = (text: string): void => {
    said += text
  }
  const terminal = openTerminal({ out: { write }, err: { write }, env: {} })
  const text = (value?: string) => ({ type: 'string' as const, ...(value === undefined ? {} : { default: value }) })
  const { values, positionals } = parseArgs({
    args: words,
    allowPositionals: true,
    options: {
      tz: text('UTC'),
      from: text(),
      count: text('10'),
      'dst-gap': text('fireAtGapEnd'),
      'dst-overlap': text('first'),
      'day-match': text('or'),
      name: text(),
    },
  })
  const { 'dst-gap': dstGap, 'dst-overlap': dstOverlap, 'day-match': dayMatch, ...others } = values
  const flags = { ...others, dstGap, dstOverlap, dayMatch } as ScheduleNextFlags
  await scheduleNext({ terminal, json: false, clock: systemClock }, positionals[0]!, flags)
  return said
}

if (import.meta.main) writeFileSync(PAGE, await filledIn(readFileSync(PAGE, 'utf8')))
