// HTTPRoute matching by the standard's own tables.

import { expect, test } from 'vitest'
import { compileMatcher, findRule, type MatchInput, matches, rewritePath, whyNot } from '../../mesh-config/match.ts'
import type { Match, Rule } from '../../mesh-config/snapshot.ts'

const request = (line: string, headers: Record<string, string> = {}): MatchInput => {
  const [method, target] = line.split(' ') as [string, string]
  const at = target.indexOf('?')
  return {
    method,
    path: at < 0 ? target : target.slice(0, at),
    query: at < 0 ? '' : target.slice(at),
    header: (name) => headers[name],
  }
}
const match = (part: Partial<Match>): Match => ({
  path: { type: 'PathPrefix', value: '/' },
  headers: [],
  query: [],
  ...part,
})

test.each([
  ['PathPrefix', '/abc', '/abc', true],
  ['PathPrefix', '/abc', '/abc/', true],
  ['PathPrefix', '/abc', '/abc/def', true],
  ['PathPrefix', '/abc', '/abcd', false],
  ['PathPrefix', '/abc', '/ABC', false],
  ['PathPrefix', '/abc', '/', false],
  ['PathPrefix', '/abc', '/x/abc', false],
  ['PathPrefix', '/abc/', '/abc', true],
  ['PathPrefix', '/abc/', '/abc/', true],
  ['PathPrefix', '/abc/', '/abc/def', true],
  ['PathPrefix', '/abc/', '/abcd', false],
  ['PathPrefix', '/', '/anything', true],
  ['PathPrefix', '/', '*', true],
  ['Exact', '/abc', '/abc', true],
  ['Exact', '/abc', '/abc/', false],
  ['Exact', '/abc/', '/abc', false],
  ['Exact', '/abc', '/Abc', false],
  ['RegularExpression', '/v[0-9]+', '/v12', true],
  ['RegularExpression', '/v[0-9]+', '/v12/x', false],
  ['RegularExpression', '/v[0-9]+', '/x/v1', false],
] as const)('path: %s %s against %s is %s', (type, value, path, fits) => {
  expect(matches(match({ path: { type, value } }), request(`GET ${path}`))).toBe(fits)
  expect(whyNot(match({ path: { type, value } }), request(`GET ${path}`)) === '').toBe(fits)
})

test.each([
  [{ method: 'POST' }, request('GET /'), 'method is GET, the rule wants POST'],
  [{ method: 'POST' }, request('post /'), 'method is post, the rule wants POST'],
  [
    { headers: [{ type: 'Exact', name: 'canary', value: 'yes' }] },
    request('GET /'),
    'header canary is absent, the rule wants "yes"',
  ],
  [
    { headers: [{ type: 'Exact', name: 'canary', value: 'yes' }] },
    request('GET /', { canary: 'Yes' }),
    'header canary is "Yes", the rule wants "yes"',
  ],
  [
    { headers: [{ type: 'RegularExpression', name: 'canary', value: 'v[0-9]' }] },
    request('GET /', { canary: 'v10' }),
    'header canary is "v10", the rule wants one that matches v[0-9]',
  ],
  [
    { query: [{ type: 'Exact', name: 'a', value: '1' }] },
    request('GET /?A=1'),
    'query parameter a is absent, the rule wants "1"',
  ],
  [
    { query: [{ type: 'Exact', name: 'a', value: '2' }] },
    request('GET /?a=1&a=2'),
    'query parameter a is "1", the rule wants "2"',
  ],
  [
    { method: 'PUT', path: { type: 'Exact', value: '/a' } },
    request('GET /b'),
    'method is GET, the rule wants PUT; path /b is not exactly /a',
  ],
] as [Partial<Match>, MatchInput, string][])('whyNot: says what is missing (%#)', (part, input, why) => {
  expect(matches(match(part), input)).toBe(false)
  expect(whyNot(match(part), input)).toBe(why)
})

test('query: decodes names and values before they are compared', () => {
  const wanted = match({ query: [{ type: 'Exact', name: 'a b', value: 'ü&' }] })
  expect(matches(wanted, request('GET /?x=1&a+b=%C3%BC%26'))).toBe(true)
})

test('headers and query: are not looked up when the path already decides', () => {
  const wanted = match({
    path: { type: 'Exact', value: '/a' },
    headers: [{ type: 'Exact', name: 'h', value: '1' }],
  })
  const input: MatchInput = {
    method: 'GET',
    path: '/b',
    query: '',
    header: () => expect.unreachable('header was asked for'),
  }
  expect(matches(wanted, input)).toBe(false)
})

test('findRule: takes the first rule that fits, and so does the compiled form', () => {
  const rule = (id: string, part: Partial<Match>): Rule => ({
    id,
    route: 'default/r',
    index: 0,
    match: match(part),
    filters: {},
    backends: [],
    timeouts: { requestMs: null, backendRequestMs: null },
    retry: { attempts: 0, codes: [], backoffMs: 25, backoffMaxMs: 250, anyMethod: false },
  })
  const rules = [
    rule('exact', { path: { type: 'Exact', value: '/a' } }),
    rule('post', { method: 'POST' }),
    rule('prefix', { path: { type: 'PathPrefix', value: '/a' } }),
  ]
  const compiled = compileMatcher(rules)
  for (const [line, id] of [
    ['POST /a', 'exact'],
    ['POST /a/b', 'post'],
    ['GET /a/b', 'prefix'],
    ['GET /b', undefined],
  ] as const) {
    expect(findRule(rules, request(line))?.id).toBe(id)
    expect(compiled(request(line))?.id).toBe(id)
  }
})

// The table of HTTPPathModifier.ReplacePrefixMatch in the standard, then what it leaves open.
test.each([
  ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
  ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
  ['/foo/bar', '/foo/', '/xyz', '/xyz/bar'],
  ['/foo/bar', '/foo/', '/xyz/', '/xyz/bar'],
  ['/foo', '/foo', '/xyz', '/xyz'],
  ['/foo/', '/foo', '/xyz', '/xyz/'],
  ['/foo/bar', '/foo', '', '/bar'],
  ['/foo/', '/foo', '', '/'],
  ['/foo', '/foo', '', '/'],
  ['/foo/', '/foo', '/', '/'],
  ['/foo', '/foo', '/', '/'],
  ['/foo', '/foo', '/xyz/', '/xyz'],
  ['/bar', '/', '/xyz', '/xyz/bar'],
  ['/', '/', '/xyz', '/xyz/'],
  ['/foobar', '/foo', '/xyz', '/foobar'],
])('rewritePath: %s with prefix %s replaced by "%s" is %s', (path, prefix, value, expected) => {
  expect(rewritePath({ type: 'ReplacePrefixMatch', prefix, value }, path)).toBe(expected)
})

test('rewritePath: replaces the whole path, never by nothing', () => {
  expect(rewritePath({ type: 'ReplaceFullPath', value: '/x' }, '/foo/bar')).toBe('/x')
  expect(rewritePath({ type: 'ReplaceFullPath', value: '' }, '/foo/bar')).toBe('/')
})
