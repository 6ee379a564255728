// authority.ts — the only parser of `host[:port]`, and of mesh names inside it.
//
// Mesh authority = `<service>[.<namespace>].mesh[:port]`, lower-cased, one trailing dot dropped (DESIGN.md §6).
// Everything else is an outside authority; whether it may be called is the sidecar's decision, not this file's.
// Refuses what two parsers could read differently: userinfo, spaces, percent signs, empty labels, octal or hex hosts.

import { FairleadError } from './errors.ts'

export interface MeshAuthority {
  readonly kind: 'mesh'
  readonly service: string
  readonly namespace: string
  readonly port: number | undefined
  /** `<service>.<namespace>.mesh` */
  readonly canonical: string
}

export interface OutsideAuthority {
  readonly kind: 'outside'
  /** Lower-cased host name, IPv4 dotted quad, or IPv6 without brackets. */
  readonly host: string
  readonly port: number | undefined
  readonly address: 'name' | 'ipv4' | 'ipv6'
}

export type Authority = MeshAuthority | OutsideAuthority

export const DEFAULT_NAMESPACE = 'default'
const AUTHORITY_BYTES_MAX = 300
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const OUTSIDE_LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/

/** @throws FairleadError BAD_REQUEST */
export function parseAuthority(text: string): Authority {
  if (text.length === 0 || text.length > AUTHORITY_BYTES_MAX) throw bad(text, 'empty or too long')
  if (text.startsWith('[')) return parseIpv6(text)
  const colon = text.indexOf(':')
  const rawHost = colon < 0 ? text : text.slice(0, colon)
  const port = colon < 0 ? undefined : parsePort(text.slice(colon + 1), text)
  let host = rawHost.toLowerCase()
  if (host.endsWith('.')) host = host.slice(0, -1)
  if (IPV4.test(host)) return { kind: 'outside', host, port, address: 'ipv4' }
  const labels = host.split('.')
  const last = labels[labels.length - 1]!
  // A last label that starts with a digit could be read as a number in an address (WHATWG URL "ends in a number").
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(last)) throw bad(text, 'looks like a malformed IPv4 address')
  if (last === 'mesh') return meshAuthority(labels.slice(0, -1), port, text)
  if (!labels.every((label) => OUTSIDE_LABEL.test(label))) throw bad(text, 'not a host name')
  return { kind: 'outside', host, port, address: 'name' }
}

export function formatMeshAuthority(service: string, namespace: string = DEFAULT_NAMESPACE): string {
  return `${service}.${namespace}.mesh`
}

export function isServiceName(text: string): boolean {
  return LABEL.test(text)
}

function meshAuthority(labels: string[], port: number | undefined, text: string): MeshAuthority {
  if (labels.length < 1 || labels.length > 2 || !labels.every((label) => LABEL.test(label))) {
    throw bad(text, 'a mesh authority is <service>[.<namespace>].mesh')
  }
  const service = labels[0]!
  const namespace = labels[1] ?? DEFAULT_NAMESPACE
  return { kind: 'mesh', service, namespace, port, canonical: formatMeshAuthority(service, namespace) }
}

function parseIpv6(text: string): OutsideAuthority {
  const end = text.indexOf(']')
  const host = text.slice(1, end).toLowerCase()
  const rest = text.slice(end + 1)
  if (end < 0 || !/^[0-9a-f:.]{2,45}$/.test(host) || !URL.canParse(`http://[${host}]/`))
    throw bad(text, 'not an IPv6 address')
  if (rest !== '' && !rest.startsWith(':')) throw bad(text, 'bytes after the bracket')
  return { kind: 'outside', host, port: rest === '' ? undefined : parsePort(rest.slice(1), text), address: 'ipv6' }
}

function parsePort(digits: string, text: string): number {
  if (!/^[1-9][0-9]{0,4}$/.test(digits) || Number(digits) > 65_535) throw bad(text, 'port is not 1…65535')
  return Number(digits)
}

function bad(text: string, why: string): FairleadError {
  return new FairleadError('BAD_REQUEST', `Authority ${JSON.stringify(text.slice(0, 80))} refused: ${why}.`)
}
