// apply.ts — `fairlead apply PATH…`: the whole configuration of the running mesh, checked there, taken or refused whole.

import { parseWith, z } from '../kernel/parse.ts'
import { readConfigFiles } from '../mesh-config/files.ts'
import { authorHeader } from './author.ts'
import { openClient } from './client.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { findRunning } from './running.ts'

const AppliedSchema = z.object({ version: z.string() })

export async function apply(context: Context, paths: readonly string[]): Promise<number> {
  const files = await readConfigFiles(...paths)
  const { state, apiKey } = findRunning(context)
  const control = openClient(state.addresses.controlApi, apiKey)
  try {
    const raw = await control.call('/api/v1/config', { method: 'PUT', body: { files }, headers: authorHeader(context) })
    const { version } = parseWith(AppliedSchema, raw, 'answer of PUT /api/v1/config')
    if (context.json) context.terminal.json({ version, files: files.map((file) => file.name) })
    else {
      context.terminal.say(`Applied ${files.length} file(s) as version ${version}.`)
      context.terminal.note('See `fairlead status` for how many sidecars have taken it.')
    }
    return EXIT.ok
  } finally {
    await control.close()
  }
}
