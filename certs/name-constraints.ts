// name-constraints.ts — which names a CA may vouch for (RFC 5280 §4.2.1.10), for corporate CAs that say so.
//
// URI and DNS constraints are applied. Any other kind (IP, e-mail, directory) is not understood here: it refuses a leaf
// that carries such a name, and leaves alone a leaf that does not.

import { children, context, type Der, DerError, expectTag, latin1, TAG } from './der.ts'
import type { AlternativeNames } from './extensions.ts'

export interface NameConstraints {
  readonly permitted: readonly Constraint[]
  readonly excluded: readonly Constraint[]
}

interface Constraint {
  readonly kind: 'dns' | 'uri' | 'email' | 'address' | 'directory' | 'other'
  /** Lower case; for kinds other than dns and uri unused. */
  readonly base: string
}

const KINDS: ReadonlyMap<number, Constraint['kind']> = new Map([
  [context(1, false), 'email'],
  [context(2, false), 'dns'],
  [context(4, true), 'directory'],
  [context(6, false), 'uri'],
  [context(7, false), 'address'],
])

export function readNameConstraints(value: Der): NameConstraints {
  const fields = children(expectTag(value, TAG.sequence))
  const subtrees = (tag: number): Constraint[] => {
    const field = fields.find((candidate) => candidate.tag === tag)
    return field ? children(field).map(readSubtree) : []
  }
  const known = fields.every(({ tag }) => tag === context(0, true) || tag === context(1, true))
  if (fields.length === 0 || fields.length > 2 || !known) throw new DerError('not name constraints')
  return { permitted: subtrees(context(0, true)), excluded: subtrees(context(1, true)) }
}

/** `{ base, minimum DEFAULT 0 }`; any other minimum or a maximum is outside the profile. */
function readSubtree(element: Der): Constraint {
  const [base, ...rest] = children(expectTag(element, TAG.sequence))
  if (!base || rest.length > 0) throw new DerError('not a subtree')
  const kind = KINDS.get(base.tag) ?? 'other'
  return { kind, base: kind === 'dns' || kind === 'uri' ? latin1(base.content).toLowerCase() : '' }
}

/** May a signer with these constraints vouch for these names? `hasSubject`: the leaf has a distinguished name too. */
export function isAllowed(
  constraints: NameConstraints,
  names: AlternativeNames | undefined,
  hasSubject: boolean,
): boolean {
  const hosts = (names?.uris ?? []).map(hostOf)
  const dnsNames = (names?.dnsNames ?? []).map((name) => name.toLowerCase())
  const carries = { email: (names?.emails.length ?? 0) > 0, address: (names?.addresses.length ?? 0) > 0 }
  const listed = [...constraints.permitted, ...constraints.excluded].map((constraint) => constraint.kind)
  if (listed.includes('email') && carries.email) return false
  if (listed.includes('address') && carries.address) return false
  if (listed.includes('directory') && hasSubject) return false
  if (listed.includes('other') && (names?.others ?? 0) > 0) return false
  return (
    hosts.every((host) => passes(constraints, 'uri', host)) &&
    dnsNames.every((name) => passes(constraints, 'dns', name))
  )
}

function passes(constraints: NameConstraints, kind: 'dns' | 'uri', name: string): boolean {
  const within = (constraint: Constraint): boolean => (kind === 'uri' ? uriWithin : dnsWithin)(name, constraint.base)
  const permitted = constraints.permitted.filter((constraint) => constraint.kind === kind)
  if (permitted.length > 0 && !permitted.some(within)) return false
  return !constraints.excluded.filter((constraint) => constraint.kind === kind).some(within)
}

/** A base without leading dot is one host; with it, any host below. */
function uriWithin(host: string, base: string): boolean {
  return base.startsWith('.') ? host.endsWith(base) : host === base
}

/** Any name that is the base or ends in `.base`; '' is every name. */
function dnsWithin(name: string, base: string): boolean {
  const bare = base.startsWith('.') ? base.slice(1) : base
  return bare === '' || (name === bare && !base.startsWith('.')) || name.endsWith(`.${bare}`)
}

/** '' for what has no host: outside every permitted subtree. */
function hostOf(uri: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(uri)?.[1]?.toLowerCase() ?? ''
}
