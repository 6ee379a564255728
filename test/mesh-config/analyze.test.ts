// `analyzeConfig`: each mistake at its place, and silence about what is meant.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { analyzeConfig } from '../../mesh-config/analysis/analyze.ts'
import { coversMatch, coversPattern, coversRule } from '../../mesh-config/analysis/cover.ts'
import type { AuthorizationRule, Match } from '../../mesh-config/snapshot.ts'
import { ours, route, service } from './support.ts'

const PARTS =
  service('worker') +
  service('worker-v1', '{selector: {service: worker, version: v1}}') +
  service('worker-v2', '{selector: {service: worker, version: v2}}')
const SPLIT = route('split', 'worker', '[{backendRefs: [{name: worker-v1}, {name: worker-v2}]}]')

/** Codes with the text that the finding points at. */
function codes(...texts: string[]): string[] {
  const analysis = analyzeConfig(texts.map((text, at) => ({ name: `${at + 1}.yaml`, text })))
  if ('problems' in analysis) throw new Error(analysis.problems.map((one) => `${one.code} ${one.message}`).join('\n'))
  return analysis.findings.map(({ code, excerpt, caret, length }) => `${code} ${excerpt.slice(caret, caret + length)}`)
}
const rules = (list: string): string[] => codes(PARTS + SPLIT + service('shop') + route('r', 'shop', list))

test('analyze: finds nothing when the demo and the examples are looked at', () => {
  const folder = (path: string) => {
    const dir = join(import.meta.dirname, '../../mesh-config', path)
    return readdirSync(dir).map((name) => ({ name, text: readFileSync(join(dir, name), 'utf8') }))
  }
  expect(analyzeConfig(folder('demo'))).toEqual({ findings: [] })
  for (const file of folder('examples')) expect(analyzeConfig([file]), file.name).toEqual({ findings: [] })
})

test('analyze: gives the problems back when the config is not valid', () => {
  const analysis = analyzeConfig([{ name: 'a.yaml', text: service('a', '{protocl: http}') }])
  expect('problems' in analysis && analysis.problems.map((one) => one.code)).toEqual(['UNKNOWN_FIELD'])
})

test('analyze: tells file, line, column and who comes first when a rule is shadowed by another route', () => {
  const first = route('a', 'shop', '[{matches: [{path: {value: /x}}], backendRefs: [{name: shop}]}]')
  const second = route('b', 'shop', '[{matches: [{path: {value: /x/}}], backendRefs: [{name: shop}]}]')
  const analysis = analyzeConfig([
    { name: '1.yaml', text: service('shop') + first },
    { name: '2.yaml', text: second },
  ])
  expect('findings' in analysis && analysis.findings).toMatchObject([
    {
      severity: 'warning',
      code: 'RULE_SHADOWED',
      file: '2.yaml',
      line: 7,
      column: 11,
      message:
        'this rule never sees a request: default/a rule 1 (1.yaml:12) takes all of it first ' +
        '(equal otherwise; default/a comes before default/b by name)',
    },
  ])
})

test.each([
  ['the same match twice', '[{backendRefs: [{name: shop}]}, {backendRefs: [{name: shop}]}]', 1],
  [
    'an expression for any path before a prefix',
    '[{matches: [{path: {type: RegularExpression, value: "/.*"}}], backendRefs: [{name: shop}]}, {backendRefs: [{name: shop}]}]',
    1,
  ],
  [
    'an expression for any value of the same header',
    '[{matches: [{headers: [{type: RegularExpression, name: A, value: ".*"}]}], backendRefs: [{name: shop}]}, {matches: [{headers: [{name: a, value: "1"}]}], backendRefs: [{name: shop}]}]',
    1,
  ],
  [
    'one match of two',
    '[{backendRefs: [{name: shop}]}, {matches: [{method: GET}, {path: {value: /}}], backendRefs: [{name: shop}]}]',
    1,
  ],
  [
    'a narrower one that goes first',
    '[{backendRefs: [{name: shop}]}, {matches: [{method: GET}], backendRefs: [{name: shop}]}]',
    0,
  ],
  [
    'a longer prefix that goes first',
    '[{matches: [{path: {value: /a}}], backendRefs: [{name: shop}]}, {matches: [{path: {value: /a/b}}], backendRefs: [{name: shop}]}]',
    0,
  ],
  [
    'another header',
    '[{matches: [{headers: [{name: a, value: "1"}]}], backendRefs: [{name: shop}]}, {matches: [{headers: [{name: b, value: "1"}]}], backendRefs: [{name: shop}]}]',
    0,
  ],
  [
    'neighbours by characters only',
    '[{matches: [{path: {value: /ab}}], backendRefs: [{name: shop}]}, {matches: [{path: {value: /a}}], backendRefs: [{name: shop}]}]',
    0,
  ],
])('analyze: shadowed by %s', (_, list, count) => {
  expect(rules(list).filter((one) => one.startsWith('RULE_SHADOWED'))).toHaveLength(count)
})

test('analyze: routes of other namespaces do not shadow those of the service', () => {
  const own = route('a', 'shop', '[{backendRefs: [{name: shop}]}]')
  const consumer = route('a', 'shop', '[{backendRefs: [{name: shop, namespace: default}]}]', { namespace: 'team' })
  expect(codes(service('shop') + own + consumer)).toEqual([])
})

test.each([
  ['[{backendRefs: [{name: worker-v1, weight: 1}, {name: worker-v2, weight: 0}]}]', ['SPLIT_ONE_SIDED backendRefs']],
  ['[{backendRefs: [{name: worker-v1, weight: 0}, {name: worker-v2, weight: 0}]}]', ['NO_BACKENDS backendRefs']],
  ['[{backendRefs: [{name: worker-v1}, {name: worker-v1, weight: 3}]}]', ['BACKEND_TWICE worker-v1']],
  ['[{backendRefs: [{name: worker-v1}]}]', []],
  ['[{backendRefs: [{name: worker-v1, weight: 99}, {name: worker-v2, weight: 1}]}]', []],
])('analyze: of the split %s says %j', (list, expected) => {
  expect(rules(list)).toEqual(expected)
})

const REDIRECT = (redirect: string, match = '{path: {value: /a}}'): string =>
  `[{matches: [${match}], filters: [{type: RequestRedirect, requestRedirect: ${redirect}}]}]`
test.each([
  ['{statusCode: 301}', 1],
  ['{path: {type: ReplacePrefixMatch, replacePrefixMatch: /a/b}}', 1],
  ['{path: {type: ReplaceFullPath, replaceFullPath: /a}}', 1],
  ['{scheme: http}', 1],
  ['{scheme: https}', 0],
  ['{hostname: other.example}', 0],
  ['{port: 8080}', 0],
  ['{path: {type: ReplaceFullPath, replaceFullPath: /b}}', 0],
  ['{path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}', 0],
])('analyze: the redirect %s loops %i times', (redirect, count) => {
  expect(rules(REDIRECT(redirect)).filter((one) => one.startsWith('REDIRECT_LOOP'))).toHaveLength(count)
})

const times = (fields: string): string[] => rules(`[{${fields}, backendRefs: [{name: shop}]}]`)
test.each([
  ['timeouts: {request: 1s, backendRequest: 400ms}, retry: {attempts: 2}', ['TIMEOUT_BELOW_RETRIES 1s']],
  ['timeouts: {request: 1s, backendRequest: 300ms}, retry: {attempts: 3, backoff: 25ms}', ['TIMEOUT_BELOW_RETRIES 1s']],
  ['timeouts: {request: 1s}, retry: {attempts: 5, backoff: 300ms}', ['TIMEOUT_BELOW_RETRIES 1s']],
  ['timeouts: {request: 1s, backendRequest: 300ms}, retry: {attempts: 2, backoff: 50ms}', []],
  ['timeouts: {request: 0s, backendRequest: 10s}, retry: {attempts: 9}', []],
  ['timeouts: {request: 1s, backendRequest: 900ms}', []],
  ['timeouts: {request: 1s, backendRequest: 900ms}, retry: {attempts: 0}', []],
  ['retry: {attempts: 0, codes: [503]}', ['RETRY_OFF 0']],
])('analyze: of %s says %j', (fields, expected) => {
  expect(times(fields)).toEqual(expected)
})

test('analyze: compares a rule with the request timeout of its service', () => {
  const policy = ours('TrafficPolicy', 'p', '{targetRef: {kind: Service, name: shop}, timeouts: {request: 2s}}')
  const with2s = (fields: string) =>
    codes(service('shop') + policy + route('r', 'shop', `[{${fields}, backendRefs: [{name: shop}]}]`))
  expect(with2s('timeouts: {request: 3s}')).toEqual(['TIMEOUT_CUT 3s'])
  expect(with2s('timeouts: {request: 0s}')).toEqual(['TIMEOUT_CUT 0s'])
  expect(with2s('timeouts: {request: 2s}')).toEqual([])
  expect(with2s('timeouts: {backendRequest: 1s}, retry: {attempts: 4}')).toEqual(['TIMEOUT_BELOW_RETRIES retry'])
})

test('analyze: names a retry budget that lets nothing through', () => {
  const policy = (budget: string) =>
    codes(
      service('shop') + ours('TrafficPolicy', 'p', `{targetRef: {kind: Service, name: shop}, retryBudget: ${budget}}`),
    )
  expect(policy('{percent: 0, minPerSecond: 0}')).toEqual(['RETRY_BUDGET_EMPTY retryBudget'])
  expect(policy('{percent: 0}')).toEqual([])
})

const access = (...policies: string[]): string[] =>
  codes(
    PARTS +
      SPLIT +
      service('shop') +
      service('buyer', '{}', 'team') +
      policies
        .map((spec, at) => ours('AuthorizationPolicy', `p${at}`, `{targetRef: {kind: Service, name: shop}, ${spec}}`))
        .join(''),
  )
const ID = 'spiffe://fairlead.local/ns'
test.each([
  ['a policy without rules', ['action: ALLOW'], ['EVERYONE_LOCKED_OUT p0']],
  ['DENY alone', ['action: DENY, rules: [{to: {methods: [DELETE]}}]'], ['EVERYONE_LOCKED_OUT p0']],
  [
    'a DENY that hides the only ALLOW',
    [
      `rules: [{from: {principals: ["${ID}/default/sa/worker"]}}]`,
      'action: DENY, rules: [{from: {namespaces: [default]}}]',
    ],
    [
      'EVERYONE_LOCKED_OUT p0',
      `ALLOW_HIDDEN {from: {principals: ["${ID}/default/sa/worker"]}}`,
      'EVERYONE_LOCKED_OUT p1',
    ],
  ],
  [
    'a DENY that hides one ALLOW of two',
    ['rules: [{to: {paths: [/admin/x]}}, {to: {paths: [/a]}}]', 'action: DENY, rules: [{to: {paths: ["/admin/*"]}}]'],
    ['ALLOW_HIDDEN {to: {paths: [/admin/x]}}'],
  ],
  ['a DENY of one method', ['rules: [{to: {paths: [/a]}}]', 'action: DENY, rules: [{to: {methods: [DELETE]}}]'], []],
  [
    'principal and namespace that exclude each other',
    [`rules: [{}, {from: {principals: ["${ID}/team/sa/buyer"], namespaces: [default]}}]`],
    ['RULE_NEVER_FITS from'],
  ],
  [
    'the identity of a part',
    [`rules: [{from: {principals: ["${ID}/default/sa/worker-v1"]}}]`],
    [`RULE_NEVER_FITS "${ID}/default/sa/worker-v1"`],
  ],
  [
    'an identity of another form',
    ['rules: [{from: {principals: ["spiffe://fairlead.local/worker"]}}]'],
    ['RULE_NEVER_FITS "spiffe://fairlead.local/worker"'],
  ],
  [
    'a misspelt caller',
    [`rules: [{from: {principals: ["${ID}/default/sa/wroker"]}}]`],
    [`PRINCIPAL_UNKNOWN "${ID}/default/sa/wroker"`],
  ],
  ['a misspelt namespace', ['rules: [{from: {namespaces: [tema]}}]'], ['NAMESPACE_UNKNOWN tema']],
  ['a caller of another namespace', [`rules: [{from: {principals: ["${ID}/team/sa/buyer", "${ID}/team/*"]}}]`], []],
  ['everybody', ['rules: [{}]'], []],
])('analyze: access of %s', (_, policies, expected) => {
  expect(access(...policies)).toEqual(expected)
})

test('analyze: names a part of a service when no route leads to it', () => {
  expect(codes(PARTS)).toEqual(['SERVICE_UNUSED worker-v1', 'SERVICE_UNUSED worker-v2'])
  expect(codes(PARTS + SPLIT + service('lonely'))).toEqual([])
})

test('analyze: stays quick when ten thousand rules stand on one service', () => {
  const routes = Array.from({ length: 625 }, (_, at) =>
    route(
      `r${at}`,
      'shop',
      `[${Array.from({ length: 16 }, (_, n) => `{matches: [{path: {value: /${at}/${n}}}], backendRefs: [{name: shop}]}`).join(', ')}]`,
    ),
  )
  const files = routes.map((text, at) => ({ name: `${at}.yaml`, text }))
  expect(analyzeConfig([{ name: 's.yaml', text: service('shop') }, ...files])).toEqual({ findings: [] })
}, 20_000)

// ── cover ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const match = (part: Partial<Match>): Match => ({
  path: { type: 'PathPrefix', value: '/' },
  headers: [],
  query: [],
  ...part,
})
const prefix = (value: string): Match => match({ path: { type: 'PathPrefix', value } })
const exact = (value: string): Match => match({ path: { type: 'Exact', value } })
const regex = (value: string): Match => match({ path: { type: 'RegularExpression', value } })

test.each([
  [prefix('/'), regex('/x')],
  [prefix('/a'), exact('/a')],
  [prefix('/a'), prefix('/a/b')],
  [prefix('/a/'), prefix('/a')],
  [regex('/a+'), exact('/aaa')],
  [regex('/a+'), regex('/a+')],
  [regex('.*'), prefix('/')],
  [match({}), match({ method: 'GET', query: [{ type: 'Exact', name: 'a', value: '1' }] })],
])('cover: %j covers %j', (wide, narrow) => {
  expect(coversMatch(wide, narrow)).toBe(true)
})

test.each([
  [prefix('/a'), regex('/a')],
  [prefix('/a'), prefix('/ab')],
  [prefix('/a/b'), prefix('/a')],
  [exact('/a'), prefix('/a')],
  [exact('/a'), exact('/b')],
  [regex('/a'), prefix('/a')],
  [regex('/a'), exact('/b')],
  [match({ method: 'GET' }), match({})],
  [match({ method: 'GET' }), match({ method: 'POST' })],
  [match({ query: [{ type: 'Exact', name: 'a', value: '1' }] }), match({})],
  [
    match({ headers: [{ type: 'Exact', name: 'a', value: '1' }] }),
    match({ headers: [{ type: 'RegularExpression', name: 'a', value: '1' }] }),
  ],
])('cover: %j does not cover %j', (wide, narrow) => {
  expect(coversMatch(wide, narrow)).toBe(false)
})

const rule = (part: Partial<AuthorizationRule>): AuthorizationRule => ({
  policy: 'p',
  action: 'ALLOW',
  principals: [],
  namespaces: [],
  methods: [],
  paths: [],
  ...part,
})
test.each([
  [rule({}), rule({ methods: ['GET'] }), true],
  [rule({ paths: ['/a*'] }), rule({ paths: ['/a/b', '/a*'] }), true],
  [rule({ namespaces: ['a'] }), rule({ principals: ['spiffe://d/ns/a/sa/x'] }), true],
  [rule({ namespaces: ['a'] }), rule({ principals: ['spiffe://d/ns/a*'] }), false],
  [rule({ namespaces: ['a'] }), rule({ namespaces: ['a', 'b'] }), false],
  [rule({ methods: ['GET'] }), rule({}), false],
  [rule({ paths: ['/a'] }), rule({ paths: ['/a*'] }), false],
])('cover: of %j over %j is %j', (wide, narrow, expected) => {
  expect(coversRule(wide, narrow)).toBe(expected)
})

test('cover: a pattern covers what it begins', () => {
  expect(coversPattern('/a*', '/a')).toBe(true)
  expect(coversPattern('/a', '/a*')).toBe(false)
})
