// commands/db.ts — the job database: its schema, its state, and the way from the embedded store to PostgreSQL.

import type { Command } from 'commander'
import type { Act } from '../context.ts'
import type { CopyFlags, DbFlags } from '../db.ts'

const EXAMPLES = `
Examples:
  $ fairlead db migrate --database postgresql://fairlead@db.internal/fairlead
  $ DATABASE_URL=postgresql://fairlead@db.internal/fairlead fairlead db status --json`

const COPY_EXAMPLES = `
Examples:
  $ fairlead db migrate --database postgresql:///jobs
  $ fairlead db copy --from .fairlead/scheduler --database postgresql:///jobs`

export function addDbCommands(program: Command, act: Act): void {
  const db = program.command('db').description('the job database (PostgreSQL)')
  const one = (name: string, description: string): Command =>
    db
      .command(name)
      .description(description)
      .option('--database <env|url>', 'postgresql://USER@HOST/NAME, or env for DATABASE_URL', 'env')
  one('migrate', 'make or update the schema `fairlead`; nothing else ever does')
    .addHelpText('after', EXAMPLES)
    .action(
      act(async (context, flags: DbFlags) => {
        const { dbMigrate } = await import('../db.ts')
        return await dbMigrate(context, flags)
      }),
    )
  one('status', 'settings, schema and who leads (exit 1 when migrations are missing)')
    .addHelpText('after', EXAMPLES)
    .action(
      act(async (context, flags: DbFlags) => {
        const { dbStatus } = await import('../db.ts')
        return await dbStatus(context, flags)
      }),
    )
  one('copy', 'copy the embedded store into an empty database: all of it or nothing, verified')
    .option('--from <dir>', 'state directory of the scheduler (default: scheduler/ in the data directory)')
    .addHelpText('after', COPY_EXAMPLES)
    .action(
      act(async (context, flags: CopyFlags) => {
        const { dbCopy } = await import('../db.ts')
        return await dbCopy(context, flags)
      }),
    )
}
