// state-file.ts — `.fairlead/up.json`: what runs, for `fairlead status` and for commands that look for an API.

import { existsSync, readFileSync } from 'node:fs'
import { FairleadError } from '../../kernel/errors.ts'
import { parseJson, parseWith, z } from '../../kernel/parse.ts'
import { StatusSchema } from '../contract.ts'
import { isAlive } from './alive.ts'
import { writeAtomic } from './data-dir.ts'

const UpStateSchema = StatusSchema.extend({
  schema: z.literal(1),
  /** Process id of `up` itself. */
  supervisor: z.int(),
  startedAt: z.string(),
  addresses: z.object({ controlApi: z.string(), jobs: z.string(), proxy: z.string(), admin: z.string() }),
})
export type UpState = z.infer<typeof UpStateSchema>

export function writeState(file: string, state: UpState): void {
  writeAtomic(file, `${JSON.stringify(state, null, 2)}\n`)
}

/** @throws UNREACHABLE when nothing runs there. */
export function readState(file: string, alive: (pid: number) => boolean = isAlive): UpState {
  if (!existsSync(file)) throw new FairleadError('UNREACHABLE', `No Fairlead runs here: there is no ${file}.`)
  const state = parseWith(UpStateSchema, parseJson(readFileSync(file, 'utf8'), file), file)
  if (alive(state.supervisor)) return state
  throw new FairleadError('UNREACHABLE', `Fairlead does not run any more (process ${state.supervisor} is gone).`)
}
