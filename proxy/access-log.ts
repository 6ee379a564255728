// access-log.ts — one JSON line a request, with Istio's key names and ours.
//
// Hot: lines are put together by hand; what a client chose (method, path, authority, request id) is always escaped,
// what belongs to the destination is escaped once and remembered. Lines leave together, after FLUSH_MS or a page; when
// the sink does not keep up, at most BUFFER_BYTES_MAX wait and the rest is dropped and counted.

import type { Clock, Timer } from '../kernel/clock.ts'
import type { Closable } from '../kernel/lifetime.ts'
import type { Exchange, Observer } from './exchange.ts'
import { Recent, sameDestination } from './recent.ts'

export interface LogSink {
  /** False = it buffers; wait for `drain`. */
  write(bytes: Buffer): boolean
  once(event: 'drain', listener: () => void): unknown
}

const FLUSH_MS = 50
/** Lines become bytes one by one: a long text of many pieces would live through garbage collections (−4 µs a request). */
const PAGE_BYTES = 64 * 1024
export const BUFFER_BYTES_MAX = 4 * 1024 * 1024

export class AccessLog implements Observer, Closable {
  readonly #clock: Clock
  readonly #sink: LogSink
  readonly #recent = new Recent<string>(sameDestination)
  #page = NO_PAGE
  #used = 0
  /** Full pages that the sink does not take yet. */
  #full: Buffer[] = []
  #fullBytes = 0
  #timer: Timer | undefined
  #blocked = false
  #second = -1
  #secondText = ''
  /** Lines that were not written because the sink did not keep up. */
  dropped = 0

  constructor(clock: Clock, sink: LogSink) {
    this.#clock = clock
    this.#sink = sink
  }

  done(exchange: Exchange): void {
    if (this.#fullBytes + this.#used > BUFFER_BYTES_MAX) {
      this.dropped++
      return
    }
    // Lines are ASCII (see `quote`): as many bytes as characters.
    const line = this.#line(exchange)
    if (this.#used + line.length > this.#page.length) this.#turnPage(line.length)
    this.#used += this.#page.write(line, this.#used, 'latin1')
    this.#timer ??= this.#clock.after(FLUSH_MS, () => this.flush(), true)
  }

  connection(): void {}

  flush(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#used > 0) this.#putAway()
    this.#write()
  }

  #turnPage(bytes: number): void {
    if (this.#used > 0) this.#putAway()
    this.#write()
    this.#page = Buffer.allocUnsafeSlow(Math.max(PAGE_BYTES, bytes))
  }

  #putAway(): void {
    this.#full.push(this.#page.subarray(0, this.#used))
    this.#fullBytes += this.#used
    // What is left of the page belongs to the next lines.
    this.#page = this.#page.subarray(this.#used)
    this.#used = 0
  }

  #write(): void {
    if (this.#blocked || this.#full.length === 0) return
    const bytes = this.#full.length === 1 ? this.#full[0]! : Buffer.concat(this.#full, this.#fullBytes)
    this.#full = []
    this.#fullBytes = 0
    if (this.#sink.write(bytes)) return
    this.#blocked = true
    this.#sink.once('drain', () => {
      this.#blocked = false
      this.flush()
    })
  }

  async close(): Promise<void> {
    this.#blocked = false
    this.flush()
  }

  #line(exchange: Exchange): string {
    const took = this.#clock.now() - exchange.startedMs
    const started = this.#time(this.#clock.wall() - took)
    const upstreamMs = exchange.upstreamMs > 0 ? decimal(exchange.upstreamMs) : 'null'
    const { trace } = exchange
    return (
      `{"start_time":"${started}","method":${quote(exchange.method)},"path":${quote(exchange.path)},` +
      `"authority":${quote(exchange.authority)},"protocol":"HTTP/1.1","response_code":${exchange.status},` +
      `"response_flags":"${exchange.flag}","response_code_details":"${exchange.error}",` +
      `"bytes_received":${exchange.bytesIn},"bytes_sent":${exchange.bytesOut},"duration":${decimal(took)},` +
      `"upstream_service_time":${upstreamMs},"request_id":${quote(exchange.requestId)},` +
      `"trace_id":"${trace.traceId}","span_id":"${trace.spanId}","sampled":${trace.sampled},` +
      `"attempts":${exchange.attempts},${this.#destination(exchange)}}\n`
    )
  }

  #destination(exchange: Exchange): string {
    const known = this.#recent.find(exchange)
    if (known !== undefined) return known
    const { direction, route, service, backend, version, instance, upstream, principal } = exchange
    const text =
      `"direction":"${direction}","route_name":${quote(route)},"upstream_cluster":${quote(backend)},` +
      `"upstream_host":${quote(upstream)},"service":${quote(service)},"version":${quote(version)},` +
      `"instance":${quote(instance)},"downstream_peer_uri_san":${quote(principal)}`
    this.#recent.keep(exchange, text)
    return text
  }

  /** RFC 3339 with milliseconds; the part down to the second is made once a second. */
  #time(wallMs: number): string {
    const second = Math.floor(wallMs / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 20)
    }
    return `${this.#secondText}${THREE_DIGITS[Math.floor(wallMs - second * 1000)]}Z`
  }
}

const NO_PAGE = Buffer.alloc(0)
const PLAIN = /^[\w./:@ -]*$/

/** JSON string in ASCII; the common case needs no escaping. */
function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  return JSON.stringify(text).replace(BEYOND_ASCII, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const BEYOND_ASCII = /[\u007f-\uffff]/g
const TWO_DIGITS = Array.from({ length: 100 }, (_, n) => String(n).padStart(2, '0'))
const THREE_DIGITS = Array.from({ length: 1000 }, (_, n) => String(n).padStart(3, '0'))

/** Two decimals, by whole numbers: printing a double costs ten times as much. */
function decimal(ms: number): string {
  const hundredths = Math.round(ms * 100)
  const whole = Math.floor(hundredths / 100)
  return `${whole}.${TWO_DIGITS[hundredths - whole * 100]}`
}
