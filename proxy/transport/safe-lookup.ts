// safe-lookup.ts — addresses that no request may be sent to, and a name resolver that refuses names of them (T10).
//
// Link-local addresses hold the clouds' metadata services; no mesh-config can open them. Names are resolved once per
// connection and the checked address is the one that is connected to, so rebinding finds nothing.

import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { FairleadError } from '../../kernel/errors.ts'

const forbidden = new BlockList()
forbidden.addSubnet('169.254.0.0', 16, 'ipv4')
forbidden.addSubnet('0.0.0.0', 8, 'ipv4')
forbidden.addSubnet('224.0.0.0', 4, 'ipv4')
forbidden.addAddress('100.100.100.200', 'ipv4') // Alibaba Cloud's metadata
forbidden.addAddress('168.63.129.16', 'ipv4') // Azure's wire server
forbidden.addSubnet('fe80::', 10, 'ipv6')
forbidden.addSubnet('ff00::', 8, 'ipv6')
forbidden.addAddress('::', 'ipv6')
forbidden.addAddress('fd00:ec2::254', 'ipv6') // AWS's metadata
forbidden.addSubnet('fd20:ce::', 32, 'ipv6') // Google's metadata

const METADATA_NAMES = new Set(['metadata.google.internal', 'metadata', 'metadata.goog', 'instance-data'])

/** True for addresses and names that are refused whatever the config says. IPv4 inside IPv6 counts as IPv4. */
export function isForbiddenHost(host: string): boolean {
  const family = isIP(host)
  if (family === 4) return forbidden.check(host, 'ipv4')
  if (family === 6) return forbidden.check(host, 'ipv6') || isForbiddenMapped(host)
  return METADATA_NAMES.has(host)
}

/** ::ffff:169.254.169.254, 64:ff9b::a9fe:a9fe (NAT64) and 2002:a9fe:a9fe:: (6to4) all end at the IPv4 address. */
function isForbiddenMapped(host: string): boolean {
  const groups = expandIpv6(host)
  const carriers: [string, number][] = [
    ['0000:0000:0000:0000:0000:ffff', 6],
    ['0000:0000:0000:0000:0000:0000', 6],
    ['0064:ff9b:0000:0000:0000:0000', 6],
    ['2002', 1],
  ]
  return carriers.some(([prefix, at]) => {
    if (!groups.join(':').startsWith(prefix)) return false
    const [high, low] = [Number.parseInt(groups[at]!, 16), Number.parseInt(groups[at + 1]!, 16)]
    return forbidden.check(`${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`, 'ipv4') && (high | low) > 1
  })
}

/** Eight groups of four digits. The URL parser has the canonical short form; only `::` is left to expand. */
function expandIpv6(host: string): string[] {
  const short = new URL(`http://[${host.replace(/%.*$/, '')}]/`).hostname.slice(1, -1)
  const [head, tail] = short.split('::') as [string, string | undefined]
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length
  return [...left, ...Array<string>(zeros).fill('0'), ...right].map((group) => group.padStart(4, '0'))
}

/** `lookup` for net.connect: refuses a name as soon as one of its addresses is forbidden. */
export const safeLookup: LookupFunction = (host, options, done) => {
  lookup(host, { ...options, all: true }, (error, addresses) => {
    if (error) return done(error, '')
    const bad = addresses.find(({ address }) => isForbiddenHost(address))
    if (bad) return done(new FairleadError('EGRESS_DENIED', `${host} resolves to an address that is never called.`), '')
    if (options.all) return done(null, addresses)
    const [first] = addresses
    if (!first) return done(new Error(`no address for ${host}`), '')
    done(null, first.address, first.family)
  })
}
