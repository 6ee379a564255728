import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { filledIn } from '../../docs/print-time.ts'

test('docs/time.md: its examples are what the command answers', async () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/time.md'), 'utf8')
  expect(page.match(/```console/g)!.length).toBeGreaterThan(8)
  expect(page, 'run `node docs/print-time.ts`').toBe(await filledIn(page))
})
