// filters.ts — what HTTPRoute filters do to a request or response: header edits and redirects (rewrites: match.ts). Pure.
//
// Semantics of the standard (reference/mesh.md §3b 8–10): remove, set (replaces every value), add (appends).

import { rewritePath } from '../../mesh-config/match.ts'
import type { Filters, HeaderEdit } from '../../mesh-config/snapshot.ts'
import type { Fields } from '../exchange.ts'

export function editFields(fields: Fields, edit: HeaderEdit): Fields {
  const gone = new Set([...edit.remove, ...edit.set.map(({ name }) => name)].map((name) => name.toLowerCase()))
  const edited = fields.filter((_, at) => !gone.has(fields[at & ~1]!))
  for (const { name, value } of edit.set) edited.push(name.toLowerCase(), value)
  for (const { name, value } of edit.add) addField(edited, name.toLowerCase(), value)
  return edited
}

function addField(fields: Fields, name: string, value: string): void {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name || name === 'set-cookie') continue
    fields[i + 1] = `${fields[i + 1]},${value}`
    return
  }
  fields.push(name, value)
}

/** Value of `Location`. `host` has the port that the client called, if it named one. */
export function redirectLocation(
  redirect: NonNullable<Filters['redirect']>,
  host: string,
  path: string,
  query: string,
): string {
  const scheme = redirect.scheme ?? 'http'
  const colon = host.startsWith('[') ? host.indexOf(':', host.indexOf(']')) : host.indexOf(':')
  const hostname = redirect.hostname ?? (colon < 0 ? host : host.slice(0, colon))
  const port =
    redirect.port ?? (redirect.scheme === undefined && colon >= 0 ? Number(host.slice(colon + 1)) : undefined)
  const wellKnown = scheme === 'https' ? 443 : 80
  const suffix = port === undefined || port === wellKnown ? '' : `:${port}`
  return `${scheme}://${hostname}${suffix}${redirect.path ? rewritePath(redirect.path, path) : path}${query}`
}
