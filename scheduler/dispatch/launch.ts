// launch.ts — sends leased attempts: one request per instance, kind (first or repeat) and quote of a batch.
//
// What becomes of a request is told to the flights: refused (nothing ran) or broken (attach). Never decides placement.

import { HEADERS } from '../../kernel/local-surface.ts'
import type { Log } from '../../kernel/log.ts'
import type { Tracing } from '../../kernel/tracing.ts'
import { DISPATCH_JOBS_MAX, DISPATCH_PATH, type DispatchJob, formatLine } from '../../workers/contract.ts'
import type { Attacher } from './attach.ts'
import { startDispatchSpan } from './dispatch-span.ts'
import type { Flight, Flights } from './flights.ts'
import type { DispatchMetrics } from './metrics.ts'
import { type PlainParts, runPlain } from './plain.ts'
import type { Launch } from './pump.ts'
import type { WorkerSession } from './sessions.ts'
import { runStream } from './stream.ts'

const REQUEST_BYTES_MAX = 16 * 1024 * 1024

export interface LauncherParts extends PlainParts {
  readonly flights: Flights
  readonly attacher: Attacher
  readonly log: Log
  readonly metrics: DispatchMetrics
  readonly tracing: Tracing
  headers(session: WorkerSession): Record<string, string>
  /** A flight begins: stops that were asked for before it are due now. */
  onFlight(flight: Flight): void
}

interface Outgoing {
  readonly flight: Flight
  readonly job: DispatchJob
}

export class Launcher {
  readonly #parts: LauncherParts
  readonly #open = new Set<Promise<void>>()

  constructor(parts: LauncherParts) {
    this.#parts = parts
  }

  launch(launches: readonly Launch[]): void {
    const requests = Map.groupBy(
      launches,
      ({ session, attempt, quote }) => `${session.row.session} ${attempt.retry} ${quote}`,
    )
    for (const group of requests.values()) this.#request(group)
  }

  async settle(): Promise<void> {
    await Promise.all(this.#open)
  }

  #request(group: readonly Launch[]): void {
    const { session, quote, attempt } = group[0]!
    const outgoing = group.map((one) => this.#depart(one))
    if (session.ended) {
      for (const { flight } of outgoing) this.#parts.flights.release(flight)
      return
    }
    const headers = { ...this.#parts.headers(session), [HEADERS.quote]: quote }
    const marked = attempt.retry ? { ...headers, [HEADERS.retry]: '1' } : headers
    this.#parts.metrics.sent(session.row.version, outgoing.length)
    if (session.plain) for (const one of outgoing) this.#track(this.#sendPlain(one, marked))
    else for (const batch of batches(outgoing)) this.#track(this.#send(session, batch, marked))
    for (const { flight } of outgoing) this.#parts.onFlight(flight)
  }

  #depart({ attempt, session }: Launch): Outgoing {
    const flight = this.#parts.flights.add(attempt.row, session, 'stream')
    return { flight, job: { ...attempt.dispatch, session: session.row.session } }
  }

  async #send(session: WorkerSession, batch: Batch, headers: Record<string, string>): Promise<void> {
    const { sidecar, flights, attacher, metrics, log, closing, tracing } = this.#parts
    const span = startDispatchSpan(tracing, batch.jobs, session.row.instance)
    const traced = span.traceparent === undefined ? headers : { ...headers, traceparent: span.traceparent }
    const call = {
      authority: session.authority,
      path: DISPATCH_PATH,
      headers: traced,
      body: batch.body,
      contentType: 'application/x-ndjson',
      signal: closing,
    }
    const end = await runStream(sidecar, call, (event) => flights.onEvent(session, event))
    span.end(end.t === 'complete' ? undefined : end.t)
    const open = batch.flights.filter((flight) => flights.get(flight) === flight && !flight.landing)
    if (open.length === 0 || closing.aborted) return
    const { instance } = session.row
    if (end.t === 'refused') {
      log.info({ worker_id: instance, reason: end.reason, jobs: open.length, detail: end.detail }, 'dispatch refused')
      return flights.refuse(open, end.reason, end.retryAfterMs)
    }
    log.warn({ worker_id: instance, end, jobs: open.length }, 'a dispatch stream broke; attaching')
    metrics.broken()
    for (const flight of open) if (flight.carrier === 'stream') flight.carrier = 'none'
    attacher.attach(session)
  }

  async #sendPlain({ flight, job }: Outgoing, headers: Record<string, string>): Promise<void> {
    const { flights } = this.#parts
    flights.onEvent(flight.session, { t: 'accepted', job: job.job, token: job.token })
    const end = await runPlain(this.#parts, flight, job, headers)
    if (end.t === 'result') flights.onEvent(flight.session, end.result)
    else if (end.t === 'refused' && !flight.landing) flights.refuse([flight], end.reason, end.retryAfterMs)
  }

  #track(sending: Promise<void>): void {
    const done = sending.finally(() => this.#open.delete(done))
    this.#open.add(done)
  }
}

interface Batch {
  readonly flights: Flight[]
  readonly jobs: readonly DispatchJob[]
  readonly body: string
}

function batches(outgoing: readonly Outgoing[]): Batch[] {
  const all: Batch[] = []
  let flights: Flight[] = []
  let jobs: DispatchJob[] = []
  let lines: string[] = []
  let bytes = 0
  const flush = (): void => {
    if (flights.length > 0) all.push({ flights, jobs, body: lines.join('') })
    flights = []
    jobs = []
    lines = []
    bytes = 0
  }
  for (const { flight, job } of outgoing) {
    const line = formatLine(job)
    if (flights.length >= DISPATCH_JOBS_MAX || bytes + line.length > REQUEST_BYTES_MAX) flush()
    flights.push(flight)
    jobs.push(job)
    lines.push(line)
    bytes += line.length
  }
  flush()
  return all
}
