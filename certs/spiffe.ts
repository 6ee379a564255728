// spiffe.ts — the only parser of SPIFFE IDs (SPIFFE-ID.md §2), and of the shape that Fairlead gives its own.
//
// Stricter than a URL on purpose: one name has one spelling, so that comparing ids is comparing text. Upper-case
// schemes and trust domains, percent signs, ports, queries and empty segments are refused, not normalised.

import { isServiceName } from '../kernel/authority.ts'
import { FairleadError } from '../kernel/errors.ts'

export interface SpiffeId {
  readonly text: string
  readonly trustDomain: string
  /** '' for the id of a trust domain itself (signing certificates), else starts with `/`. */
  readonly path: string
}

export interface ServiceId {
  readonly trustDomain: string
  readonly namespace: string
  readonly service: string
}

export const SPIFFE_ID_BYTES_MAX = 2048
const TRUST_DOMAIN_BYTES_MAX = 255
const SCHEME = 'spiffe://'
const TRUST_DOMAIN = /^[a-z0-9._-]+$/
const SEGMENT = /^[A-Za-z0-9._-]+$/
const SERVICE_PATH = /^\/ns\/([^/]+)\/sa\/([^/]+)$/

/** @throws FairleadError SPIFFE_ID_INVALID */
export function parseSpiffeId(text: string): SpiffeId {
  if (text.length > SPIFFE_ID_BYTES_MAX) throw bad(text, `longer than ${SPIFFE_ID_BYTES_MAX} bytes`)
  if (!text.startsWith(SCHEME)) throw bad(text, 'does not start with spiffe://')
  const rest = text.slice(SCHEME.length)
  const slash = rest.indexOf('/')
  const trustDomain = slash < 0 ? rest : rest.slice(0, slash)
  const path = slash < 0 ? '' : rest.slice(slash)
  if (!isTrustDomain(trustDomain)) throw bad(text, 'the trust domain is not 1…255 of a-z 0-9 . _ -')
  for (const segment of path.split('/').slice(1)) {
    if (segment === '') throw bad(text, 'the path has an empty segment or a trailing slash')
    if (segment === '.' || segment === '..') throw bad(text, 'the path has a dot segment')
    if (!SEGMENT.test(segment)) throw bad(text, 'the path holds more than A-Z a-z 0-9 . _ - and /')
  }
  return { text, trustDomain, path }
}

export function isTrustDomain(text: string): boolean {
  return text.length <= TRUST_DOMAIN_BYTES_MAX && TRUST_DOMAIN.test(text)
}

/** `spiffe://<trust-domain>/ns/<namespace>/sa/<service>` (DESIGN.md §7). @throws FairleadError SPIFFE_ID_INVALID */
export function spiffeIdOf(trustDomain: string, namespace: string, service: string): string {
  const text = `${SCHEME}${trustDomain}/ns/${namespace}/sa/${service}`
  parseServiceId(text)
  return text
}

/** The id of a trust domain: what signing certificates carry. @throws FairleadError SPIFFE_ID_INVALID */
export function trustDomainIdOf(trustDomain: string): string {
  const id = parseSpiffeId(`${SCHEME}${trustDomain}`)
  if (id.path !== '') throw bad(id.text, 'a trust domain has no path')
  return id.text
}

/** @throws FairleadError SPIFFE_ID_INVALID */
export function parseServiceId(text: string): ServiceId {
  const id = parseSpiffeId(text)
  const match = SERVICE_PATH.exec(id.path)
  const [, namespace, service] = match ?? []
  if (namespace === undefined || service === undefined) throw bad(text, 'a service is /ns/<namespace>/sa/<service>')
  if (!isServiceName(namespace) || !isServiceName(service)) throw bad(text, 'namespace or service is not a DNS label')
  return { trustDomain: id.trustDomain, namespace, service }
}

function bad(text: string, why: string): FairleadError {
  return new FairleadError('SPIFFE_ID_INVALID', `SPIFFE ID ${JSON.stringify(text.slice(0, 120))} refused: ${why}.`)
}
