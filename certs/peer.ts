// peer.ts — who is at the other end of a TLS connection?
//
// Owns: the TLS options under which verifyPeer is the judge, and the judgement. Ask on `secureConnection` (server) or
// `secureConnect` (client), before the first byte of the application; a verdict that is not ok ends the connection.
//
// A server must not let OpenSSL judge: since 24.21 (and 26.8) Node drops the first intermediate of a chain that OpenSSL
// accepted before anyone can read it (nodejs/node#65579). So SERVER_PEER_OPTIONS trust nobody (`ca: []`) and reject
// nobody; the handshake still proves that the peer holds the key. Clients keep both locks.
// A resumed session carries the leaf without its chain and is refused here; our servers resume none.

import { constants } from 'node:crypto'
import type { DetailedPeerCertificate, SecureVersion, TLSSocket } from 'node:tls'
import type { WallMs } from '../kernel/clock.ts'
import { assert } from '../kernel/errors.ts'
import type { Revoked } from './revoked.ts'
import { CHAIN_CERTIFICATES_MAX, type Verdict, verifyChain } from './verify.ts'

const MIN_VERSION: SecureVersion = 'TLSv1.3'

/** For tls.createServer and https.createServer, beside `key` and `cert`; verifyPeer must follow. */
export const SERVER_PEER_OPTIONS = {
  requestCert: true,
  rejectUnauthorized: false,
  ca: [] as string[],
  minVersion: MIN_VERSION,
  secureOptions: constants.SSL_OP_NO_TICKET,
}

/** For tls.connect, beside `key` and `cert`; verifyPeer must follow: names are checked there and only there. */
export function clientPeerOptions(bundlePem: string) {
  return {
    ca: bundlePem,
    rejectUnauthorized: true,
    minVersion: MIN_VERSION,
    checkServerIdentity: (): undefined => undefined,
  }
}

export interface PeerOptions {
  readonly now: WallMs
  /** The trust domain of the bundle. */
  readonly trustDomain: string
  readonly expectId?: string
  readonly revoked?: Revoked | undefined
}

/** Judges the certificate that the peer proved to hold, with the intermediates that it sent. */
export function verifyPeer(socket: TLSSocket, bundle: readonly Uint8Array[], options: PeerOptions): Verdict {
  return verifyChain({ ...options, chain: presentedChain(socket), bundle })
}

/**
 * DER, leaf first; empty when the peer sent none; cut one above the limit when it is longer than allowed.
 * Never by getPeerX509Certificate: it takes certificates out of the connection's own list.
 */
export function presentedChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = []
  let certificate: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true)
  let ended = false
  while (certificate?.raw && !ended && chain.length <= CHAIN_CERTIFICATES_MAX) {
    chain.push(new Uint8Array(certificate.raw))
    ended = certificate.issuerCertificate === certificate
    certificate = certificate.issuerCertificate
  }
  // What OpenSSL accepts ends in a root that is its own issuer; if it is not there, the chain was lost (see above).
  assert(
    !socket.authorized || ended || chain.length > CHAIN_CERTIFICATES_MAX,
    'a TLS server of ours uses SERVER_PEER_OPTIONS',
  )
  return chain
}
