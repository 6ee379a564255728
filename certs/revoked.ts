// revoked.ts — is this certificate, or its identity, on the list of those that count no more?
//
// Serials are of single certificates (a stolen key), ids of whole identities (every certificate they have or get).
// The list comes with the snapshot and is swapped whole; its sets are made once for each list.

/** Serials: lower-case hex without leading zeros (`serialText`). */
export interface Revoked {
  readonly serials: readonly string[]
  readonly ids: readonly string[]
}

interface Sets {
  readonly serials: ReadonlySet<string>
  readonly ids: ReadonlySet<string>
}

const remembered = new WeakMap<Revoked, Sets>()

export function isRevoked(list: Revoked | undefined, serial: string, spiffeId: string): boolean {
  if (list === undefined) return false
  let sets = remembered.get(list)
  if (!sets) {
    sets = { serials: new Set(list.serials), ids: new Set(list.ids) }
    remembered.set(list, sets)
  }
  return sets.ids.has(spiffeId) || sets.serials.has(serialText(serial))
}

/** One spelling for one serial: as OpenSSL, our own state, or a person wrote it. */
export const serialText = (serial: string): string =>
  serial
    .toLowerCase()
    .replaceAll(':', '')
    .replace(/^0+(?=.)/, '')
