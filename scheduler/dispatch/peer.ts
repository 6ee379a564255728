// peer.ts — who calls, as our own sidecar vouches for it: `x-forwarded-client-cert` with one SPIFFE URI.
//
// The sidecar strips what a client sent and sets the header from the peer's certificate, so only its last element
// counts. Without the header the call did not come through the mesh.

import { FairleadError } from '../../kernel/errors.ts'

export interface Peer {
  readonly namespace: string
  readonly service: string
}

const SPIFFE = /^spiffe:\/\/[a-z0-9._-]+\/ns\/([a-z0-9-]+)\/sa\/([a-z0-9-]+)$/

/** @throws FairleadError UNAUTHENTICATED, FORBIDDEN */
export function parsePeer(header: string | string[] | undefined): Peer {
  if (typeof header !== 'string' || header === '') {
    throw new FairleadError('UNAUTHENTICATED', 'Worker sessions are opened through the mesh, with an identity.')
  }
  const uris = fieldsOf(lastElement(header)).flatMap(([key, value]) => (key.toLowerCase() === 'uri' ? [value] : []))
  const match = uris.length === 1 ? SPIFFE.exec(uris[0]!) : null
  if (!match) throw new FairleadError('FORBIDDEN', 'The caller has no SPIFFE ID of the form …/ns/NAMESPACE/sa/SERVICE.')
  return { namespace: match[1]!, service: match[2]! }
}

/** Commas inside double quotes do not separate. */
function lastElement(header: string): string {
  return header.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")*$/)![0]
}

function fieldsOf(element: string): [string, string][] {
  return (element.match(/(?:[^;"]|"(?:[^"\\]|\\.)*")+/g) ?? []).map((pair) => {
    const at = pair.indexOf('=')
    const value = pair.slice(at + 1).trim()
    return [pair.slice(0, Math.max(0, at)).trim(), value.startsWith('"') ? value.slice(1, -1) : value]
  })
}
