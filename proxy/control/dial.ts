// dial.ts — one verified TLS connection to a control plane.
//
// The server must prove `spiffe://<trust-domain>/ns/fairlead/sa/control-plane` under the pinned bundle: OpenSSL judges
// the chain and certs/verify.ts judges it again, with the SPIFFE ID; the host name says nothing. Not a byte of ours is
// sent before. Our SVID is shown when there is one.

import { connect, type TLSSocket } from 'node:tls'
import { clientPeerOptions, presentedChain } from '../../certs/peer.ts'
import { certificatesToPem } from '../../certs/pem.ts'
import { explain } from '../../certs/reasons.ts'
import { parseServiceId } from '../../certs/spiffe.ts'
import { type Verdict, verifyChain } from '../../certs/verify.ts'
import type { Clock } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'

export const CONNECT_MS = 5000
const CONTROL_PLANE = { namespace: 'fairlead', service: 'control-plane' } as const
/** What OpenSSL and Node call a chain or certificate that they refuse. */
const REFUSED = /^ERR_(TLS|SSL)|CERT|SIGNED|ISSUER|UNABLE_TO/

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
      ...clientPeerOptions(certificatesToPem(options.bundle)),
      ...(options.svid ? { key: options.svid.keyPem, cert: options.svid.chainPem } : {}),
    })
    const timer = clock.after(CONNECT_MS, () => fail(unreachable(url, `no connection within ${CONNECT_MS} ms`)))
    const fail = (error: FairleadError): void => {
      timer.cancel()
      socket.destroy()
      reject(error)
    }
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      const refused = REFUSED.test(cause.code ?? '')
      fail(refused ? notProven(url, `${cause.code}: ${cause.message}`, cause) : unreachable(url, cause.message, cause))
    })
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
    chain: presentedChain(socket),
    bundle: options.bundle,
    now: options.clock.wall(),
    ...(options.trustDomain === undefined ? {} : { trustDomain: options.trustDomain }),
  })
  if (!verdict.ok) return notProven(options.url, explain(verdict.reasons))
  return isControlPlane(verdict) ? undefined : notProven(options.url, `it is ${verdict.spiffeId}`)
}

function isControlPlane(verdict: Extract<Verdict, { ok: true }>): boolean {
  const { namespace, service } = parseServiceId(verdict.spiffeId)
  return namespace === CONTROL_PLANE.namespace && service === CONTROL_PLANE.service
}

function notProven(url: URL, why: string, cause?: unknown): FairleadError {
  const message = `${url.host} did not prove to be the control plane: ${why}`
  return new FairleadError('PEER_IDENTITY_INVALID', message, cause === undefined ? {} : { cause })
}

function unreachable(url: URL, why: string, cause?: unknown): FairleadError {
  return new FairleadError('UNREACHABLE', `Control plane ${url.host}: ${why}.`, cause === undefined ? {} : { cause })
}
