// tls-context.ts — TLS settings of the mesh, from an identity.
//
// TLS 1.3 only, own trust domain's roots only, no session tickets; certs/peer.ts says why OpenSSL alone is no judge here.

import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls'
import { clientPeerOptions, SERVER_PEER_OPTIONS } from '../certs/peer.ts'
import { certificatesToPem } from '../certs/pem.ts'
import type { Identity } from './exchange.ts'
import { MUX_PROTOCOL } from './mux/wire.ts'

export const HTTP1_PROTOCOL = 'http/1.1'
/** HTTP/1.1 only. */
export const ALPN = [HTTP1_PROTOCOL]
/** Between sidecars: the mux, else HTTP/1.1. */
export const MESH_ALPN = [MUX_PROTOCOL, HTTP1_PROTOCOL]

/** For tls.createServer and server.setSecureContext. Without an identity every handshake fails. */
export function serverOptions(identity: Identity | undefined): TlsOptions {
  if (identity === undefined) return SERVER_PEER_OPTIONS
  return { ...SERVER_PEER_OPTIONS, key: identity.keyPem, cert: identity.chainPem }
}

export interface ClientContext {
  readonly secureContext: SecureContext
  readonly options: ReturnType<typeof clientPeerOptions>
}

const contexts = new WeakMap<Identity, ClientContext>()

/** Made once per identity: parsing keys and roots costs more than a handshake. */
export function clientContext(identity: Identity): ClientContext {
  let context = contexts.get(identity)
  if (context === undefined) {
    const options = clientPeerOptions(certificatesToPem(identity.bundleDer))
    const own = { key: identity.keyPem, cert: identity.chainPem }
    context = { secureContext: createSecureContext({ ...options, ...own }), options }
    contexts.set(identity, context)
  }
  return context
}
