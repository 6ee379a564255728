// tls-context.ts — TLS settings of the mesh, from an identity: one secure context per identity, for both directions.
//
// TLS 1.3 only, own trust domain's roots only, no session tickets: a resumed session would skip the chain (certs/peer.ts).

import { constants } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { certificatesToPem } from '../certs/pem.ts'
import type { Identity } from './exchange.ts'

/** What both sides of the HTTP/1.1 transport offer; the mux will stand before it. */
export const ALPN = ['http/1.1']

export function secureOptions(identity: Identity): SecureContextOptions {
  return {
    key: identity.keyPem,
    cert: identity.chainPem,
    ca: certificatesToPem(identity.bundleDer),
    minVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  }
}

const contexts = new WeakMap<Identity, SecureContext>()

export function secureContextOf(identity: Identity): SecureContext {
  let context = contexts.get(identity)
  if (context === undefined) {
    context = createSecureContext(secureOptions(identity))
    contexts.set(identity, context)
  }
  return context
}
