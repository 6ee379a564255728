// The one spelling of a path.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalPath } from '../../proxy/canonical-path.ts'

test.each([
  ['/', '/'],
  ['//', '/'],
  ['/a//b///c', '/a/b/c'],
  ['/a/', '/a/'],
  ['/a/.', '/a/'],
  ['/a/./b', '/a/b'],
  ['/a/../b', '/b'],
  ['/a/..', '/'],
  ['/a/b/..', '/a/'],
  ['/%61%2D%7e', '/a-~'],
  ['/a/%2e%2E/b', '/b'],
  ['/%2e/a', '/a'],
  ['/a%3ab%c3%a4', '/a%3Ab%C3%A4'],
  ['/a;x=1/b', '/a;x=1/b'],
  ['/100%25', '/100%25'],
  ['/a..b/...', '/a..b/...'],
])('canonical path: %s becomes %s', (raw, canonical) => {
  expect(canonicalPath(raw)).toBe(canonical)
})

test.each([
  '',
  'a',
  'http://x/',
  '/..',
  '/a/../..',
  '/%2e%2e/',
  '/a/../../b',
  '/a%2fb',
  '/a%2Fb',
  '/a%5cb',
  '/a\\b',
  '/..\\a',
  '/a%00',
  '/a%0d%0ab',
  '/a%7f',
  '/%',
  '/%4',
  '/%zz',
  '/%u002e',
  '/%252e%252e/',
  '/%252fadmin',
  '/%25a%41',
  '/..;/admin',
  '/a/..;x=1/admin',
  '/.;/admin',
  '/%2e%2e;/admin',
])('canonical path: refuses %j', (raw) => {
  expect(() => canonicalPath(raw)).toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }))
})

test('canonical path: is its own canonical path', () => {
  const piece = fc.constantFrom('a', 'B', '.', '..', '/', '//', '%2e', '%41', '%c3', '%25', ';', ';x', '~', '%3B')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      let once: string
      try {
        once = canonicalPath(`/${pieces.join('')}`)
      } catch {
        return
      }
      expect(canonicalPath(once)).toBe(once)
      expect(once.split('/')).not.toContain('..')
    }),
    { numRuns: 2_000 },
  )
})
