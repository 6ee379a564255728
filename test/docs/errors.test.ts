import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorsPage } from '../../docs/print-errors.ts'

test('docs/errors.md: equals the table in kernel/errors.ts', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8')
  expect(page, 'run `node docs/print-errors.ts > docs/errors.md`').toBe(errorsPage())
})
