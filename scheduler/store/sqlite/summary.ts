// summary.ts — the figures of a report: states, attempts, versions, time from submit to done.
//
// A version's `jobs` counts first attempts that ran (what the split decided); attempts that a worker or sidecar refused
// or that never arrived are attempts, but nobody's first.

import type { Summary } from '../../contract.ts'
import type { Label } from '../contract.ts'
import type { Reader } from './reader.ts'
import { OUTCOME_CODE, outcomeOf, stateOf } from './schema.ts'

export function summarize(reader: Reader, tenant: string, label?: Label): Summary {
  const set = label
    ? 'SELECT seq FROM labels WHERE tenant = ? AND key = ? AND value = ?'
    : 'SELECT seq FROM jobs WHERE tenant = ?'
  const who = label ? [tenant, label.key, label.value] : [tenant]
  const states = reader.all(`SELECT state, count(*) AS n FROM jobs WHERE seq IN (${set}) GROUP BY state`, ...who)
  const outcomes = reader.all(
    `SELECT version, outcome, count(*) AS n FROM attempts WHERE seq IN (${set}) GROUP BY version, outcome`,
    ...who,
  )
  const firsts = reader.all(
    `SELECT version, count(*) AS n FROM (SELECT version, min(token) FROM attempts WHERE seq IN (${set})
     AND (outcome IS NULL OR outcome NOT IN (${OUTCOME_CODE.refused}, ${OUTCOME_CODE.released})) GROUP BY seq)
     GROUP BY version`,
    ...who,
  )
  const tried = reader.all(`SELECT count(DISTINCT seq) AS n FROM attempts WHERE seq IN (${set})`, ...who)
  const attempts = sum(outcomes)
  return {
    total: sum(states),
    byState: Object.fromEntries(states.map((r) => [stateOf(r['state']), Number(r['n'])])),
    attempts,
    retries: attempts - sum(tried),
    byOutcome: byOutcome(outcomes),
    byVersion: byVersion(outcomes, firsts),
    submitToDoneMs: percentiles(reader, set, who),
  }
}

export type Rows = readonly Record<string, unknown>[]
export const sum = (rows: Rows): number => rows.reduce((total, row) => total + Number(row['n']), 0)

export function byOutcome(rows: Rows): Summary['byOutcome'] {
  const counts: Summary['byOutcome'] = {}
  for (const row of rows) {
    if (row['outcome'] == null) continue
    const name = outcomeOf(row['outcome'])
    counts[name] = (counts[name] ?? 0) + Number(row['n'])
  }
  return counts
}

export function byVersion(outcomes: Rows, firsts: Rows): Summary['byVersion'] {
  const versions: Summary['byVersion'] = {}
  const at = (row: Record<string, unknown>) => {
    const name = String(row['version'])
    versions[name] ??= { jobs: 0, attempts: 0, succeeded: 0, failed: 0 }
    return versions[name]
  }
  for (const row of outcomes) {
    const version = at(row)
    const n = Number(row['n'])
    version.attempts += n
    if (row['outcome'] === OUTCOME_CODE.succeeded) version.succeeded += n
    if (row['outcome'] === OUTCOME_CODE.failed || row['outcome'] === OUTCOME_CODE.timedOut) version.failed += n
  }
  for (const row of firsts) at(row).jobs += Number(row['n'])
  return versions
}

function percentiles(reader: Reader, set: string, who: readonly string[]): Summary['submitToDoneMs'] {
  const done = `FROM jobs WHERE seq IN (${set}) AND finished_at IS NOT NULL`
  const n = Number(reader.all(`SELECT count(*) AS n ${done}`, ...who)[0]!['n'])
  if (n === 0) return null
  const at = (share: number): number => {
    const rank = Math.min(n - 1, Math.ceil(share * n) - 1)
    const sql = `SELECT finished_at - created_at AS ms ${done} ORDER BY ms LIMIT 1 OFFSET ?`
    return Number(reader.all(sql, ...who, rank)[0]!['ms'])
  }
  return { p50: at(0.5), p99: at(0.99) }
}
