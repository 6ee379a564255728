// db-main.ts — `fairlead db …` on the scheduler's side: migrate | status | check | copy --from DIR. The database's URL
// comes in DATABASE_URL, never on the command line. Prints one JSON document; a failure is one too, with exit code 1.

import { parseArgs } from 'node:util'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import { parseDatabase } from '../options.ts'
import { copyStore } from './copy/copy.ts'
import { assertDurable, connect, said, sqlstate } from './postgres/connection.ts'
import { appliedMigrations, assertSchema, migrate } from './postgres/migrate.ts'
import { databaseStatus } from './postgres/status.ts'

const ADMIN_MS_MAX = 24 * 3600 * 1000

async function run(): Promise<unknown> {
  const { positionals, values } = parseArgs({ allowPositionals: true, options: { from: { type: 'string' } } })
  const url = parseDatabase('env', process.env)!
  const client = await connect(url, 'db', ADMIN_MS_MAX)
  try {
    switch (positionals[0]) {
      case 'migrate': {
        const applied = (await migrate(client)).map(({ version, name }) => ({ version, name }))
        return { applied, version: (await appliedMigrations(client)).at(-1)!.version }
      }
      case 'status':
        return await databaseStatus(client)
      case 'check':
        await assertDurable(client)
        await assertSchema(client)
        return {}
      case 'copy':
        if (!values.from) throw new FairleadError('INVALID_INPUT', '--from DIR is needed.')
        await assertDurable(client)
        await assertSchema(client)
        return await copyStore(values.from, client)
      default:
        throw new FairleadError('INVALID_INPUT', 'Expected migrate, status, check or copy.')
    }
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** The server's own words help whoever runs an admin command. */
function told(thrown: unknown): FairleadError {
  if (sqlstate(thrown) !== undefined) {
    return new FairleadError('STORE_UNAVAILABLE', `PostgreSQL: ${said(thrown)}`, { cause: thrown })
  }
  const error = asFairleadError(thrown)
  if (error.code !== 'STORE_UNAVAILABLE' || error.cause === undefined) return error
  return new FairleadError(error.code, `${error.message} ${said(error.cause)}`, { cause: error.cause })
}

try {
  process.stdout.write(`${JSON.stringify(await run())}\n`)
} catch (thrown) {
  const { code, message } = told(thrown)
  const internal = code === 'INTERNAL' && thrown instanceof Error ? thrown.message : message
  process.stdout.write(`${JSON.stringify({ error: { code, message: internal } })}\n`)
  process.exitCode = 1
}
