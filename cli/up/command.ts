// up/command.ts — flags of `fairlead up` → UpOptions; what contradicts itself is refused before anything starts.

import type { Context } from '../context.ts'
import { assertDatabase, databaseUrl } from '../db.ts'
import { EXIT } from '../exit.ts'
import { fairleadVersion } from '../version.ts'
import { runUp, type UpOptions } from './up.ts'

export interface UpFlags {
  readonly demo?: boolean
  readonly exit?: boolean
  readonly ephemeral?: boolean
  readonly badCanary?: boolean
  readonly dir?: string
  readonly report?: string
  readonly config?: string
  readonly consul?: string
  readonly database?: string
  readonly portBase?: number
}

export async function up(context: Context, flags: UpFlags): Promise<number> {
  const contradiction = contradictionOf(flags)
  if (contradiction !== undefined) {
    context.terminal.note(`${context.terminal.red('error')} ${contradiction}`)
    return EXIT.usage
  }
  const database = flags.database === undefined ? undefined : databaseUrl(flags.database, context.env)
  if (database !== undefined) await assertDatabase(context, database)
  return await runUp({ ...parseFlags(context, flags), database }, { ...context, fairleadVersion: fairleadVersion() })
}

function contradictionOf(flags: UpFlags): string | undefined {
  const needDemo = (['exit', 'dir', 'report', 'badCanary'] as const).filter((flag) => flags[flag] !== undefined)
  if (!flags.demo && needDemo.length > 0) {
    const names = needDemo.map((flag) => (flag === 'badCanary' ? '--bad-canary' : `--${flag}`))
    return `${names.join(', ')}: only with --demo, which runs the audit`
  }
  return undefined
}

function parseFlags(context: Context, flags: UpFlags): Omit<UpOptions, 'database'> {
  return {
    demo: flags.demo ?? false,
    exit: flags.exit ?? false,
    ephemeral: flags.ephemeral ?? false,
    badCanary: flags.badCanary ?? false,
    json: context.json,
    dataDir: context.dataDir,
    dir: flags.dir,
    report: flags.report,
    config: flags.config,
    consul: flags.consul,
    portBase: flags.portBase,
  }
}
