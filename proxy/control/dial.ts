// dial.ts — one verified TLS connection to a control plane.
//
// The server must prove `spiffe://<trust-domain>/ns/fairlead/sa/control-plane` under the pinned bundle, by
// certs/verify.ts; OpenSSL's own verdict (chain and host name) is not asked. Not a byte of ours is sent before.
// Our SVID is shown when there is one.

import { connect, type TLSSocket } from 'node:tls'
import { parseServiceId } from '../../certs/spiffe.ts'
import { type Verdict, verifyChain } from '../../certs/verify.ts'
import type { Clock } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'

export const CONNECT_MS = 5000
const CONTROL_PLANE = { namespace: 'fairlead', service: 'control-plane' } as const
const CHAIN_MAX = 6

export interface DialOptions {
  readonly clock: Clock
  readonly url: URL
  /** Roots, DER. */
  readonly bundle: readonly Uint8Array[]
  /** Known once we have an identity of our own; before that the pinned bundle alone says it. */
  readonly trustDomain?: string | undefined
  readonly svid?: { readonly keyPem: string; readonly chainPem: string } | undefined
}

/** @throws FairleadError UNREACHABLE, PEER_IDENTITY_INVALID */
export function dialControlPlane(options: DialOptions): Promise<TLSSocket> {
  const { url, clock } = options
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port || 443),
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false, // we judge below, by SPIFFE ID
      ...(options.svid ? { key: options.svid.keyPem, cert: options.svid.chainPem } : {}),
    })
    const timer = clock.after(CONNECT_MS, () => fail(unreachable(url, `no connection within ${CONNECT_MS} ms`)))
    const fail = (error: FairleadError): void => {
      timer.cancel()
      socket.destroy()
      reject(error)
    }
    socket.on('error', (cause) => fail(unreachable(url, cause.message, cause)))
    socket.once('close', () => fail(unreachable(url, 'closed during the handshake')))
    socket.once('secureConnect', () => {
      const refused = judge(socket, options)
      if (refused) return fail(refused)
      timer.cancel()
      socket.removeAllListeners('close')
      resolve(socket)
    })
  })
}

function judge(socket: TLSSocket, options: DialOptions): FairleadError | undefined {
  const verdict = verifyChain({
    chain: peerChain(socket),
    bundle: options.bundle,
    now: options.clock.wall(),
    ...(options.trustDomain === undefined ? {} : { trustDomain: options.trustDomain }),
  })
  const reasons = verdict.ok ? (isControlPlane(verdict) ? [] : ['ID_MISMATCH']) : verdict.reasons
  if (reasons.length === 0) return undefined
  const who = verdict.spiffeId ?? 'somebody without SPIFFE ID'
  const message = `${options.url.host} is ${who}, not the control plane: ${reasons.join(', ')}.`
  return new FairleadError('PEER_IDENTITY_INVALID', message, { log: { reasons, url: options.url.href } })
}

function isControlPlane(verdict: Extract<Verdict, { ok: true }>): boolean {
  const { namespace, service } = parseServiceId(verdict.spiffeId)
  return namespace === CONTROL_PLANE.namespace && service === CONTROL_PLANE.service
}

/** DER, leaf first, as the peer sent it; Node links a root to itself. */
function peerChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = []
  let certificate = socket.getPeerX509Certificate()
  while (certificate && chain.length < CHAIN_MAX) {
    chain.push(new Uint8Array(certificate.raw))
    const issuer = certificate.issuerCertificate
    certificate = issuer && !issuer.raw.equals(certificate.raw) ? issuer : undefined
  }
  return chain
}

function unreachable(url: URL, why: string, cause?: unknown): FairleadError {
  return new FairleadError('UNREACHABLE', `Control plane ${url.host}: ${why}.`, cause === undefined ? {} : { cause })
}
