// worker-bench.ts — one worker, its sidecar (fake) and a scheduler that only grants sessions as the test says.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Clock, systemClock } from '../../kernel/clock.ts'
import { silentLog } from '../../kernel/log.ts'
import { Registry } from '../../kernel/metrics.ts'
import { systemRandom } from '../../kernel/random.ts'
import {
  type DispatchJob,
  formatLine,
  HEARTBEAT_PATH,
  type Heartbeat,
  LEAVE_PATH,
  type Leave,
  parseWorkerEvent,
  SESSION_PATH,
  type SessionRequest,
  type WorkerEvent,
} from '../../workers/contract.ts'
import type { AnyHandler } from '../../workers/handler.ts'
import { startWorker, type Worker, type WorkerOptions } from '../../workers/worker.ts'
import { FakeMesh } from './fake-sidecar.ts'

export class SessionGranter {
  readonly registered: SessionRequest[] = []
  readonly beats: Heartbeat[] = []
  readonly left: Leave[] = []
  /** The session that is granted next; undefined = 503 to everything. */
  grant: string | undefined = 's1'
  /** Sessions that heartbeats may name. */
  readonly known = new Set<string>()
  stop: { job: string; token: string }[] = []
  readonly server: Server

  constructor() {
    this.server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
      const [status, answer] = this.#answer(request.url!, JSON.parse(Buffer.concat(chunks).toString()))
      response.writeHead(status, { 'content-type': 'application/json' }).end(answer && JSON.stringify(answer))
    })
  }

  #answer(path: string, body: unknown): [number, object | undefined] {
    if (this.grant === undefined) return [503, { code: 'SHARD_UNAVAILABLE' }]
    if (path === SESSION_PATH) {
      this.registered.push(body as SessionRequest)
      this.known.add(this.grant)
      return [200, { session: this.grant, ttlMs: 30_000, heartbeatMs: 10_000 }]
    }
    const { session } = body as Heartbeat
    if (!this.known.has(session)) return [409, { code: 'SESSION_UNKNOWN' }]
    if (path === LEAVE_PATH) this.left.push(body as Leave)
    if (path !== HEARTBEAT_PATH) return [204, undefined]
    this.beats.push(body as Heartbeat)
    return [200, { ttlMs: 30_000, stop: this.stop.splice(0) }]
  }
}

export class WorkerBench {
  readonly mesh = new FakeMesh()
  readonly scheduler = new SessionGranter()
  worker!: Worker
  #token = 0

  /** `session: false`: no scheduler is there. */
  async start(
    handlers: readonly AnyHandler[],
    options: Partial<WorkerOptions> & { session?: boolean } = {},
  ): Promise<void> {
    const { session = false, ...extra } = options
    await this.mesh.join({ instance: 'scheduler-1', service: 'scheduler', version: 'v1' })
    if (session) {
      await new Promise<void>((resolve) => this.scheduler.server.listen(0, '127.0.0.1', resolve))
      this.mesh.app('scheduler-1', (this.scheduler.server.address() as AddressInfo).port)
    }
    const clock: Clock = extra.clock ?? systemClock
    this.worker = await startWorker({
      handlers,
      version: 'v1',
      listen: { host: '127.0.0.1', port: 0 },
      sidecar: await this.mesh.join({ instance: 'worker-v1-1', service: 'worker', version: 'v1' }),
      slots: 4,
      log: silentLog,
      random: systemRandom,
      registry: new Registry(),
      drainRunningMs: 2_000,
      drainAcksMs: 50,
      ...extra,
      clock,
    })
  }

  async close(): Promise<void> {
    await this.worker?.close()
    this.scheduler.server.closeAllConnections()
    if (this.scheduler.server.listening) await new Promise((resolve) => this.scheduler.server.close(resolve))
    await this.mesh.close()
  }

  job(type: string, extra: Partial<DispatchJob> = {}): DispatchJob {
    const token = String(++this.#token)
    const job = `job-${token}`
    return { job, attempt: 1, token, type, env: {}, labels: {}, executionTimeoutMs: 60_000, effectKey: job, ...extra }
  }

  post(path: string, body: string | object, headers: Record<string, string> = {}): Promise<Response> {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const type = path.endsWith('/dispatch') ? 'application/x-ndjson' : 'application/json'
    return fetch(`http://127.0.0.1:${this.worker.port}${path}`, {
      method: 'POST',
      headers: { 'content-type': type, ...headers },
      body: text,
    })
  }

  async dispatch(...jobs: DispatchJob[]): Promise<WorkerEvent[]> {
    const answer = await this.post('/fairlead/v1/dispatch', jobs.map(formatLine).join(''))
    return eventsOf(await answer.text())
  }

  /** The events of a stream as they come. */
  async open(path: string, body: string | object): Promise<EventReader> {
    return new EventReader(await this.post(path, body))
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.worker.port}/metrics`)).text()
    return Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text)?.[1])
  }
}

export const eventsOf = (text: string): WorkerEvent[] => text.trim().split('\n').filter(Boolean).map(parseWorkerEvent)

export class EventReader {
  readonly response: Response
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  #text = ''

  constructor(response: Response) {
    this.response = response
    this.#reader = response.body!.getReader()
  }

  /** The next event that `wanted` takes; undefined at the end of the stream. */
  async next(wanted: (event: WorkerEvent) => boolean = () => true): Promise<WorkerEvent | undefined> {
    for (;;) {
      const at = this.#text.indexOf('\n')
      if (at >= 0) {
        const event = parseWorkerEvent(this.#text.slice(0, at))
        this.#text = this.#text.slice(at + 1)
        if (wanted(event)) return event
        continue
      }
      const { done, value } = await this.#reader.read()
      if (done) return undefined
      this.#text += Buffer.from(value).toString('utf8')
    }
  }

  cancel(): Promise<void> {
    return this.#reader.cancel()
  }
}
