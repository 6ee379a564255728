// follow.ts — watches a run until every job has ended, and shows how it goes.
//
// On a terminal one line that is redrawn; elsewhere a line every few seconds; nothing with --json.

import type { Clock, MonotonicMs } from '../../kernel/clock.ts'
import { parseSummary, type Summary } from '../../scheduler/contract.ts'
import { TERMINAL_STATES } from '../../scheduler/states.ts'
import type { ApiClient } from '../client.ts'
import type { Terminal } from '../terminal.ts'
import { patiently } from './submit.ts'

const POLL_MS = 200
const PLAIN_LINE_MS = 3_000
/** The rate shown is that of the last so many milliseconds. */
const RATE_WINDOW_MS = 3_000

export interface FollowOptions {
  readonly api: ApiClient
  readonly run: string
  readonly total: number
  readonly clock: Clock
  readonly signal: AbortSignal
  /** undefined: show nothing. */
  readonly terminal: Terminal | undefined
}

/** The run's last summary. @throws the signal's reason when it aborts first. */
export async function followRun(options: FollowOptions): Promise<Summary> {
  const { api, run, total, clock, signal } = options
  const show = startShow(options)
  for (;;) {
    const path = `/api/v1/summary?label=${encodeURIComponent(`run:${run}`)}`
    const summary = parseSummary(await patiently(() => api.call(path), clock, signal))
    const done = doneOf(summary)
    show(summary, done)
    if (done >= total) return summary
    await clock.sleep(POLL_MS, signal)
  }
}

export function doneOf(summary: Summary): number {
  return TERMINAL_STATES.reduce((sum, state) => sum + (summary.byState[state] ?? 0), 0)
}

/** `120/198  412 jobs/s  v1 108  v2 12  retries 3` */
export function progressLine(summary: Summary, done: number, total: number, perSecond: number): string {
  const versions = Object.entries(summary.byVersion)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([version, count]) => `${version} ${count.succeeded}`)
  return [`${done}/${total}`, `${Math.round(perSecond)} jobs/s`, ...versions, `retries ${retriesOf(summary)}`].join(
    '  ',
  )
}

/** Attempts that ran beyond the first; one that was refused or never arrived did nothing. */
function retriesOf({ retries, byOutcome }: Summary): number {
  return Math.max(0, retries - (byOutcome.refused ?? 0) - (byOutcome.released ?? 0))
}

function startShow({ terminal, total, clock }: FollowOptions): (summary: Summary, done: number) => void {
  if (!terminal) return () => undefined
  const window: { at: MonotonicMs; done: number }[] = [{ at: clock.now(), done: 0 }]
  let saidAt = clock.now()
  return (summary, done) => {
    const now = clock.now()
    window.push({ at: now, done })
    while (window.length > 2 && now - window[0]!.at > RATE_WINDOW_MS) window.shift()
    const { at, done: before } = window[0]!
    const line = `  ${progressLine(summary, done, total, now > at ? ((done - before) / (now - at)) * 1000 : 0)}`
    const last = done >= total
    if (terminal.live && !last) terminal.redraw(line)
    else if (last || now - saidAt >= PLAIN_LINE_MS) {
      saidAt = now
      terminal.note(line)
    }
  }
}
