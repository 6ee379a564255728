// version.ts — the version of this Fairlead, from its package.json.

import { readFileSync } from 'node:fs'
import { parseJson, parseWith, z } from '../kernel/parse.ts'

const PackageSchema = z.object({ version: z.string() })

export function fairleadVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return parseWith(PackageSchema, parseJson(text, 'package.json'), 'package.json').version
}
