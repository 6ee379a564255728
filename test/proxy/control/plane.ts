// plane.ts — a control plane for tests of the sidecar's side: real TLS, real certificates, scripted answers.

import type { createPublicKey } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'
import { signLeaf } from '../../../certs/ca.ts'
import { parseCsr } from '../../../certs/csr.ts'
import { SERVER_PEER_OPTIONS, verifyPeer } from '../../../certs/peer.ts'
import {
  type FromSidecar,
  parseFromSidecar,
  SIGN_PATH,
  type SignAnswer,
  SignRequestSchema,
  type ToSidecar,
} from '../../../control-plane/contract.ts'
import { systemClock } from '../../../kernel/clock.ts'
import { systemRandom } from '../../../kernel/random.ts'
import { type TestPki, testPki } from '../../support/pki.ts'

export interface SignCall {
  readonly joinToken: string | undefined
  /** SPIFFE ID of the client certificate; '' without a valid one. */
  readonly peer: string
}

export interface StreamCall {
  readonly peer: string
  readonly said: FromSidecar[]
  readonly closed: () => boolean
  send(message: ToSidecar | { t: string; snapshot?: unknown }): void
  raw(text: string): void
  end(): void
  destroy(): void
}

export interface Plane {
  readonly pki: TestPki
  readonly url: URL
  readonly signCalls: SignCall[]
  readonly streams: StreamCall[]
  /** Answers the next calls: a status refuses, otherwise the answer may be changed. */
  onSign: (call: SignCall, answer: SignAnswer) => SignAnswer | number | { status: number; retryAfter: string }
  /** A status refuses. */
  onStream: (call: StreamCall) => number | undefined
  ttlMs: number
  close(): Promise<void>
}

export async function startPlane(
  options: { pki?: TestPki; identity?: string; namespace?: string } = {},
): Promise<Plane> {
  const pki = options.pki ?? (await testPki())
  const own = await pki.issue(options.identity ?? 'control-plane', { namespace: options.namespace ?? 'fairlead' })
  const server = createServer({ ...SERVER_PEER_OPTIONS, key: own.keyPem, cert: own.chainPem, requestTimeout: 0 })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()))
  const plane: Plane = {
    pki,
    url: new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`),
    signCalls: [],
    streams: [],
    onSign: (_call, answer) => answer,
    onStream: () => undefined,
    ttlMs: 3_600_000,
    async close() {
      server.closeAllConnections()
      await new Promise<void>((done) => server.close(() => done()))
    },
  }
  server.on('request', (request, response) => {
    const peer = peerOf(pki, request.socket as TLSSocket)
    if (request.url === SIGN_PATH) void sign(plane, peer, request, response)
    else stream(plane, peer, request, response)
  })
  onTestFinished(() => plane.close())
  return plane
}

function peerOf(pki: TestPki, socket: TLSSocket): string {
  const verdict = verifyPeer(socket, pki.bundle, { now: systemClock.wall(), trustDomain: pki.trustDomain })
  return verdict.ok ? verdict.spiffeId : ''
}

async function sign(plane: Plane, peer: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  const { csr, joinToken } = SignRequestSchema.parse(JSON.parse(text))
  const call = { joinToken, peer }
  plane.signCalls.push(call)
  const spiffeId = joinToken === undefined ? peer : `spiffe://${plane.pki.trustDomain}/ns/default/sa/${joinToken}`
  const { publicKey } = await parseCsr(csr)
  const leaf = spiffeId === '' ? undefined : await leafFor(plane, spiffeId, publicKey)
  const answer: SignAnswer = {
    certificateChain: leaf?.chainPem ?? '',
    trustBundle: [plane.pki.bundlePem],
    spiffeId,
    notBefore: '',
    notAfter: '',
  }
  const given = plane.onSign(call, answer)
  if (typeof given === 'number') {
    response.writeHead(given).end(JSON.stringify({ code: 'SOME_CODE', detail: 'because' }))
  } else if ('retryAfter' in given) {
    const { status, retryAfter } = given
    response
      .writeHead(status, { 'retry-after': retryAfter })
      .end(JSON.stringify({ code: 'RATE_LIMITED', detail: 'wait' }))
  } else response.end(JSON.stringify(given))
}

async function leafFor(plane: Plane, spiffeId: string, publicKey: ReturnType<typeof createPublicKey>) {
  const now = systemClock.wall()
  const { intermediate } = plane.pki
  return signLeaf(intermediate, { csrPublicKey: publicKey, spiffeId, ttlMs: plane.ttlMs, now, random: systemRandom })
}

function stream(plane: Plane, peer: string, request: IncomingMessage, response: ServerResponse): void {
  const said: FromSidecar[] = []
  let closed = false
  let rest = ''
  request.setEncoding('utf8')
  request.on('error', () => undefined)
  request.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    for (const line of lines) said.push(parseFromSidecar(line))
  })
  request.socket.on('close', () => (closed = true))
  const call: StreamCall = {
    peer,
    said,
    closed: () => closed,
    send: (message) => void response.write(`${JSON.stringify(message)}\n`),
    raw: (text) => void response.write(text),
    end: () => void response.end(),
    destroy: () => void request.socket.destroy(),
  }
  plane.streams.push(call)
  const refused = plane.onStream(call)
  response.writeHead(refused ?? 200, { 'content-type': 'application/x-ndjson' })
  if (refused === undefined) response.flushHeaders()
  else response.end()
}
