import { expect, test } from 'vitest'
import type { AlternativeNames } from '../../certs/extensions.ts'
import { matchesHostname } from '../../certs/hostname.ts'

const names = (dnsNames: string[], addresses: number[][] = []): AlternativeNames => ({
  critical: true,
  uris: [],
  emails: [],
  others: 0,
  dnsNames,
  addresses: addresses.map((bytes) => Uint8Array.from(bytes)),
})
const V6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]

test.each([
  ['a.example', ['a.example']],
  ['A.Example', ['a.eXample']],
  ['a.example.', ['a.example']],
  ['a.b.example', ['x.example', '*.b.example']],
])('host name: %s is covered by %j', (host, dnsNames) => {
  expect(matchesHostname(names(dnsNames), host)).toBe(true)
})

test.each([
  ['a.example', []],
  ['a.example', ['b.example']],
  ['a.example', ['example']],
  ['example', ['a.example']],
  ['b.example', ['*.b.example']],
  ['x.y.b.example', ['*.b.example']],
  ['a.example', ['*.example']],
  ['a.b.example', ['a*.b.example']],
  ['a.b.example', ['*.*.example']],
  ['a.b.example', ['a.*.example']],
  ['.b.example', ['*.b.example']],
  ['a.example', ['a.example\0.evil']],
  ['a.example', ['x,DNS:a.example']],
  ['127.0.0.1', ['127.0.0.1']],
  ['1.2.3.4', ['*.2.3.4']],
])('host name: %s is not covered by %j', (host, dnsNames) => {
  expect(matchesHostname(names(dnsNames), host)).toBe(false)
})

test('address: compared as bytes', () => {
  expect(matchesHostname(names([], [[127, 0, 0, 1]]), '127.0.0.1')).toBe(true)
  expect(matchesHostname(names([], [V6]), '2001:db8:0::1')).toBe(true)
  expect(matchesHostname(names([], [[127, 0, 0, 1]]), '127.0.0.2')).toBe(false)
  expect(matchesHostname(names([], [[127, 0, 0]]), '127.0.0.0')).toBe(false)
  expect(matchesHostname(undefined, '127.0.0.1')).toBe(false)
})
