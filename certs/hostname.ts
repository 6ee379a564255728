// hostname.ts — does a certificate speak for this host name or address? (RFC 9525: names of the SAN only, never the CN)

import { isIP, isIPv4 } from 'node:net'
import type { AlternativeNames } from './extensions.ts'

export function matchesHostname(names: AlternativeNames | undefined, expected: string): boolean {
  const host = expected.toLowerCase().replace(/\.$/, '')
  if (isIP(host) !== 0)
    return (names?.addresses ?? []).some((address) => addressText(address) === canonicalAddress(host))
  return (names?.dnsNames ?? []).some((name) => dnsMatches(name.toLowerCase(), host))
}

/** A wildcard is the whole leftmost label and stands for exactly one label, above at least two others. */
function dnsMatches(name: string, host: string): boolean {
  if (!name.startsWith('*.')) return name === host
  const parent = name.slice(2)
  const dot = host.indexOf('.')
  return dot > 0 && host.slice(dot + 1) === parent && parent.includes('.') && !parent.includes('*')
}

/** Dotted quad or RFC 5952 in brackets; empty for what is no address. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  if (bytes.length !== 16) return ''
  return canonicalAddress(
    Buffer.from(bytes)
      .toString('hex')
      .replace(/(.{4})(?=.)/g, '$1:'),
  )
}

function canonicalAddress(text: string): string {
  return isIPv4(text) ? text : new URL(`http://[${text}]/`).hostname
}
