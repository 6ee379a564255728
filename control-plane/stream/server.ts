// server.ts — the port for sidecars: TLS 1.3, POST /v1/identity/sign and POST /v1/stream.
//
// A client certificate is asked for and judged by certs/verify on its DER, never by OpenSSL's verdict alone: the sign
// endpoint must also answer a sidecar that has none yet, or whose certificate just ended and which brings a join token.
// No session tickets: a resumed session would carry no chain.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { SERVER_PEER_OPTIONS, verifyPeer } from '../../certs/peer.ts'
import { explain } from '../../certs/reasons.ts'
import { parseServiceId } from '../../certs/spiffe.ts'
import type { Clock, WallMs } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import { parseJson, parseWith } from '../../kernel/parse.ts'
import { type Random, uuidv7 } from '../../kernel/random.ts'
import { parseFromSidecar, SIGN_PATH, SignRequestSchema, STREAM_PATH, STREAM_PROTOCOL } from '../contract.ts'
import { readBody, sendJson, sendProblem } from '../http-answer.ts'
import type { Authorities } from '../identity/authorities.ts'
import type { OwnIdentity } from '../identity/own-identity.ts'
import type { Signer } from '../identity/sign.ts'
import { listening } from '../listening.ts'
import type { Listen } from '../loopback.ts'
import type { Revocations } from '../state/revocations.ts'
import { LineReader } from './lines.ts'
import { FROM_SIDECAR_LINE_BYTES_MAX, type Hello, SidecarStream } from './sidecar-stream.ts'
import type { Sidecars } from './sidecars.ts'

const SIGN_BYTES_MAX = 32 * 1024
const HEAD_MS_MAX = 10_000
const BODY_MS_MAX = 10_000
const HANDSHAKE_MS_MAX = 10_000
/** Streams and renewals; SIDECARS_MAX sidecars reconnecting at once still fit. */
const CONNECTIONS_MAX = 20_000

export interface StreamServerOptions {
  readonly listen: Listen
  readonly trustDomain: string
  readonly authorities: Authorities
  readonly own: OwnIdentity
  readonly signer: Signer
  readonly sidecars: Sidecars
  readonly revocations: Revocations
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface StreamServer extends Closable {
  readonly port: number
}

interface Peer {
  readonly spiffeId: string
  readonly serial: string
  readonly notAfter: WallMs
}

export async function startStreamServer(options: StreamServerOptions): Promise<StreamServer> {
  const { own, listen, sidecars } = options
  const server = createServer({
    ...SERVER_PEER_OPTIONS,
    ...own.current,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: HANDSHAKE_MS_MAX,
    headersTimeout: HEAD_MS_MAX,
    requestTimeout: 0, // a stream's request never ends; bodies of /sign have their own limit
  })
  own.onChange((credentials) => server.setSecureContext({ ...SERVER_PEER_OPTIONS, ...credentials }))
  server.maxConnections = CONNECTIONS_MAX
  server.on('request', (request, response) => void serve(options, request, response))
  await listening(server, listen)
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    await sidecars.close()
    server.closeIdleConnections()
    const hard = options.clock.after(3_000, () => server.closeAllConnections(), true)
    await closed
    hard.cancel()
  }
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      closing ??= close()
      return closing
    },
  }
}

async function serve(options: StreamServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const requestId = uuidv7(options.clock.wall(), options.random)
  request.on('error', () => undefined) // a peer that breaks off; `close` follows
  try {
    if (request.method !== 'POST') throw new FairleadError('BAD_REQUEST', 'Only POST is served here.')
    if (request.url === SIGN_PATH) await sign(options, request, response)
    else if (request.url === STREAM_PATH) await stream(options, request, response)
    else throw new FairleadError('ROUTE_NOT_FOUND', 'No such path on the control plane.')
  } catch (thrown) {
    const error = asFairleadError(thrown)
    const about = { requestId, code: error.code, detail: error.message, peer: request.socket.remoteAddress }
    if (error.spec.status >= 500) options.log.error({ ...about, error }, 'sidecar request failed')
    else options.log.warn({ ...about, ...error.log }, 'sidecar request refused')
    sendProblem(response, error, requestId)
  }
}

// ── sign ────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function sign(options: StreamServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await within(options.clock, request, readBody(request, SIGN_BYTES_MAX))
  const parsed = parseWith(SignRequestSchema, parseJson(body, 'sign request', SIGN_BYTES_MAX), 'sign request')
  // With a token the certificate, perhaps an ended one, plays no part.
  const spiffeId = parsed.joinToken === undefined ? peerOf(options, request).spiffeId : undefined
  const address = request.socket.remoteAddress ?? 'unknown'
  sendJson(response, await options.signer.sign(parsed, { spiffeId, address }))
}

/** @throws FairleadError PEER_IDENTITY_INVALID */
function peerOf(options: StreamServerOptions, request: IncomingMessage): Peer {
  const { authorities, clock, trustDomain } = options
  const verdict = verifyPeer(request.socket as TLSSocket, authorities.bundle, {
    now: clock.wall(),
    trustDomain,
    revoked: options.revocations.current,
  })
  if (verdict.ok) return { spiffeId: verdict.spiffeId, serial: verdict.serial, notAfter: verdict.validUntil }
  const log = { claims: verdict.spiffeId, reasons: verdict.reasons }
  const text = `The client certificate was refused. ${explain(verdict.reasons)}`
  throw new FairleadError('PEER_IDENTITY_INVALID', text, { log })
}

// ── stream ──────────────────────────────────────────────────────────────────────────────────────────────────────────

async function stream(options: StreamServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const peer = peerOf(options, request)
  const { hello, rest } = await within(options.clock, request, readHello(request))
  checkHello(options, peer, hello)
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
  response.flushHeaders()
  request.socket.setNoDelay(true)
  const sidecar: SidecarStream = new SidecarStream({
    hello,
    spiffeId: peer.spiffeId,
    serial: peer.serial,
    leafNotAfter: peer.notAfter,
    wire: {
      write: (text) => response.write(text),
      end: () => response.end(),
      destroy: () => request.socket.destroy(),
    },
    clock: options.clock,
    log: options.log,
    onReply: (reply) => options.sidecars.reply(sidecar, reply),
    onClosed: () => options.sidecars.disconnect(sidecar),
  })
  response.on('drain', () => sidecar.onDrain())
  request.on('data', (chunk: Buffer) => sidecar.onData(chunk))
  request.on('end', () => sidecar.close())
  response.on('close', () => sidecar.close())
  options.sidecars.connect(sidecar)
  if (rest.length > 0) sidecar.onData(rest)
  request.resume()
}

function checkHello(options: StreamServerOptions, peer: Peer, hello: Hello): void {
  if (hello.protocol !== STREAM_PROTOCOL) {
    throw new FairleadError('UNSUPPORTED', `Stream protocol ${hello.protocol}; this build speaks ${STREAM_PROTOCOL}.`)
  }
  const proven = parseServiceId(peer.spiffeId)
  if (proven.service !== hello.service || proven.namespace !== hello.namespace) {
    const text = `The certificate is of ${proven.namespace}/${proven.service}, hello of ${hello.namespace}/${hello.service}.`
    throw new FairleadError('PEER_IDENTITY_INVALID', text)
  }
  options.sidecars.checkRoom(hello.instance, hello.service, hello.namespace)
}

/** The first line, and the bytes behind it. */
function readHello(request: IncomingMessage): Promise<{ hello: Hello; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    const reader = new LineReader(FROM_SIDECAR_LINE_BYTES_MAX)
    const stop = (): void => {
      request.pause()
      request.off('data', onData).off('close', onClose).off('end', onClose)
    }
    const onClose = (): void => reject(new FairleadError('BAD_REQUEST', 'The stream ended before its hello.'))
    const onData = (chunk: Buffer): void => {
      try {
        const end = chunk.indexOf(10)
        const [line] = reader.push(end < 0 ? chunk : chunk.subarray(0, end + 1))
        if (line === undefined) return
        stop()
        const hello = parseFromSidecar(line)
        if (hello.t !== 'hello') throw new FairleadError('BAD_REQUEST', 'The first line must be a hello.')
        resolve({ hello, rest: chunk.subarray(end + 1) })
      } catch (error) {
        stop()
        reject(error)
      }
    }
    request.on('data', onData).on('close', onClose).on('end', onClose)
  })
}

/** A body that dawdles is cut off. */
async function within<T>(clock: Clock, request: IncomingMessage, work: Promise<T>): Promise<T> {
  const late = new FairleadError('REQUEST_TIMEOUT', 'The request body did not arrive in time.')
  let timer: ReturnType<Clock['after']> | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = clock.after(BODY_MS_MAX, () => reject(late), true)
  })
  try {
    return await Promise.race([work, timeout])
  } catch (error) {
    work.catch(() => undefined)
    if (error === late) request.pause()
    throw error
  } finally {
    timer?.cancel()
  }
}
