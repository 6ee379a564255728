// docs/life-of-a-job.md shows the state table as it is in the code. UPDATE_DOCS=1 prints it there.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isTerminal, JOB_STATES, JOB_TABLE } from '../../scheduler/states.ts'

const FILE = join(import.meta.dirname, '../../docs/life-of-a-job.md')
const START = '<!-- printed from scheduler/states.ts -->\n'
const END = '<!-- end -->'

function print(): string {
  const rows = JOB_STATES.map((state) => {
    const moves = Object.entries(JOB_TABLE[state]).map(([event, to]) => `${event} → \`${to}\``)
    return `| \`${state}\`${isTerminal(state) ? ' (final)' : ''} | ${moves.join(', ') || 'nothing'} |`
  })
  return ['| In state | takes the events |', '|---|---|', ...rows, ''].join('\n')
}

test('docs/life-of-a-job.md: shows the table that the code follows', () => {
  const text = readFileSync(FILE, 'utf8')
  const [start, end] = [text.indexOf(START) + START.length, text.indexOf(END)]
  expect(start).toBeGreaterThan(START.length)
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(FILE, text.slice(0, start) + print() + text.slice(end))
  else expect(text.slice(start, end)).toBe(print())
})
