// principal.ts — SPIFFE IDs as config writes them: whole, or a prefix ending in `*`.

const SPIFFE = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)*)$/
const SPIFFE_PREFIX = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._-]*)+\*$/

/** Why it is no principal; undefined = it is one. */
export function principalFault(text: string): string | undefined {
  if (text === '*') return undefined
  if (!text.startsWith('spiffe://')) return 'does not begin with spiffe://'
  if (text.slice(0, -1).includes('*')) return 'may hold one * only, at the end'
  if (/\/\.{1,2}(?:\/|$)/.test(text)) return 'holds a dot segment'
  // A star inside the trust domain would let `fairlead.local.evil.example` in.
  if (text.endsWith('*') ? SPIFFE_PREFIX.test(text) : SPIFFE.test(text)) return undefined
  return 'is no SPIFFE ID'
}

/** Trust domain of a principal; undefined for `*`. */
export function trustDomainOf(principal: string): string | undefined {
  return /^spiffe:\/\/([^/]+)\//.exec(principal)?.[1]
}

/** The identity that the CA gives a service (DESIGN.md §7). */
export function serviceIdentity(trustDomain: string, namespace: string, service: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${service}`
}
