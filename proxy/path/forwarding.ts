// forwarding.ts — one request on its way through this sidecar: what outbound and inbound have in common.
//
// Owns: the relay of both bodies with backpressure, the copy of a small request body for repeats, the deadline, the
// record of the exchange, and the rescue: errors become statuses here and nowhere else.
// Modes: open (no answer sent) → answering (head sent; from here a failure can only break the connection) → over.
// Flat, with callbacks: promises, AbortControllers and a timer per request cost more than routing (DESIGN §6).

import type { Clock } from '../../kernel/clock.ts'
import type { ErrorCode, FairleadError } from '../../kernel/errors.ts'
import { asFairleadError, FairleadError as Failure } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import {
  type ActiveSpan,
  formatTraceparent,
  newTraceContext,
  parseTraceparent,
  type Tracing,
} from '../../kernel/tracing.ts'
import type { Exchange, Fields, Flag, Observer, ResponseHead } from '../exchange.ts'
import type { ParsedRequest } from '../http1/request-head.ts'
import type { Channel, RequestSink } from '../listen/channel.ts'
import type { ResponseSink, UpstreamCall, UpstreamFailure, UpstreamRequest } from '../transport/seam.ts'
import { answerError } from './answer.ts'
import type { DeadlineEntry, Deadlines } from './deadlines.ts'
import { flagOf } from './flags.ts'
import { type OwnFields, requestIdOf } from './own-fields.ts'
import { REPLAY_BYTES_MAX } from './retry.ts'

export interface PathParts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly observer: Observer
  readonly tracing: Tracing
  readonly deadlines: Deadlines
}

export abstract class Forwarding implements RequestSink, ResponseSink, DeadlineEntry {
  deadlineAt = Number.POSITIVE_INFINITY
  before: DeadlineEntry | undefined
  after: DeadlineEntry | undefined
  readonly exchange: Exchange
  protected readonly channel: Channel
  protected readonly head: ParsedRequest
  protected call: UpstreamCall | undefined
  protected answering = false
  protected over = false
  readonly #parts: PathParts
  #span: ActiveSpan | undefined
  /** Request body so far; undefined = none, or too long to be kept. */
  #kept: Buffer[] | undefined
  #keptBytes = 0
  #bodyEnded: boolean
  #openedMs = 0

  constructor(parts: PathParts, channel: Channel, head: ParsedRequest, direction: 'outbound' | 'inbound') {
    this.#parts = parts
    this.channel = channel
    this.head = head
    this.#bodyEnded = head.body === 0
    this.exchange = newExchange(direction, parts.clock.now(), head, channel.peer.spiffeId)
  }

  // ── what a direction adds ─────────────────────────────────────────────────────────────────────────────────────────

  /** Field lines that every answer of ours carries. */
  protected abstract ownLines(): string
  /** The upstream's head: pass it on with `passHead`, or go another way. */
  abstract onHead(head: ResponseHead): void
  /** Nothing was answered yet: try again, or `rescue`. */
  protected abstract failed(failure: UpstreamFailure): void
  /** Counters that this direction holds are given back. Called once. */
  protected abstract release(): void

  // ── towards the upstream ──────────────────────────────────────────────────────────────────────────────────────────

  protected trace(own: OwnFields, samplePercent: number, kind: 'client' | 'server'): void {
    const { random, tracing } = this.#parts
    const parent = parseTraceparent(own.traceparent, own.tracestate)
    const trace = parent ?? newTraceContext(samplePercent > 0 && random.next() * 100 < samplePercent)
    this.exchange.trace = trace
    if (tracing.on && trace.sampled) {
      this.#span = tracing.startSpan(this.head.method, { kind, parent })
      this.exchange.trace = { ...this.#span.context, state: trace.state }
    }
    ;(this.exchange as { requestId: string }).requestId = requestIdOf(own.requestId, trace.traceId)
  }

  protected addTraceFields(fields: Fields): void {
    const { trace, requestId } = this.exchange
    fields.push('traceparent', formatTraceparent(trace), 'x-request-id', requestId)
    if (trace.state !== undefined) fields.push('tracestate', trace.state)
  }

  /** The sooner of what was set and `ms` from the start of the exchange. */
  protected limitTo(ms: number): void {
    const at = this.exchange.startedMs + ms
    if (at < this.deadlineAt) this.deadlineAt = at
  }

  protected send(open: (request: UpstreamRequest, sink: ResponseSink) => UpstreamCall, request: UpstreamRequest): void {
    this.exchange.attempts++
    if (this.deadlineAt < Number.POSITIVE_INFINITY) this.#parts.deadlines.add(this)
    this.#openedMs = this.exchange.attempts === 1 ? this.exchange.startedMs : this.#parts.clock.now()
    const call = open(request, this)
    this.call = call
    if (this.exchange.attempts > 1) this.#replay(call)
  }

  /** True while the whole request so far can be sent again. */
  protected get replayable(): boolean {
    return this.head.body === 0 || this.#keptBytes <= REPLAY_BYTES_MAX
  }

  #replay(call: UpstreamCall): void {
    for (const piece of this.#kept ?? []) call.write(piece, 0, piece.length)
    if (this.#bodyEnded) call.end()
    if (call.flush()) this.channel.resumeRequest()
  }

  // ── RequestSink: the client ───────────────────────────────────────────────────────────────────────────────────────

  onRequestBody(bytes: Buffer, from: number, to: number): void {
    this.exchange.bytesIn += to - from
    this.#keep(bytes, from, to)
    this.call?.write(bytes, from, to)
  }

  onRequestEnd(): void {
    this.#bodyEnded = true
    this.call?.end()
  }

  onRequestFlush(): boolean {
    return this.call === undefined ? this.over : this.call.flush()
  }

  onResponseDrain(): void {
    this.call?.resume()
  }

  onClientGone(error: FairleadError | undefined): void {
    if (this.over) return
    this.call?.abort()
    if (error !== undefined && !this.answering) {
      this.rescue(error)
      return
    }
    this.exchange.flag = error === undefined ? 'DC' : 'DPE'
    if (error !== undefined) this.channel.abort()
    this.finish()
  }

  #keep(bytes: Buffer, from: number, to: number): void {
    this.#keptBytes += to - from
    if (this.#keptBytes > REPLAY_BYTES_MAX) this.#kept = undefined
    else {
      this.#kept ??= []
      this.#kept.push(Buffer.from(bytes.subarray(from, to)))
    }
  }

  // ── ResponseSink: the upstream ────────────────────────────────────────────────────────────────────────────────────

  protected passHead(head: ResponseHead, fields: Fields): void {
    this.answering = true
    this.#kept = undefined
    this.#keptBytes = Number.POSITIVE_INFINITY
    this.exchange.status = head.status
    this.exchange.upstreamMs = this.#parts.clock.now() - this.#openedMs
    this.channel.respond(
      fields === head.fields ? head : { status: head.status, fields, body: head.body },
      this.ownLines(),
    )
  }

  onBody(bytes: Buffer, from: number, to: number): void {
    if (this.over) return
    this.exchange.bytesOut += to - from
    this.channel.write(bytes, from, to)
  }

  onEnd(): void {
    this.call = undefined
    if (this.over) return
    this.channel.end()
    this.finish()
  }

  onResponseFlush(): boolean {
    return this.answering && !this.over ? this.channel.flush() : true
  }

  onRequestDrain(): void {
    this.channel.resumeRequest()
  }

  onFailure(failure: UpstreamFailure): void {
    this.call = undefined
    if (this.over) return
    this.#logFailure(failure)
    if (!this.answering) {
      this.failed(failure)
      return
    }
    this.breakOff(flagOf(failure.error.code), failure.error.code)
  }

  /** What the log knows and the client is not told. */
  #logFailure({ error, reached }: UpstreamFailure): void {
    const { code } = error
    const { service, upstream, instance } = this.exchange
    const level = code === 'UPSTREAM_TLS' || code === 'ENDPOINT_MISMATCH' || code === 'INTERNAL' ? 'warn' : 'debug'
    this.#parts.log[level](
      { code, detail: error.message, service, upstream, instance, reached, ...error.log },
      'try failed',
    )
  }

  // ── endings ───────────────────────────────────────────────────────────────────────────────────────────────────────

  onDeadline(): void {
    if (this.over) return
    this.call?.abort()
    this.call = undefined
    if (this.answering) {
      this.breakOff('UT', 'UPSTREAM_TIMEOUT')
      return
    }
    this.rescue(new Failure('UPSTREAM_TIMEOUT', 'No answer within the time that the route and the caller allow.'))
  }

  /** The only place that picks a status code. */
  protected rescue(thrown: unknown): void {
    if (this.over) return
    const error = asFairleadError(thrown)
    if (error.code === 'INTERNAL') this.#parts.log.error({ error, ...error.log }, 'request failed')
    const { exchange } = this
    exchange.status = error.spec.status
    exchange.error = error.code
    if (exchange.flag === '-') exchange.flag = flagOf(error.code)
    this.call = undefined
    this.over = true
    if (!this.#bodyEnded) this.channel.closeAfter()
    exchange.bytesOut = answerError(this.channel, error, exchange.requestId, this.ownLines())
    this.#settle()
  }

  /** An answer of ours that is no error (a redirect). */
  protected answer(status: number, fields: Fields): void {
    this.exchange.status = status
    this.over = true
    this.channel.respond({ status, fields, body: 0 }, this.ownLines())
    this.channel.end()
    this.#settle()
  }

  /** The answer began and cannot be completed: the client must see a broken connection, never a short body. */
  protected breakOff(flag: Flag, code: ErrorCode): void {
    this.exchange.flag = flag
    this.exchange.error = code
    this.call = undefined
    this.channel.abort()
    this.finish()
  }

  protected finish(): void {
    this.over = true
    this.#settle()
  }

  #settle(): void {
    if (this.deadlineAt < Number.POSITIVE_INFINITY) this.#parts.deadlines.remove(this)
    this.#kept = undefined
    this.release()
    this.#parts.observer.done(this.exchange)
    if (this.#span !== undefined) endSpan(this.#span, this.exchange)
  }
}

export function newExchange(
  direction: 'outbound' | 'inbound',
  startedMs: number,
  head: Pick<ParsedRequest, 'method' | 'path' | 'host'> | undefined,
  principal: string,
): Exchange {
  return {
    direction,
    startedMs,
    requestId: '',
    trace: NO_TRACE,
    method: head?.method ?? '',
    path: head?.path ?? '',
    authority: head?.host ?? '',
    route: '',
    service: '',
    backend: '',
    version: '',
    instance: '',
    upstream: '',
    principal,
    status: 0,
    flag: '-',
    error: '',
    attempts: 0,
    bytesIn: 0,
    bytesOut: 0,
    upstreamMs: 0,
  }
}

const NO_TRACE = { traceId: '', spanId: '', sampled: false, state: undefined }

function endSpan(span: ActiveSpan, exchange: Exchange): void {
  span.set({
    'http.request.method': exchange.method,
    'http.response.status_code': exchange.status,
    'server.address': exchange.authority,
    'fairlead.service': exchange.service,
    'fairlead.route': exchange.route,
    'fairlead.backend': exchange.backend,
    'fairlead.instance': exchange.instance,
    'fairlead.response_flag': exchange.flag,
    'http.request.resend_count': Math.max(0, exchange.attempts - 1),
  })
  const failed = exchange.status >= 500 || (exchange.direction === 'outbound' && exchange.status >= 400)
  span.end(exchange.error !== '' ? exchange.error : failed ? String(exchange.status) : undefined)
}
