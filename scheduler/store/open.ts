// open.ts — which engine holds the jobs: PostgreSQL when there is a URL, else SQLite in the state directory.

import type { Clock } from '../../kernel/clock.ts'
import type { FairleadError } from '../../kernel/errors.ts'
import type { Lifetime } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import type { JobStore } from './contract.ts'
import { startSqliteStore } from './sqlite/store.ts'

export interface StoreOptions {
  readonly database: string | undefined
  readonly state: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly onFatal: (error: FairleadError) => void
  readonly onCommit: (changes: number) => () => void
  /** Closing it ends the wait for another scheduler's lead. */
  readonly life: Lifetime
}

export async function openStore(options: StoreOptions): Promise<JobStore> {
  const { database, state, onFatal, onCommit, life } = options
  if (database === undefined) return startSqliteStore({ dir: state, onFatal, onCommit })
  const closing = new AbortController()
  life.onClose(() => closing.abort())
  // Loaded only where it is used: the embedded store starts without it.
  const { startPostgresStore } = await import('./postgres/store.ts')
  return startPostgresStore({ ...options, url: database, signal: closing.signal })
}
