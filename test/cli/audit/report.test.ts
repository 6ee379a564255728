// From outcomes to the report: what counts as an attempt, what people read.

import { describe, expect, test } from 'vitest'
import type { Outcome } from '../../../cli/audit/collect.ts'
import { doneOf, progressLine } from '../../../cli/audit/follow.ts'
import { buildReport, showReport, size, splitText } from '../../../cli/audit/report.ts'
import { weightsIn } from '../../../cli/audit/weights.ts'
import { type AuditResult, parseReport } from '../../../cli/contract.ts'
import { openTerminal } from '../../../cli/terminal.ts'
import { compileSnapshot } from '../../../mesh-config/compile.ts'
import { parseConfig } from '../../../mesh-config/config.ts'
import { readConfigFiles } from '../../../mesh-config/files.ts'
import type { Attempt, Job, Summary } from '../../../scheduler/contract.ts'

const SUMMARY: Summary = {
  total: 3,
  byState: { succeeded: 2, deadLettered: 1 },
  attempts: 7,
  retries: 4,
  byOutcome: { succeeded: 2, failed: 2, refused: 1, released: 1, lost: 1 },
  byVersion: { v1: { jobs: 2, attempts: 4, succeeded: 2, failed: 0 } },
  submitToDoneMs: { p50: 10, p99: 20 },
}

const attempt = (version: string, outcome: Attempt['outcome']): Attempt => ({
  ...{ attempt: 1, token: '1', instance: `worker-${version}-1`, backend: `worker-${version}`, version },
  ...{ leasedAt: '', startedAt: null, finishedAt: null, outcome, error: null },
})

function outcomeOf(name: string, attempts: Attempt[], result?: Partial<AuditResult>): Outcome {
  const error = { code: 'HANDLER_FAILED', class: 'transient', message: 'broken' }
  return {
    job: {
      name,
      state: result ? 'succeeded' : 'deadLettered',
      attemptLog: attempts,
      error: result ? null : error,
    } as Job,
    result: result && {
      ...{ name, version: '1.0.0', path: name, licence: 'MIT', licenceText: 'MIT', licenceNote: 'ok' },
      ...{ files: 2, bytes: 2_500, sha256: 'aa', installScripts: [], handlerVersion: 'v1', ...result },
    },
  }
}

const OUTCOMES = [
  outcomeOf('a', [attempt('v2', 'refused'), attempt('v2', 'failed'), attempt('v1', 'succeeded')], { bytes: 10 }),
  outcomeOf('b', [attempt('v1', 'released'), attempt('v1', 'succeeded')], {
    ...{ licence: 'NONE', licenceNote: 'missing', licenceText: null, installScripts: ['postinstall'] },
  }),
  outcomeOf('c', [attempt('v1', 'lost'), attempt('v2', 'timedOut')]),
]
const report = () =>
  buildReport({
    run: 'r',
    summary: SUMMARY,
    outcomes: OUTCOMES,
    executions: 5,
    configuredWeights: { v1: 90, v2: 10 },
    breakerOpened: 1,
  })

describe('report', () => {
  test('figures: count attempts that ran, and leave refused and released ones out', () => {
    expect(parseReport(report())).toMatchObject({
      ...{ jobs: 3, succeeded: 2, failed: 1, lost: 1, attempts: 5, retries: 2, executions: 5, breakerOpened: 1 },
      byVersion: {
        v1: { jobs: 2, attempts: 3, succeeded: 2, failed: 0 },
        v2: { jobs: 1, attempts: 2, succeeded: 0, failed: 2 },
      },
      licences: { MIT: 1, NONE: 1 },
      packages: [
        { name: 'a', bytes: 10 },
        { name: 'b', bytes: 2_500 },
      ],
    })
  })

  test('page: tells what a person would ask for', () => {
    let text = ''
    const stream = { write: (chunk: string) => (text += chunk) }
    showReport(report(), OUTCOMES, openTerminal({ out: stream, err: stream, env: {} }))
    expect(text).toContain('Package audit  2 packages, 4 files, 2.5 kB')
    expect(text).toMatch(/Runs scripts when installed\n {2}b@1\.0\.0 {2}postinstall/)
    expect(text).toMatch(/b@1\.0\.0 {2}missing {2}NONE \(no licence file that we know\)/)
    expect(text).toMatch(/Failed\n {2}c {2}deadLettered {2}HANDLER_FAILED: broken/)
    expect(text).toContain('v1 66.7 % / v2 33.3 %  configured v1 90.0 % / v2 10.0 %')
    expect(text).toMatch(/p50 10 ms +p99 20 ms/)
  })
})

describe('progress', () => {
  test('line: shows done, rate, versions and retries that ran', () => {
    expect(progressLine(SUMMARY, 2, 3, 12.4)).toBe('2/3  12 jobs/s  v1 2  retries 2')
  })
  test('done: counts every final state and no other', () => {
    expect(doneOf({ ...SUMMARY, byState: { succeeded: 1, failed: 2, cancelled: 3, ready: 50, leased: 50 } })).toBe(6)
  })
})

describe('weights', () => {
  test('weights: are those of the rule that takes dispatches', async () => {
    const parsed = parseConfig(await readConfigFiles('mesh-config/demo'))
    if (!('config' in parsed)) throw new Error('the demo is not valid')
    const self = { service: 'scheduler', namespace: 'default', version: '', instance: 'scheduler' }
    const snapshot = compileSnapshot(parsed.config, [], self, [])
    expect(weightsIn(snapshot, 'worker')).toEqual({ v1: 90, v2: 10 })
    expect(() => weightsIn(snapshot, 'nobody')).toThrow(expect.objectContaining({ code: 'ROUTE_NOT_FOUND' }))
  })
})

describe('words', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1_000, '1.0 kB'],
    [999_999, '1.0 MB'],
    [415_500_000, '415.5 MB'],
  ])('size: of %d bytes is %s', (bytes, text) => {
    expect(size(bytes)).toBe(text)
  })
  test('split: is in percent, and of nothing is zero', () => {
    expect(splitText({ v1: 3, v2: 1 })).toBe('v1 75.0 % / v2 25.0 %')
    expect(splitText({ v1: 0, v2: 0 })).toBe('v1 0.0 % / v2 0.0 %')
  })
})
