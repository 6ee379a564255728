import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseServiceId, parseSpiffeId, spiffeIdOf, trustDomainIdOf } from '../../certs/spiffe.ts'

const ACCEPTED: [string, string, string][] = [
  ['spiffe://fairlead.local/ns/default/sa/worker', 'fairlead.local', '/ns/default/sa/worker'],
  ['spiffe://a', 'a', ''],
  ['spiffe://a_b-c.1/X.y_z-0', 'a_b-c.1', '/X.y_z-0'],
  ['spiffe://a/...', 'a', '/...'],
  [`spiffe://a/${'b'.repeat(2048 - 11)}`, 'a', `/${'b'.repeat(2048 - 11)}`],
  [`spiffe://${'a'.repeat(255)}/b`, 'a'.repeat(255), '/b'],
]
test.each(ACCEPTED)('SPIFFE ID: accepted when it is %s', (text, trustDomain, path) => {
  expect(parseSpiffeId(text)).toEqual({ text, trustDomain, path })
})

const REJECTED: [string, string][] = [
  ['is empty', ''],
  ['has another scheme', 'https://a/b'],
  ['has an upper-case scheme', 'SPIFFE://a/b'],
  ['has no slashes', 'spiffe:a/b'],
  ['has no trust domain', 'spiffe:///b'],
  ['has an upper-case trust domain', 'spiffe://A/b'],
  ['has a port', 'spiffe://a:1/b'],
  ['has userinfo', 'spiffe://u@a/b'],
  ['has a query', 'spiffe://a/b?c'],
  ['has a fragment', 'spiffe://a/b#c'],
  ['has a trailing slash', 'spiffe://a/b/'],
  ['is a trust domain with a slash', 'spiffe://a/'],
  ['has an empty segment', 'spiffe://a//b'],
  ['has a dot segment', 'spiffe://a/./b'],
  ['has a double dot segment', 'spiffe://a/b/..'],
  ['has a percent sign in the path', 'spiffe://a/b%2fc'],
  ['has a percent sign in the trust domain', 'spiffe://a%61/b'],
  ['has a space', 'spiffe://a/b c'],
  ['has a leading space', ' spiffe://a/b'],
  ['has a newline at its end', 'spiffe://a/b\n'],
  ['has a newline after its trust domain', 'spiffe://a\n/b'],
  ['has a NUL', 'spiffe://a/b\0'],
  ['has a letter beyond ASCII', 'spiffe://a/bé'],
  ['has a backslash', 'spiffe://a\\b'],
  ['has a trust domain of 256 bytes', `spiffe://${'a'.repeat(256)}/b`],
  ['has 2049 bytes', `spiffe://a/${'b'.repeat(2048 - 10)}`],
]
test.each(REJECTED)('SPIFFE ID: refused when it %s', (_, text) => {
  expect(() => parseSpiffeId(text)).toThrow(expect.objectContaining({ code: 'SPIFFE_ID_INVALID' }))
})

test('SPIFFE ID: its parts give the same text again', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'aZ0._-/%:?#\0é'), maxLength: 12 }), (tail) => {
      let id: ReturnType<typeof parseSpiffeId>
      try {
        id = parseSpiffeId(`spiffe://${tail}`)
      } catch {
        return
      }
      expect(`spiffe://${id.trustDomain}${id.path}`).toBe(id.text)
      expect(new URL(id.text).href, 'a URL parser reads the same').toBe(id.text)
    }),
    { numRuns: 2000 },
  )
})

test('service id: made and read back', () => {
  const id = spiffeIdOf('fairlead.local', 'default', 'worker')
  expect(id).toBe('spiffe://fairlead.local/ns/default/sa/worker')
  expect(parseServiceId(id)).toEqual({ trustDomain: 'fairlead.local', namespace: 'default', service: 'worker' })
  expect(trustDomainIdOf('fairlead.local')).toBe('spiffe://fairlead.local')
})

test.each([
  'spiffe://a',
  'spiffe://a/ns/b',
  'spiffe://a/ns/b/sa/c/d',
  'spiffe://a/sa/b/ns/c',
  'spiffe://a/ns/B/sa/c',
  'spiffe://a/ns/b/sa/c_d',
  'spiffe://a/ns/b/sa/-c',
])('service id: refused when it is %s', (text) => {
  expect(() => parseServiceId(text)).toThrow(expect.objectContaining({ code: 'SPIFFE_ID_INVALID' }))
})

test('service id: not made when a part would break out of its place', () => {
  for (const [domain, namespace, service] of [
    ['a', 'b/sa/admin', 'c'],
    ['a', 'b', '..'],
    ['a', 'b', ''],
    ['a/ns/x/sa/y', 'b', 'c'],
    ['A', 'b', 'c'],
  ] as const) {
    expect(() => spiffeIdOf(domain, namespace, service)).toThrow(/refused/)
  }
})
