// docs/cli.md is what the commands and schemas print.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cliPage } from '../../docs/print-cli.ts'

test('docs/cli.md: equals the commands and schemas', () => {
  expect(readFileSync(join(import.meta.dirname, '../../docs/cli.md'), 'utf8')).toBe(cliPage())
})
