// access-log.ts — one JSON line a request, with Istio's key names and ours.
//
// Hot: lines are put together by hand; what a client chose (method, path, authority, request id) is always escaped,
// what belongs to the destination is escaped once and remembered. Lines leave together, after FLUSH_MS or 64 KiB; when
// the sink does not keep up, at most BUFFER_BYTES_MAX wait and the rest is dropped and counted.

import type { Clock, Timer } from '../kernel/clock.ts'
import type { Closable } from '../kernel/lifetime.ts'
import type { Exchange, Observer } from './exchange.ts'

export interface LogSink {
  /** False = it buffers; wait for `drain`. */
  write(text: string): boolean
  once(event: 'drain', listener: () => void): unknown
}

const FLUSH_MS = 50
const FLUSH_CHARS = 64 * 1024
export const BUFFER_BYTES_MAX = 4 * 1024 * 1024
const REMEMBERED_MAX = 4096

export class AccessLog implements Observer, Closable {
  readonly #clock: Clock
  readonly #sink: LogSink
  readonly #remembered = new Map<string, string>()
  #buffer = ''
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
    if (this.#buffer.length > BUFFER_BYTES_MAX) {
      this.dropped++
      return
    }
    this.#buffer += this.#line(exchange)
    if (this.#buffer.length >= FLUSH_CHARS) this.flush()
    else this.#timer ??= this.#clock.after(FLUSH_MS, () => this.flush(), true)
  }

  connection(): void {}

  flush(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#blocked || this.#buffer === '') return
    const text = this.#buffer
    this.#buffer = ''
    if (this.#sink.write(text)) return
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
    const { direction, route, service, backend, version, instance, upstream, principal } = exchange
    const key = `${direction} ${route} ${backend} ${instance} ${upstream} ${principal} ${service} ${version}`
    const known = this.#remembered.get(key)
    if (known !== undefined) return known
    const text =
      `"direction":"${direction}","route_name":${quote(route)},"upstream_cluster":${quote(backend)},` +
      `"upstream_host":${quote(upstream)},"service":${quote(service)},"version":${quote(version)},` +
      `"instance":${quote(instance)},"downstream_peer_uri_san":${quote(principal)}`
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear()
    this.#remembered.set(key, text)
    return text
  }

  /** RFC 3339 with milliseconds; the part down to the second is made once a second. */
  #time(wallMs: number): string {
    const second = Math.floor(wallMs / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 20)
    }
    return `${this.#secondText}${String(Math.floor(wallMs - second * 1000)).padStart(3, '0')}Z`
  }
}

const PLAIN = /^[\w./:@ -]*$/

/** JSON string; the common case needs no escaping. */
function quote(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text)
}

function decimal(ms: number): string {
  return String(Math.round(ms * 100) / 100)
}
