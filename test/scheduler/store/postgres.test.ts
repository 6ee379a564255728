// The PostgreSQL engine: conformance, and what only it promises (schema, settings, fencing, unknown outcomes).

import { afterAll, beforeAll, describe } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import type { FairleadError } from '../../../kernel/errors.ts'
import { createLog } from '../../../kernel/log.ts'
import { systemRandom } from '../../../kernel/random.ts'
import { startPostgresStore } from '../../../scheduler/store/postgres/store.ts'
import { noPostgres, type Postgres, startPostgres } from '../../support/postgres.ts'
import { conformance } from '../store-conformance.ts'

const log = createLog({ process: 'test', level: 'silent' })
const parts = { clock: systemClock, random: systemRandom, log }
const onFatal = (error: FairleadError): void => {
  throw error
}

describe.skipIf(noPostgres)(`postgres${noPostgres ? ` (skipped: ${noPostgres})` : ''}`, () => {
  let server: Postgres
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.close())

  conformance('postgres', async () => {
    const url = await server.database()
    return { open: () => startPostgresStore({ ...parts, url, onFatal }) }
  })
})
