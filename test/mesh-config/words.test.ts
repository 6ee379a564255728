// The small words of the config language: durations, guesses, principals, paths.

import { expect, test } from 'vitest'
import { parseDuration } from '../../mesh-config/duration.ts'
import { principalFault, serviceIdentity, trustDomainOf } from '../../mesh-config/kinds/principal.ts'
import { canonicalSpelling } from '../../mesh-config/path.ts'
import { editDistance, nearest } from '../../mesh-config/suggest.ts'

test.each([
  ['1h', 3_600_000],
  ['1m30s', 90_000],
  ['10s', 10_000],
  ['500ms', 500],
  ['0s', 0],
  ['1h2m3s4ms', 3_723_004],
  ['99999h', 359_996_400_000],
  ['10s10s', 20_000],
  ['30s1h', 3_630_000],
])('duration: %s is %d ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each([
  '',
  '1',
  's',
  '1.5s',
  '-1s',
  '+1s',
  '1 s',
  ' 1s',
  '1s ',
  '1d',
  '1S',
  '100000s',
  '1h1m1s1ms1s',
  '1s\n',
  '1µs',
  '1e3s',
  '∞',
])('duration: %j is none', (text) => {
  expect(parseDuration(text)).toBeUndefined()
})

test.each([
  ['wieght', 'weight'],
  ['Weight', 'weight'],
  ['hostnams', 'hostnames'],
  ['xyz', undefined],
  ['w', undefined],
  ['', undefined],
])('nearest: to %j is %j', (word, expected) => {
  expect(nearest(word, ['weight', 'hostnames', 'backendRefs'])).toBe(expected)
})

test('editDistance: counts a swap of neighbours once', () => {
  expect(editDistance('wieght', 'weight')).toBe(1)
  expect(editDistance('abc', 'abc')).toBe(0)
  expect(editDistance('', 'abc')).toBe(3)
  expect(editDistance('kitten', 'sitting')).toBe(3)
})

test.each(['*', 'spiffe://a/ns/b/sa/c', 'spiffe://a.b/ns/b/sa/*', 'spiffe://a/*', 'spiffe://a/ns/b*', 'spiffe://a'])(
  'principal: %s is one',
  (text) => {
    expect(principalFault(text)).toBeUndefined()
  },
)

test.each([
  '',
  'a',
  'http://a/b',
  'spiffe://',
  'spiffe:///a',
  'spiffe://A/b',
  'spiffe://a*',
  'spiffe://*',
  'spiffe://a/*/b',
  'spiffe://a/**',
  'spiffe://a//b',
  'spiffe://a/b/',
  'spiffe://a/./b',
  'spiffe://a/..',
  'spiffe://a/b?c',
  'spiffe://a:80/b',
  'spiffe://u@a/b',
  'spiffe://a/ü',
])('principal: %j is none', (text) => {
  expect(principalFault(text)).toBeDefined()
})

test('identity: is what the CA gives a service', () => {
  const identity = serviceIdentity('fairlead.local', 'default', 'worker')
  expect(identity).toBe('spiffe://fairlead.local/ns/default/sa/worker')
  expect(trustDomainOf(identity)).toBe('fairlead.local')
  expect(trustDomainOf('*')).toBeUndefined()
})

test.each([
  ['/%61dmin', '/admin'],
  ['/a%7eb', '/a~b'],
  ['/a%c3%bc', '/a%C3%BC'],
  ['/a%25b', '/a%25b'],
  ['/plain', '/plain'],
])('path: %s is spelt %s, as sidecars spell requests', (path, spelt) => {
  expect(canonicalSpelling(path)).toBe(spelt)
})
