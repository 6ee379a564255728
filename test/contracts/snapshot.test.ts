import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { FairleadError } from '../../kernel/errors.ts'
import { parseSnapshot, type Snapshot } from '../../mesh-config/snapshot.ts'

const text = readFileSync(join(import.meta.dirname, 'golden/snapshot.json'), 'utf8')
const good = (): Snapshot => JSON.parse(text) as Snapshot

test('snapshot: is taken and unchanged when it is the golden one', () => {
  expect(parseSnapshot(good())).toEqual(good())
})

const broken: [string, (s: Record<string, never>) => unknown][] = [
  ['is not an object', () => 'text'],
  ['has another schema', (s) => ({ ...s, schema: 2 })],
  ['has an unknown field', (s) => ({ ...s, novel: true })],
  ['lacks its inbound part', ({ inbound: _, ...rest }: Record<string, never>) => rest],
  ['names a backend that it does not hold', (s) => ({ ...s, backends: [] })],
  ['has a negative weight', (s) => deep(s, ['services', 0, 'rules', 0, 'backends', 0, 'weight'], -1)],
  ['has an unknown balance', (s) => deep(s, ['backends', 0, 'policy', 'balance'], 'magic')],
]
test.each(broken)('snapshot: is refused with SNAPSHOT_INVALID when it %s', (_what, breakIt) => {
  const bad = breakIt(good() as never)
  expect(() => parseSnapshot(bad)).toThrow(expect.objectContaining({ code: 'SNAPSHOT_INVALID' }) as FairleadError)
})

function deep(root: unknown, path: (string | number)[], value: unknown): unknown {
  let at = root as Record<string | number, unknown>
  for (const part of path.slice(0, -1)) at = at[part] as Record<string | number, unknown>
  at[path.at(-1)!] = value
  return root
}
