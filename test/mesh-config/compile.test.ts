// Config and discovery → snapshot: precedence, producers and consumers, versions, policies, who may call.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backendKey, compileSnapshot, type Instance, type Self } from '../../mesh-config/compile.ts'
import type { MeshConfig } from '../../mesh-config/config.ts'
import { findRule } from '../../mesh-config/match.ts'
import { byPrecedence, type Ranked, whyFirst } from '../../mesh-config/order.ts'
import { type Match, parseSnapshot, type Rule, type Snapshot } from '../../mesh-config/snapshot.ts'
import { compileStandalone } from '../../mesh-config/standalone.ts'
import { CALLER, instance, ours, route, service, valid } from './support.ts'

const compile = (config: MeshConfig, instances: Instance[] = [], self: Self = CALLER): Snapshot =>
  compileSnapshot(config, instances, self, ['PEM'])
const rulesTo = (snapshot: Snapshot, name: string, namespace = 'default'): Rule[] =>
  snapshot.services.find((one) => one.service === name && one.namespace === namespace)?.rules ?? []
const backend = (snapshot: Snapshot, name: string): Snapshot['backends'][number] =>
  snapshot.backends.find((one) => one.name === name)!
const names = (rules: readonly Rule[]): (string | undefined)[] => rules.map((rule) => rule.name)

const WORLD = service('worker') + service('a') + service('b')
const A = 'backendRefs: [{name: a}]'

// ── precedence ──────────────────────────────────────────────────────────────────────────────────────────────────────

test('precedence: follows the standard over all routes of a service, not the order of the file', () => {
  const config = valid(
    WORLD +
      route(
        'zz',
        'worker',
        `[
      {name: any, ${A}},
      {name: prefix-a, matches: [{path: {value: /a}}], ${A}},
      {name: query, matches: [{path: {value: /a/b}, queryParams: [{name: q, value: x}]}], ${A}},
      {name: two-headers, matches: [{path: {value: /a/b}, headers: [{name: h, value: x}, {name: i, value: x}]}], ${A}},
      {name: one-header, matches: [{path: {value: /a/b}, headers: [{name: h, value: x}]}], ${A}},
      {name: method, matches: [{path: {value: /a/b}, method: GET}], ${A}},
      {name: longer-prefix, matches: [{path: {value: /a/b/c}}], ${A}},
      {name: regex, matches: [{path: {type: RegularExpression, value: "/[a-z]"}}], ${A}}]`,
      ) +
      route('aa', 'worker', `[{name: exact, matches: [{path: {type: Exact, value: /z}}], ${A}}]`),
  )
  expect(names(rulesTo(compile(config), 'worker'))).toEqual([
    'exact',
    'regex',
    'longer-prefix',
    'method',
    'two-headers',
    'one-header',
    'query',
    'prefix-a',
    'any',
  ])
})

test('precedence: falls to {namespace}/{name} of the route, then to the place in it, when all else is equal', () => {
  const rules = (tag: string): string => `[{name: ${tag}1, ${A}}, {name: ${tag}2, ${A}}]`
  const one = WORLD + route('beta', 'worker', rules('b')) + route('alpha', 'worker', rules('a'))
  const other = route('alpha', 'worker', rules('a')) + route('beta', 'worker', rules('b')) + WORLD
  for (const text of [one, other]) {
    expect(names(rulesTo(compile(valid(text)), 'worker'))).toEqual(['a1', 'a2', 'b1', 'b2'])
  }
})

test('precedence: counts a repeated header once', () => {
  const config = valid(
    WORLD +
      route(
        'r',
        'worker',
        `[{name: twice, matches: [{headers: [{name: A, value: x}, {name: a, value: y}]}], ${A}},
          {name: two, matches: [{headers: [{name: b, value: x}, {name: c, value: y}]}], ${A}}]`,
      ),
  )
  const rules = rulesTo(compile(config), 'worker')
  expect(names(rules)).toEqual(['two', 'twice'])
  expect(rules[1]!.match.headers).toEqual([{ type: 'Exact', name: 'a', value: 'x' }])
})

test('precedence: spreads the matches of one rule, which keep its identity', () => {
  const config = valid(
    WORLD +
      route(
        'r',
        'worker',
        `[{name: both, matches: [{path: {value: /a}}, {path: {value: /a/b/c}}], ${A}},
        {name: between, matches: [{path: {value: /a/b}}], ${A}}]`,
      ),
  )
  const rules = rulesTo(compile(config), 'worker')
  expect(names(rules)).toEqual(['both', 'between', 'both'])
  expect(rules[0]!.id).toBe(rules[2]!.id)
  expect(rules[1]!.id).not.toBe(rules[0]!.id)
})

const arbitraryMatch: fc.Arbitrary<Match> = fc.record(
  {
    path: fc.record({
      type: fc.constantFrom('Exact', 'PathPrefix', 'RegularExpression'),
      value: fc.constantFrom('/', '/a', '/a/', '/b', '/a/b', '/a/b/c'),
    }),
    method: fc.constantFrom('GET', 'POST'),
    headers: fc.uniqueArray(
      fc.record({ type: fc.constant('Exact'), name: fc.constantFrom('x', 'y', 'z'), value: fc.constantFrom('1', '2') }),
      { selector: (header) => header.name, maxLength: 3 },
    ),
    query: fc.uniqueArray(
      fc.record({ type: fc.constant('Exact'), name: fc.constantFrom('q', 'r'), value: fc.constant('1') }),
      { selector: (param) => param.name, maxLength: 2 },
    ),
  },
  { requiredKeys: ['path', 'headers', 'query'] },
) as fc.Arbitrary<Match>
const arbitraryRanked: fc.Arbitrary<Ranked[]> = fc
  .array(fc.record({ match: arbitraryMatch, route: fc.constantFrom('d/a', 'd/b'), ruleIndex: fc.nat(3) }), {
    minLength: 2,
    maxLength: 12,
  })
  .map((list) => list.map((one, matchIndex) => ({ ...one, matchIndex })))

test('precedence: is one total order, whatever order the documents come in', () => {
  fc.assert(
    fc.property(
      arbitraryRanked.chain((list) =>
        fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
      ),
      ([list, shuffled]) => {
        expect([...shuffled].sort(byPrecedence)).toEqual([...list].sort(byPrecedence))
      },
    ),
    { numRuns: 500, seed: 1 },
  )
})

test('precedence: never lets a less specific match hide a more specific one', () => {
  // The standard's own list, written a second time and plainly, as an oracle.
  const key = ({ match }: Ranked): number[] => [
    match.path.type === 'Exact' ? 1 : 0,
    match.path.type === 'PathPrefix' ? match.path.value.replace(/\/$/, '').length : 0,
    match.method === undefined ? 0 : 1,
    match.headers.length,
    match.query.length,
  ]
  const noRegex = arbitraryRanked.map((list) => list.filter(({ match }) => match.path.type !== 'RegularExpression'))
  fc.assert(
    fc.property(noRegex, (list) => {
      const sorted = [...list].sort(byPrecedence)
      for (let i = 1; i < sorted.length; i++) {
        const [before, after] = [key(sorted[i - 1]!), key(sorted[i]!)]
        const at = before.findIndex((value, index) => value !== after[index])
        expect(at < 0 || before[at]! > after[at]!).toBe(true)
        expect(whyFirst(sorted[i - 1]!, sorted[i]!)).not.toBe('')
      }
    }),
    { numRuns: 500, seed: 2 },
  )
})

// ── which routes ────────────────────────────────────────────────────────────────────────────────────────────────────

test('routes: a service without any has one rule to itself', () => {
  expect(rulesTo(compile(valid(WORLD)), 'worker')).toMatchObject([
    {
      id: 'default:default/worker',
      match: { path: { type: 'PathPrefix', value: '/' } },
      backends: [{ backend: 'worker' }],
    },
  ])
})

test('routes: replace the default, so what they do not match is matched by nothing', () => {
  const config = valid(WORLD + route('r', 'worker', `[{matches: [{path: {value: /a}}], ${A}}]`))
  const rules = rulesTo(compile(config), 'worker')
  const request = (path: string) => ({ method: 'GET', path, query: '', header: () => undefined })
  expect(findRule(rules, request('/a/x'))?.backends).toMatchObject([{ backend: 'a' }])
  expect(findRule(rules, request('/b'))).toBeUndefined()
})

test('routes: one without rules is one rule for everything, which leads nowhere', () => {
  const text = route('r', 'worker', '[]').replace(/\n {2}rules: .*\n/, '\n')
  expect(rulesTo(compile(valid(WORLD + text)), 'worker')).toMatchObject([
    { match: { path: { value: '/' } }, backends: [{ backend: '', weight: 1, invalid: 'NoBackends' }] },
  ])
})

test('routes: a consumer route rules its own namespace, alone, and nobody else', () => {
  const shop = WORLD + route('producer', 'worker', `[{name: producer, ${A}}]`)
  const consumer = route('mine', 'worker', '[{name: consumer, backendRefs: [{name: b, namespace: default}]}]', {
    namespace: 'team',
    parentNamespace: 'default',
  })
  const config = valid(shop + consumer)
  const of = (namespace: string): Rule[] => rulesTo(compile(config, [], { ...CALLER, namespace }), 'worker')
  expect(names(of('default'))).toEqual(['producer'])
  expect(names(of('team'))).toEqual(['consumer'])
  expect(names(of('third'))).toEqual(['producer'])
})

test('routes: a consumer route leaves the default to all others when there is no producer route', () => {
  const consumer = route('mine', 'worker', '[{name: consumer, backendRefs: [{name: b, namespace: default}]}]', {
    namespace: 'team',
    parentNamespace: 'default',
  })
  expect(names(rulesTo(compile(valid(WORLD + consumer)), 'worker'))).toEqual(['default'])
})

test('routes: attached to two services rule both', () => {
  const text = route('r', 'worker', `[{name: both, ${A}}]`).replace(
    'parentRefs: [',
    'parentRefs: [{group: fairlead.dev, kind: Service, name: b}, ',
  )
  const snapshot = compile(valid(WORLD + text))
  expect(names(rulesTo(snapshot, 'worker'))).toEqual(['both'])
  expect(names(rulesTo(snapshot, 'b'))).toEqual(['both'])
})

// ── what a rule says ────────────────────────────────────────────────────────────────────────────────────────────────

test.each([
  [
    '[{name: a, weight: 90}, {name: b, weight: 10}]',
    [
      ['a', 90],
      ['b', 10],
    ],
  ],
  [
    '[{name: a}, {name: b}]',
    [
      ['a', 1],
      ['b', 1],
    ],
  ],
  [
    '[{name: a, weight: 0}, {name: b}]',
    [
      ['a', 0],
      ['b', 1],
    ],
  ],
  [
    '[{name: a}, {name: a, weight: 3}]',
    [
      ['a', 1],
      ['a', 3],
    ],
  ],
  [
    '[{name: a, weight: 0}]',
    [
      ['a', 0],
      ['', 1],
    ],
  ],
  ['[]', [['', 1]]],
])('weights: %s become %j', (refs, expected) => {
  const config = valid(WORLD + route('r', 'worker', `[{backendRefs: ${refs}}]`))
  const [rule] = rulesTo(compile(config), 'worker')
  expect(rule!.backends.map((ref) => [ref.backend, ref.weight])).toEqual(expected)
})

test('backends: that are not there take their share as invalid, and the snapshot is still one', () => {
  const config = valid(WORLD + route('r', 'worker', '[{backendRefs: [{name: a, weight: 3}, {name: b}]}]'))
  const gone = { ...config, services: config.services.filter((one) => one.name !== 'b') }
  const snapshot = compile(gone)
  expect(rulesTo(snapshot, 'worker')[0]!.backends).toEqual([
    { backend: 'a', weight: 3, filters: {} },
    { backend: 'b', weight: 1, filters: {}, invalid: 'BackendNotFound' },
  ])
  expect(parseSnapshot(JSON.parse(JSON.stringify(snapshot)))).toEqual(snapshot)
})

test.each([
  ['', { requestMs: null, backendRequestMs: null }],
  ['timeouts: {request: 2s}', { requestMs: 2000, backendRequestMs: null }],
  ['timeouts: {request: 2s, backendRequest: 500ms}', { requestMs: 2000, backendRequestMs: 500 }],
  ['timeouts: {request: 0s, backendRequest: 0s}', { requestMs: null, backendRequestMs: null }],
])('timeouts: "%s" is %j', (text, expected) => {
  const config = valid(WORLD + route('r', 'worker', `[{${A}${text && `, ${text}`}}]`))
  expect(rulesTo(compile(config), 'worker')[0]!.timeouts).toEqual(expected)
})

test('timeouts: come from the TrafficPolicy of the service where the rule says none, also inbound', () => {
  const policy = ours('TrafficPolicy', 'p', '{targetRef: {kind: Service, name: worker}, timeouts: {request: 7s}}')
  const config = valid(
    WORLD +
      policy +
      route('r', 'worker', `[{name: own, timeouts: {request: 0s}, matches: [{method: GET}], ${A}}, {${A}}]`),
  )
  const worker = { ...CALLER, service: 'worker' }
  expect(rulesTo(compile(config), 'worker').map((rule) => rule.timeouts.requestMs)).toEqual([null, 7000])
  expect(compile(config, [], worker).inbound.requestTimeoutMs).toBe(7000)
  expect(compile(config).inbound.requestTimeoutMs).toBeNull()
})

test.each([
  ['', { attempts: 2, codes: [], backoffMs: 25, backoffMaxMs: 250, anyMethod: false }],
  ['retry: {}', { attempts: 2, codes: [], backoffMs: 25, backoffMaxMs: 250, anyMethod: true }],
  ['retry: {attempts: 0}', { attempts: 0, codes: [], backoffMs: 25, backoffMaxMs: 250, anyMethod: true }],
  [
    'retry: {attempts: 5, codes: [503, 500, 503], backoff: 100ms}',
    { attempts: 5, codes: [503, 500], backoffMs: 100, backoffMaxMs: 1000, anyMethod: true },
  ],
])('retry: "%s" is %j', (text, expected) => {
  const config = valid(WORLD + route('r', 'worker', `[{${A}${text && `, ${text}`}}]`))
  expect(rulesTo(compile(config), 'worker')[0]!.retry).toEqual(expected)
})

test('filters: are resolved with names in lower case and the prefix of the match', () => {
  const config = valid(
    WORLD +
      route(
        'r',
        'worker',
        `[{matches: [{path: {value: /%61pi/}}], filters: [
        {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: "1"}], add: [{name: X-B, value: "2"}], remove: [X-C]}},
        {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Server]}},
        {type: URLRewrite, urlRewrite: {hostname: in.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}}],
        backendRefs: [{name: a, filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /x}}}]}]}]`,
      ),
  )
  const [rule] = rulesTo(compile(config), 'worker')
  expect(rule!.match.path.value).toBe('/api/')
  expect(rule!.filters).toEqual({
    requestHeaders: { set: [{ name: 'x-a', value: '1' }], add: [{ name: 'x-b', value: '2' }], remove: ['x-c'] },
    responseHeaders: { set: [], add: [], remove: ['server'] },
    rewrite: { hostname: 'in.example', path: { type: 'ReplacePrefixMatch', prefix: '/api/', value: '/v2' } },
  })
  expect(rule!.backends[0]!.filters).toEqual({ rewrite: { path: { type: 'ReplaceFullPath', value: '/x' } } })
})

test('filters: a redirect needs no backends and is 302 unless it says so', () => {
  const config = valid(
    WORLD +
      route(
        'r',
        'worker',
        '[{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: x.example, port: 8443}}]}]',
      ),
  )
  expect(rulesTo(compile(config), 'worker')[0]).toMatchObject({
    filters: { redirect: { scheme: 'https', hostname: 'x.example', port: 8443, statusCode: 302 } },
    backends: [],
  })
})

// ── backends ────────────────────────────────────────────────────────────────────────────────────────────────────────

const VERSIONS =
  service('worker') +
  service('worker-v1', '{selector: {service: worker, version: v1}}') +
  service('worker-v2', '{selector: {service: worker, version: v2}}')

test('backends: a selector picks the passing instances of one version, all with the identity of the service', () => {
  const snapshot = compile(valid(VERSIONS), [
    instance('w-2', { port: 2 }),
    instance('w-1', { port: 1, region: 'eu' }),
    instance('w-3', { version: 'v2', port: 3 }),
    instance('w-4', { passing: false, port: 4 }),
    instance('w-5', { namespace: 'other', port: 5 }),
    instance('x-1', { service: 'x', port: 6 }),
  ])
  const ports = (name: string): number[] => backend(snapshot, name).endpoints.map((endpoint) => endpoint.port)
  expect([ports('worker'), ports('worker-v1'), ports('worker-v2')]).toEqual([[1, 2, 3], [1, 2], [3]])
  expect(backend(snapshot, 'worker-v1')).toMatchObject({
    service: 'worker',
    version: 'v1',
    transport: 'mesh',
    identity: 'spiffe://fairlead.local/ns/default/sa/worker',
    endpoints: [{ instance: 'w-1', address: '127.0.0.1', port: 1, version: 'v1', region: 'eu' }, { instance: 'w-2' }],
  })
})

test('backends: a discovered service without a document is reachable all the same', () => {
  const snapshot = compile(valid(''), [instance('x-1', { service: 'x', namespace: 'team' })])
  expect(snapshot.services).toMatchObject([
    { service: 'x', namespace: 'team', rules: [{ backends: [{ backend: 'x.team' }] }] },
  ])
  expect(backend(snapshot, backendKey('x', 'team'))).toMatchObject({
    identity: 'spiffe://fairlead.local/ns/team/sa/x',
    endpoints: [{ instance: 'x-1' }],
  })
})

test('backends: static endpoints are plain, unless an identity makes them mTLS', () => {
  const snapshot = compile(
    valid(
      service(
        's',
        '{hostnames: [x.example, "y.example:81"], endpoints: [{address: 10.0.0.1, port: 80}, {address: h, port: 81, instance: i, version: v, region: r}]}',
      ) + service('t', '{endpoints: [{address: 10.0.0.1, port: 80}], identity: "spiffe://else.where/a"}'),
    ),
  )
  expect(backend(snapshot, 's')).toMatchObject({
    transport: 'plain',
    identity: '',
    policy: { idleTimeoutMs: 4000 },
    endpoints: [
      { instance: 's-1', address: '10.0.0.1', port: 80, version: '', region: '' },
      { instance: 'i', address: 'h', port: 81, version: 'v', region: 'r' },
    ],
  })
  expect(backend(snapshot, 't')).toMatchObject({ transport: 'mesh', identity: 'spiffe://else.where/a' })
  expect(snapshot.services.map((one) => one.aliases)).toEqual([['x.example', 'y.example:81'], []])
})

test('policy: fields come from the version, then its service, then the defaults', () => {
  const config = valid(
    VERSIONS +
      ours(
        'TrafficPolicy',
        'all',
        '{targetRef: {kind: Service, name: worker}, balance: roundRobin, breaker: {failures: 9, open: 1s}, outlier: {baseEjection: 10m}}',
      ) +
      ours(
        'TrafficPolicy',
        'one',
        '{targetRefs: [{kind: Service, name: worker-v1}], breaker: {failures: 2}, limits: {maxRequests: 7}, timeouts: {connect: 2s, idle: 9s}}',
      ),
  )
  const snapshot = compile(config)
  expect(backend(snapshot, 'worker-v1').policy).toEqual({
    balance: 'roundRobin',
    limits: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 7 },
    connectTimeoutMs: 2000,
    idleTimeoutMs: 9000,
    breaker: { failures: 2, failurePercent: 50, windowMs: 10_000, openMs: 1000 },
    outlier: { consecutiveFailures: 5, baseEjectionMs: 600_000, maxEjectionMs: 600_000, maxEjectionPercent: 50 },
    retryBudget: { percent: 20, minPerSecond: 10 },
  })
  expect(backend(snapshot, 'worker-v2').policy.breaker.failures).toBe(9)
  expect(backend(compile(valid(VERSIONS)), 'worker').policy).toEqual({
    balance: 'leastRequest',
    limits: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024 },
    connectTimeoutMs: 1000,
    idleTimeoutMs: 60_000,
    breaker: { failures: 5, failurePercent: 50, windowMs: 10_000, openMs: 30_000 },
    outlier: { consecutiveFailures: 5, baseEjectionMs: 30_000, maxEjectionMs: 300_000, maxEjectionPercent: 50 },
    retryBudget: { percent: 20, minPerSecond: 10 },
  })
})

// ── inbound ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const WORKER: Self = { service: 'worker', namespace: 'default', version: 'v1', instance: 'w-1' }
const authorization = (name: string, target: string, rest: string, namespace = 'default'): string =>
  ours('AuthorizationPolicy', name, `{targetRef: {kind: Service, name: ${target}}, ${rest}}`, namespace)

test('inbound: allows everybody without a policy, nobody but the named from the first one on', () => {
  expect(compile(valid(VERSIONS), [], WORKER).inbound).toEqual({
    protocol: 'http',
    defaultAction: 'allow',
    rules: [],
    requestTimeoutMs: null,
  })
  const config = valid(
    VERSIONS +
      authorization(
        'p',
        'worker',
        'rules: [{from: {principals: ["spiffe://fairlead.local/ns/default/sa/scheduler"], namespaces: [a]}, to: {methods: [GET], paths: [/%61/*]}}]',
      ),
  )
  expect(compile(config, [], WORKER).inbound).toMatchObject({
    defaultAction: 'deny',
    rules: [
      {
        policy: 'default/p',
        action: 'ALLOW',
        principals: ['spiffe://fairlead.local/ns/default/sa/scheduler'],
        namespaces: ['a'],
        methods: ['GET'],
        paths: ['/a/*'],
      },
    ],
  })
})

test('inbound: a policy without rules allows nobody, one with an empty rule everybody', () => {
  const none = compile(valid(VERSIONS + authorization('p', 'worker', 'action: ALLOW')), [], WORKER).inbound
  expect(none).toMatchObject({ defaultAction: 'deny', rules: [] })
  const all = compile(valid(VERSIONS + authorization('p', 'worker', 'rules: [{}]')), [], WORKER).inbound
  expect(all.rules).toEqual([
    { policy: 'default/p', action: 'ALLOW', principals: [], namespaces: [], methods: [], paths: [] },
  ])
})

test('inbound: holds denials before permissions', () => {
  const text =
    VERSIONS +
    authorization('a', 'worker', 'rules: [{}]') +
    authorization('b', 'worker', 'action: DENY, rules: [{to: {paths: [/x]}}]')
  expect(compile(valid(text), [], WORKER).inbound.rules.map((rule) => rule.action)).toEqual(['DENY', 'ALLOW'])
})

test.each([
  [WORKER, ['default/all', 'default/v1']],
  [{ ...WORKER, version: 'v2' }, ['default/all']],
  [{ ...WORKER, service: 'other' }, []],
  [{ ...WORKER, namespace: 'team' }, []],
])('inbound: %j enforces %j', (self, policies) => {
  const text =
    VERSIONS + authorization('all', 'worker', 'rules: [{}]') + authorization('v1', 'worker-v1', 'rules: [{}]')
  expect(compile(valid(text), [], self).inbound.rules.map((rule) => rule.policy)).toEqual(policies)
})

// ── the whole ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('version: is the same for the same content, in whatever order it came, and changes with it', () => {
  const one = [instance('w-1'), instance('w-2')]
  const config = valid(VERSIONS)
  const version = compile(config, one).version
  expect(compile(valid(VERSIONS), [...one].reverse()).version).toBe(version)
  expect(compile(config, one.slice(1)).version).not.toBe(version)
  expect(compile(config, one, WORKER).version).not.toBe(version)
  expect(compile(valid(VERSIONS + route('r', 'worker', '[{backendRefs: [{name: worker-v1}]}]')), one).version).not.toBe(
    version,
  )
})

test('standalone: static endpoints, plain, for nobody in particular', () => {
  const config = valid(service('web', '{endpoints: [{address: 127.0.0.1, port: 8080}]}') + VERSIONS)
  const snapshot = compileStandalone(config)
  expect(parseSnapshot(JSON.parse(JSON.stringify(snapshot)))).toEqual(snapshot)
  expect(snapshot).toMatchObject({
    trustBundle: [],
    self: { service: 'standalone' },
    inbound: { defaultAction: 'allow' },
  })
  expect(backend(snapshot, 'web')).toMatchObject({ transport: 'plain', identity: '', endpoints: [{ port: 8080 }] })
  expect(backend(snapshot, 'worker').endpoints).toEqual([])
})

test('standalone: speaks mTLS to static endpoints when it has certificates', () => {
  const config = valid(service('web', '{endpoints: [{address: 127.0.0.1, port: 8080}]}'))
  const snapshot = compileStandalone(config, { mtls: true, trustBundle: ['PEM'], self: { service: 'web' } })
  expect(backend(snapshot, 'web')).toMatchObject({
    transport: 'mesh',
    identity: 'spiffe://fairlead.local/ns/default/sa/web',
    policy: { idleTimeoutMs: 60_000 },
  })
  expect(snapshot).toMatchObject({ trustBundle: ['PEM'], self: { service: 'web', instance: 'standalone' } })
  expect(snapshot.version).not.toBe(compileStandalone(config).version)
})
