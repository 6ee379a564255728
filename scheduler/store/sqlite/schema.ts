// schema.ts — the tables of the embedded job store, and the codes that stand in them.
//
// A code or a column is never reused. A file with a newer schema version is refused (SCHEMA_TOO_NEW), an older one is
// migrated in one transaction.
// Rows are keyed by `seq`, which the leader assigns: inserts append. The open index holds only jobs that are not
// terminal, so its size follows the backlog and not the history.

import type { DatabaseSync } from 'node:sqlite'
import { FairleadError } from '../../../kernel/errors.ts'
import type { AttemptOutcome, JobState } from '../../states.ts'

export const SCHEMA_VERSION = 1

/** Open states are < 5, `succeeded` is 5: the partial indexes below say so too. */
export const STATE_CODE = {
  blocked: 0,
  deferred: 1,
  ready: 2,
  leased: 3,
  cancelling: 4,
  succeeded: 5,
  failed: 6,
  cancelled: 7,
  timedOut: 8,
  expired: 9,
  deadLettered: 10,
  skipped: 11,
} as const satisfies Record<JobState, number>

export const OUTCOME_CODE = {
  succeeded: 0,
  failed: 1,
  timedOut: 2,
  cancelled: 3,
  refused: 4,
  released: 5,
  lost: 6,
} as const satisfies Record<AttemptOutcome, number>

export const stateOf = decoder(STATE_CODE)
export const outcomeOf = decoder(OUTCOME_CODE)

/** bodies.kind: what `payload` holds. `z` = deflated (raw). */
export const BODY_KIND = { none: 0, json: 1, bytes: 2, zjson: 3, zbytes: 4 } as const

export const DURABLE = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;'
const WRITER = `${DURABLE} PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;`

const V1 = `
CREATE TABLE jobs(
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  type TEXT NOT NULL,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  state INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  run_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  lost INTEGER NOT NULL DEFAULT 0,
  token INTEGER NOT NULL DEFAULT 0,
  progress REAL NOT NULL DEFAULT 0,
  spec TEXT NOT NULL,
  error TEXT
) STRICT;
CREATE INDEX jobs_open ON jobs(seq) WHERE state < 5;
CREATE INDEX jobs_bad ON jobs(seq) WHERE state > 5;
CREATE TABLE bodies(seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, payload ANY, env TEXT) STRICT;
CREATE TABLE results(seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, value ANY) STRICT;
CREATE TABLE labels(tenant TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(tenant, key, value, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency(tenant TEXT NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL,
  at INTEGER NOT NULL, PRIMARY KEY(tenant, key)) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency(at);
CREATE TABLE attempts(
  seq INTEGER NOT NULL, token INTEGER NOT NULL, attempt INTEGER NOT NULL,
  instance TEXT NOT NULL, session TEXT NOT NULL, backend TEXT NOT NULL, version TEXT NOT NULL,
  leased_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER, outcome INTEGER,
  refusal TEXT, error TEXT, log_bytes INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(seq, token)) STRICT, WITHOUT ROWID;
CREATE TABLE logs(id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, token INTEGER NOT NULL, n INTEGER NOT NULL,
  stream TEXT NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL, UNIQUE(seq, token, n)) STRICT;
CREATE TABLE sessions(session TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('token', 0), ('seq', 0);
`

/** Opens for writing: pragmas, version check, creation. @throws FairleadError SCHEMA_TOO_NEW */
export function prepareSchema(db: DatabaseSync): void {
  db.exec(WRITER)
  const found = Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0)
  if (found > SCHEMA_VERSION) {
    throw new FairleadError('SCHEMA_TOO_NEW', `The job store has schema ${found}; this build knows ${SCHEMA_VERSION}.`)
  }
  if (found === SCHEMA_VERSION) return
  db.exec(`BEGIN IMMEDIATE; ${V1} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT;`)
}

function decoder<K extends string>(codes: Record<K, number>): (code: unknown) => K {
  const names: K[] = []
  for (const [name, code] of Object.entries(codes) as [K, number][]) names[code] = name
  return (code) => {
    const name = names[Number(code)]
    if (name === undefined) throw new FairleadError('INTERNAL', `The job store holds an unknown code ${String(code)}.`)
    return name
  }
}
