// report.ts — from outcomes to the report that is written (ReportSchema) and the one that is read. Pure.

import type { Attempt, Summary } from '../../scheduler/contract.ts'
import type { AuditResult, Report } from '../contract.ts'
import { columnsOf, type Terminal } from '../terminal.ts'
import type { Outcome } from './collect.ts'

export interface ReportInput {
  readonly run: string
  readonly summary: Summary
  readonly outcomes: readonly Outcome[]
  readonly executions: number
  readonly configuredWeights: Readonly<Record<string, number>>
  readonly breakerOpened: number
}

const LARGEST = 10
const LISTED_MAX = 15

/** `attempts` are those that ran: one that was refused or never arrived did nothing and cost nothing. */
export function buildReport({ summary, outcomes, ...rest }: ReportInput): Report {
  const results = resultsOf(outcomes)
  const byVersion = tallyVersions(outcomes)
  const attempts = Object.values(byVersion).reduce((sum, version) => sum + version.attempts, 0)
  const tried = Object.values(byVersion).reduce((sum, version) => sum + version.jobs, 0)
  return {
    schema: 1,
    run: rest.run,
    jobs: outcomes.length,
    succeeded: results.length,
    failed: outcomes.length - results.length,
    lost: outcomes.flatMap(ranAttempts).filter(({ outcome }) => outcome === 'lost').length,
    attempts,
    retries: attempts - tried,
    executions: rest.executions,
    byVersion,
    configuredWeights: { ...rest.configuredWeights },
    breakerOpened: rest.breakerOpened,
    submitToDoneMs: summary.submitToDoneMs ?? { p50: 0, p99: 0 },
    licences: countBy(results.map((result) => result.licence)),
    packages: results.map(({ name, version, path, licence, files, bytes, sha256 }) => {
      return { name, version, path, licence, files, bytes, sha256 }
    }),
  }
}

function ranAttempts({ job }: Outcome): Attempt[] {
  return (job.attemptLog ?? []).filter(({ outcome }) => outcome !== 'refused' && outcome !== 'released')
}

/** `jobs`: whose first attempt went there, which is what the split decided. */
function tallyVersions(outcomes: readonly Outcome[]): Report['byVersion'] {
  const versions: Report['byVersion'] = {}
  for (const attempts of outcomes.map(ranAttempts)) {
    for (const [index, { version, outcome }] of attempts.entries()) {
      versions[version] ??= { jobs: 0, attempts: 0, succeeded: 0, failed: 0 }
      const count = versions[version]
      count.attempts++
      if (index === 0) count.jobs++
      if (outcome === 'succeeded') count.succeeded++
      if (outcome === 'failed' || outcome === 'timedOut') count.failed++
    }
  }
  return versions
}

export function showReport(report: Report, outcomes: readonly Outcome[], terminal: Terminal): void {
  const results = resultsOf(outcomes)
  const section = (title: string, rows: readonly (readonly string[])[]): void => {
    if (rows.length === 0) return
    terminal.say(`\n${terminal.bold(title)}`)
    for (const line of columnsOf(rows)) terminal.say(`  ${line}`)
  }
  const bytes = results.reduce((sum, result) => sum + result.bytes, 0)
  const files = results.reduce((sum, result) => sum + result.files, 0)
  terminal.say(
    `\n${terminal.bold('Package audit')}  ${report.succeeded} packages, ${count(files)} files, ${size(bytes)}`,
  )
  section('Licences', licenceRows(report))
  section('Largest packages', largestRows(results))
  section('Runs scripts when installed', listed(results.filter((r) => r.installScripts.length > 0).map(scriptRow)))
  section('Licence missing, odd, or not what its file says', listed(results.filter(isOdd).map(oddRow)))
  section('Failed', listed(outcomes.filter((outcome) => !outcome.result).map(failedRow)))
  section('How it ran', runRows(report))
}

const resultsOf = (outcomes: readonly Outcome[]): AuditResult[] => outcomes.flatMap(({ result }) => result ?? [])
const isOdd = (result: AuditResult): boolean => result.licenceNote !== 'ok'
const nameOf = (result: AuditResult): string => `${result.name}@${result.version}`

function licenceRows(report: Report): string[][] {
  const rows = Object.entries(report.licences).sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
  return rows.map(([licence, n]) => [String(n).padStart(5), licence])
}

function largestRows(results: readonly AuditResult[]): string[][] {
  const largest = [...results].sort((a, b) => b.bytes - a.bytes).slice(0, LARGEST)
  return largest.map((result) => [size(result.bytes).padStart(9), `${count(result.files)} files`, nameOf(result)])
}

const scriptRow = (result: AuditResult): string[] => [nameOf(result), result.installScripts.join(', ')]

function oddRow(result: AuditResult): string[] {
  const file = result.licenceText === null ? 'no licence file that we know' : `its file says ${result.licenceText}`
  return [nameOf(result), result.licenceNote, `${result.licence} (${file})`]
}

function failedRow({ job }: Outcome): string[] {
  return [job.name ?? job.id, job.state, job.error ? `${job.error.code}: ${job.error.message}` : '']
}

function runRows(report: Report): string[][] {
  const { submitToDoneMs: time } = report
  return [
    ['split of first attempts', splitText(seenShares(report)), `configured ${splitText(report.configuredWeights)}`],
    ['submit to done', `p50 ${time.p50.toFixed(0)} ms`, `p99 ${time.p99.toFixed(0)} ms`],
    [
      'attempts',
      String(report.attempts),
      `${report.retries} retries, ${report.lost} lost, ${report.failed} jobs failed`,
    ],
    ['executions', String(report.executions), 'counted by the handlers themselves'],
    [
      'breaker opened',
      String(report.breakerOpened),
      report.breakerOpened > 0 ? 'a version was taken out of service' : '',
    ],
  ]
}

/** First attempts by version, of those that the configuration names. */
function seenShares(report: Report): Record<string, number> {
  const versions = new Set([...Object.keys(report.configuredWeights), ...Object.keys(report.byVersion)])
  return Object.fromEntries([...versions].sort().map((version) => [version, report.byVersion[version]?.jobs ?? 0]))
}

/** `v1 90.0 % / v2 10.0 %` */
export function splitText(shares: Readonly<Record<string, number>>): string {
  const total = Object.values(shares).reduce((sum, share) => sum + share, 0)
  const percent = (share: number): string => (total === 0 ? '0.0' : ((share / total) * 100).toFixed(1))
  return Object.entries(shares)
    .map(([version, share]) => `${version} ${percent(share)} %`)
    .join(' / ')
}

function listed(rows: string[][]): string[][] {
  if (rows.length <= LISTED_MAX) return rows
  return [...rows.slice(0, LISTED_MAX), [`… and ${rows.length - LISTED_MAX} more`]]
}

function countBy(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const word of [...words].sort()) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

const count = (n: number): string => n.toLocaleString('en-US')

/** `1.2 MB`; decimal units. */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let at = 0
  while (value >= 999.5 && at < units.length - 1) {
    value /= 1000
    at++
  }
  return `${at === 0 ? value : value.toFixed(1)} ${units[at]}`
}
