// fake-sidecar.ts — a mesh without TLS, for tests of scheduler and workers: real HTTP servers, one per instance.
//
// Each joined instance has its "own sidecar": the local surface (self, quote, outcome) and forwarding by Host and
// `fairlead-instance`. The split is the sidecar's own (proxy/policy/split.ts). Faults are switched by the test: breakers,
// refusals before forwarding, streams cut in the middle.

import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  HEADERS,
  OUTCOME_PATH,
  type OutcomeReport,
  QUOTE_PATH,
  type QuoteRequest,
  SELF_PATH,
} from '../../kernel/local-surface.ts'
import { Split } from '../../proxy/policy/split.ts'

export interface Member {
  readonly instance: string
  readonly service: string
  readonly version: string
}

interface Joined extends Member {
  readonly server: Server
  appPort: number | undefined
}

export interface Weight {
  readonly backend: string
  readonly version: string
  readonly weight: number
}

interface Seen {
  readonly path: string
  readonly headers: Record<string, string | string[] | undefined>
  readonly instance: string
  body: string
}

export type Refuse = (
  seen: Seen,
) => { readonly status: number; readonly code: string; readonly retryAfter?: string } | 'swallow' | undefined

export class FakeMesh {
  readonly #members = new Map<string, Joined>()
  readonly #open = new Map<string, Set<() => void>>()
  readonly quotes: QuoteRequest[] = []
  readonly outcomes: OutcomeReport['outcomes'] = []
  readonly unused: OutcomeReport['unused'] = []
  /** Requests that were forwarded to an app. */
  readonly forwarded: Seen[] = []
  /** Set before the first quote. */
  weights: Weight[] = []
  #split: Split | undefined
  /** Backends whose breaker is open. */
  readonly openBreakers = new Set<string>()
  refuse: Refuse = () => undefined
  /** Identity that is told to apps instead of the caller's own. */
  impersonate: string | undefined
  quoteTtlMs = 10_000

  /** The origin of this instance's sidecar. */
  async join(member: Member): Promise<string> {
    const server = createServer((request, response) => void this.#handle(member, request, response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    this.#members.set(member.instance, { ...member, server, appPort: undefined })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  app(instance: string, port: number | undefined): void {
    this.#members.get(instance)!.appPort = port
  }

  /** Cuts every open request to that instance's app. */
  cut(instance: string): number {
    const open = [...(this.#open.get(instance) ?? [])]
    for (const cut of open) cut()
    return open.length
  }

  async close(): Promise<void> {
    for (const { server } of this.#members.values()) {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }

  async #handle(member: Member, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/'
    if (!path.startsWith('/.fairlead/')) return this.#forward(member, path, request, response)
    const body = await read(request)
    if (path === SELF_PATH) return json(response, 200, { ...member, ...selfOf(member) })
    if (path === QUOTE_PATH) return json(response, 200, this.#quote(JSON.parse(body) as QuoteRequest))
    if (path === OUTCOME_PATH) {
      this.#outcome(JSON.parse(body) as Partial<OutcomeReport>)
      response.writeHead(204).end()
      return
    }
    json(response, 404, {})
  }

  #quote(request: QuoteRequest): object {
    this.quotes.push(request)
    const { units, pinned } = request
    const split = pinned === undefined ? this.#share(units) : undefined
    const shares = this.weights.map(({ backend, version }, index) => {
      return { backend, version, units: split ? split[index]! : version === pinned ? units : 0 }
    })
    const isOpen = (share: { backend: string }): boolean => this.openBreakers.has(share.backend)
    return {
      quote: `q${this.quotes.length}`,
      expiresInMs: this.quoteTtlMs,
      backends: shares.filter((share) => share.units > 0 && !isOpen(share)),
      refused: shares
        .filter((share) => share.units > 0 && isOpen(share))
        .map((share) => ({ ...share, code: 'UPSTREAM_CIRCUIT_OPEN', retryAfterMs: 50 })),
      snapshotVersion: '1',
    }
  }

  #share(units: number): number[] {
    this.#split ??= new Split(this.weights.map(({ backend, weight }) => ({ key: backend, weight })))
    return this.#split.share(units)
  }

  #outcome(report: Partial<OutcomeReport>): void {
    this.outcomes.push(...(report.outcomes ?? []))
    for (const unused of report.unused ?? []) {
      this.unused.push(unused)
      this.#split?.giveBack(unused.backend, unused.units)
    }
  }

  #forward(from: Member, path: string, request: IncomingMessage, response: ServerResponse): void {
    const to = this.#target(request)
    const seen: Seen = { path, headers: request.headers, instance: to?.instance ?? '', body: '' }
    const refusal = this.refuse(seen)
    if (refusal === 'swallow') {
      request.destroy()
      return
    }
    if (refusal) {
      request.resume()
      const retry = refusal.retryAfter === undefined ? {} : { 'retry-after': refusal.retryAfter }
      response.writeHead(refusal.status, { [HEADERS.error]: refusal.code, ...retry }).end('{}')
      return
    }
    if (to?.appPort === undefined) {
      sidecarError(request, response, to ? 'UPSTREAM_CONNECT_FAILED' : 'INSTANCE_GONE')
      return
    }
    this.forwarded.push(seen)
    const identity = this.impersonate ?? from.service
    const headers = {
      ...request.headers,
      'x-forwarded-client-cert': `By=spiffe://test/x;URI=spiffe://fairlead.local/ns/default/sa/${identity}`,
    }
    const upstream = httpRequest({ host: '127.0.0.1', port: to.appPort, method: request.method, path, headers })
    const cut = (): void => {
      upstream.destroy()
      response.destroy()
    }
    const open = this.#open.get(to.instance) ?? new Set()
    this.#open.set(to.instance, open.add(cut))
    response.once('close', () => {
      open.delete(cut)
      upstream.destroy()
    })
    upstream.once('response', (answer) => {
      response.writeHead(answer.statusCode!, { ...answer.headers, [HEADERS.instance]: to.instance })
      response.flushHeaders()
      answer.on('error', () => response.destroy())
      answer.pipe(response)
    })
    upstream.on('error', () => {
      if (response.headersSent || response.destroyed) response.destroy()
      else sidecarError(request, response, 'UPSTREAM_CONNECT_FAILED')
    })
    request.on('data', (chunk: Buffer) => {
      seen.body += chunk.toString('utf8')
    })
    request.pipe(upstream)
  }

  #target(request: IncomingMessage): Joined | undefined {
    const instance = request.headers[HEADERS.instance]
    const service = (request.headers.host ?? '').split('.')[0]
    if (typeof instance === 'string') return this.#members.get(instance)
    return [...this.#members.values()].find((member) => member.service === service)
  }
}

function selfOf(member: Member): object {
  return {
    namespace: 'default',
    spiffeId: `spiffe://fairlead.local/ns/default/sa/${member.service}`,
    snapshotVersion: '1',
  }
}

function sidecarError(request: IncomingMessage, response: ServerResponse, code: string): void {
  request.resume()
  response.writeHead(503, { [HEADERS.error]: code }).end('{}')
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
