// dial.ts — opens one connection: plain, or mTLS to a peer that proves the expected SPIFFE ID.
//
// Nothing of a request is written before the peer is proven. Whatever fails here never reached the app.
// Reads go into one buffer per connection (`onread`): no allocation per read (−10 %, reference/dataplane.md).

import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { verifyPeer } from '../../certs/peer.ts'
import { explain } from '../../certs/reasons.ts'
import type { Revoked } from '../../certs/revoked.ts'
import type { Clock } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { IdentitySource } from '../exchange.ts'
import { clientContext } from '../tls-context.ts'
import { isForbiddenHost, safeLookup } from './safe-lookup.ts'

/** One TLS record, and what a loopback read brings at most in practice. */
const TLS_READ_BYTES = 16 * 1024
const PLAIN_READ_BYTES = 64 * 1024
const KEEP_ALIVE_PROBE_MS = 30_000

export interface Target {
  readonly address: string
  readonly port: number
  /** SPIFFE ID that the peer must prove; '' = plain TCP. */
  readonly identity: string
  readonly connectTimeoutMs: number
  /** Protocols to offer, best first. Not for plain TCP. */
  readonly alpn: readonly string[]
}

export interface DialParts {
  readonly clock: Clock
  readonly identity: IdentitySource
  /** Peers that count no more. */
  readonly revoked?: () => Revoked | undefined
}

/** What takes the bytes of a connection. */
export interface Reader {
  /** `bytes[0…count]` arrived. False = read no more for now. */
  onRead(count: number, bytes: Buffer): boolean
}

export interface Dialled {
  readonly socket: Socket
  /** The protocol that the peer chose; '' on plain TCP. */
  readonly protocol: string
  /** Until then the peer's chain is valid, by the wall clock. */
  readonly validUntil: number
  /** Of the peer's certificate; '' = plain. */
  readonly serial: string
  /** To be called at once. */
  attach(reader: Reader): void
}

/** Calls `done` once, never before it returns. Destroying the returned socket gives the attempt up without a call. */
export function dial(parts: DialParts, target: Target, done: (result: Dialled | FairleadError) => void): Socket {
  let reader: Reader | undefined
  const onread = {
    buffer: new Uint8Array(0) as Buffer,
    callback: (count: number, bytes: Uint8Array): boolean => reader?.onRead(count, bytes as Buffer) ?? true,
  }
  const socket = target.identity === '' ? dialPlain(target, onread) : dialMesh(parts, target, onread)
  let settled = false
  const settle = (result: Dialled | FairleadError): void => {
    if (settled) return
    settled = true
    timer.cancel()
    if (result instanceof FairleadError) socket.destroy()
    done(result)
  }
  const timer = parts.clock.after(
    target.connectTimeoutMs,
    () => settle(connectFailed(target, `no connection within ${target.connectTimeoutMs} ms`)),
    true,
  )
  socket.on('error', (error: NodeJS.ErrnoException) => settle(failure(target, error)))
  socket.on('close', () => settle(connectFailed(target, 'closed during the handshake')))
  socket.once(target.identity === '' ? 'connect' : 'secureConnect', () => {
    if (settled) return
    const proof = target.identity === '' ? UNPROVEN : prove(parts, target, socket as TLSSocket)
    if (proof instanceof FairleadError) return settle(proof)
    const protocol = target.identity === '' ? '' : (socket as TLSSocket).alpnProtocol || ''
    const attach = (taken: Reader): void => {
      reader = taken
    }
    settle({ socket, protocol, attach, ...proof })
  })
  return socket
}

type OnRead = { buffer: Buffer; callback: (count: number, bytes: Uint8Array) => boolean }

function dialPlain(target: Target, onread: OnRead): Socket {
  if (isForbiddenHost(target.address)) {
    throw new FairleadError('EGRESS_DENIED', `${target.address} is an address that is never called.`)
  }
  onread.buffer = Buffer.allocUnsafeSlow(PLAIN_READ_BYTES)
  return connectTcp({
    host: target.address,
    port: target.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
    lookup: safeLookup,
    onread,
  })
}

function dialMesh(parts: DialParts, target: Target, onread: OnRead): Socket {
  const identity = parts.identity.current()
  if (identity === undefined) throw new FairleadError('NOT_READY', 'This sidecar has no certificate yet.')
  onread.buffer = Buffer.allocUnsafeSlow(TLS_READ_BYTES)
  const context = clientContext(identity)
  const options: ConnectionOptions & { onread: OnRead } = {
    host: target.address,
    port: target.port,
    ...context.options,
    secureContext: context.secureContext,
    ALPNProtocols: [...target.alpn],
    onread,
  }
  const socket = connectTls(options)
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS)
  return socket
}

type Proof = Pick<Dialled, 'validUntil' | 'serial'>
const UNPROVEN: Proof = { validUntil: Number.POSITIVE_INFINITY, serial: '' }

/** End of the proof's validity and whose it is, or why there is none. */
function prove(parts: DialParts, target: Target, socket: TLSSocket): Proof | FairleadError {
  const identity = parts.identity.current()
  if (identity === undefined) return new FairleadError('NOT_READY', 'This sidecar has no certificate any more.')
  const verdict = verifyPeer(socket, identity.bundleDer, {
    now: parts.clock.wall(),
    trustDomain: identity.trustDomain,
    expectId: target.identity,
    revoked: parts.revoked?.(),
  })
  if (verdict.ok) return { validUntil: verdict.validUntil, serial: verdict.serial }
  const log = { address: `${target.address}:${target.port}`, expected: target.identity, found: verdict.spiffeId }
  const why = explain(verdict.reasons)
  const other = verdict.reasons.length === 1 && verdict.reasons[0] === 'ID_MISMATCH'
  return other
    ? new FairleadError('ENDPOINT_MISMATCH', 'Another service answers at this address.', { log: { ...log, why } })
    : new FairleadError('UPSTREAM_TLS', 'The peer did not prove the expected identity.', { log: { ...log, why } })
}

function failure(target: Target, error: NodeJS.ErrnoException): FairleadError {
  if (error instanceof FairleadError) return asFairleadError(error)
  const code = error.code ?? ''
  if (/^ERR_(TLS|SSL)|CERT|SIGNED|ISSUER|UNABLE_TO/.test(code)) {
    return new FairleadError('UPSTREAM_TLS', `No mutual TLS with ${target.address}:${target.port} (${code}).`, {
      cause: error,
      log: { why: error.message },
    })
  }
  return connectFailed(target, code || error.message, error)
}

function connectFailed(target: Target, why: string, cause?: unknown): FairleadError {
  const name = isIP(target.address) === 6 ? `[${target.address}]` : target.address
  return new FairleadError('UPSTREAM_CONNECT_FAILED', `No connection to ${name}:${target.port}: ${why}.`, { cause })
}
