// summary.ts — the figures of a report, as store/sqlite/summary.ts gives them, by PostgreSQL's own words.

import type { Summary } from '../../contract.ts'
import type { Label } from '../contract.ts'
import type { Row } from '../sqlite/rows.ts'
import { OUTCOME_CODE, stateOf } from '../sqlite/schema.ts'
import { byOutcome, byVersion, sum } from '../sqlite/summary.ts'
import { escapeText } from './text.ts'

type Ask = (sql: string, ...values: readonly unknown[]) => Promise<Row[]>

export async function summarize(ask: Ask, tenant: string, label?: Label): Promise<Summary> {
  const set = label
    ? 'SELECT l.seq FROM fairlead.labels l WHERE l.tenant = $1 AND l.key = $2 AND l.value = $3'
    : 'SELECT s.seq FROM fairlead.jobs s WHERE s.tenant = $1'
  const who = [tenant, ...(label ? [label.key, label.value] : [])].map(escapeText)
  const states = await ask(
    `SELECT state, count(*) AS n FROM fairlead.jobs WHERE seq IN (${set}) GROUP BY state`,
    ...who,
  )
  const outcomes = await ask(
    `SELECT version, outcome, count(*) AS n FROM fairlead.attempts WHERE seq IN (${set}) GROUP BY version, outcome`,
    ...who,
  )
  const firsts = await ask(
    `SELECT version, count(*) AS n FROM (SELECT DISTINCT ON (seq) version FROM fairlead.attempts WHERE seq IN (${set})
     AND (outcome IS NULL OR outcome NOT IN (${OUTCOME_CODE.refused}, ${OUTCOME_CODE.released}))
     ORDER BY seq, token) f GROUP BY version`,
    ...who,
  )
  const tried = await ask(`SELECT count(DISTINCT seq) AS n FROM fairlead.attempts WHERE seq IN (${set})`, ...who)
  const [times] = await ask(
    `SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY finished_at - created_at) AS p50,
     percentile_disc(0.99) WITHIN GROUP (ORDER BY finished_at - created_at) AS p99
     FROM fairlead.jobs WHERE seq IN (${set}) AND finished_at IS NOT NULL`,
    ...who,
  )
  const attempts = sum(outcomes)
  return {
    total: sum(states),
    byState: Object.fromEntries(states.map((r) => [stateOf(r['state']), Number(r['n'])])),
    attempts,
    retries: attempts - sum(tried),
    byOutcome: byOutcome(outcomes),
    byVersion: byVersion(outcomes, firsts),
    submitToDoneMs: times!['p50'] == null ? null : { p50: Number(times!['p50']), p99: Number(times!['p99']) },
  }
}
