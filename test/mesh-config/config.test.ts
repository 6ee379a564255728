// What the config language refuses, each with its exact place. `¦` marks where the problem must point.

import { expect, test } from 'vitest'
import { type ParsedConfig, PROBLEMS_MAX, parseConfig } from '../../mesh-config/config.ts'
import { ours, parse, route, service, valid } from './support.ts'

const WORLD = service('worker') + service('worker-v1', '{selector: {service: worker, version: v1}}')

/** [code@line:column] of the errors. */
const placesOf = (parsed: ParsedConfig): string[] =>
  'problems' in parsed ? parsed.problems.map((problem) => `${problem.code}@${problem.line}:${problem.column}`) : []

/** The text without its mark, and where the mark stood. */
function marked(text: string): { text: string; place: string } {
  const before = text.slice(0, text.indexOf('¦')).split('\n')
  return { text: text.replace('¦', ''), place: `${before.length}:${before.at(-1)!.length + 1}` }
}

const rule = (yaml: string): string => WORLD + route('r', 'worker', `[${yaml}]`)
const REFS = 'backendRefs: [{name: worker-v1}]'
const match = (yaml: string): string => rule(`{matches: [${yaml}], ${REFS}}`)
const filter = (yaml: string): string => rule(`{filters: [${yaml}], ${REFS}}`)
const traffic = (yaml: string): string =>
  WORLD + ours('TrafficPolicy', 'p', `{targetRef: {kind: Service, name: worker}, ${yaml}}`)
const allow = (yaml: string): string =>
  WORLD + ours('AuthorizationPolicy', 'p', `{targetRef: {kind: Service, name: worker}, rules: [${yaml}]}`)

test.each([
  // The document
  ['NOT_AN_OBJECT', '¦- a\n- b'],
  ['NOT_AN_OBJECT', '¦just text'],
  ['MISSING_FIELD', '¦kind: Service\nmetadata: {name: a}\nspec: {}'],
  ['MISSING_FIELD', '¦apiVersion: fairlead.dev/v1\nmetadata: {name: a}'],
  ['WRONG_TYPE', 'apiVersion: fairlead.dev/v1\nkind: ¦[a]'],
  ['UNKNOWN_KIND', 'apiVersion: fairlead.dev/v1\nkind: ¦Servise'],
  ['UNKNOWN_KIND', 'apiVersion: ¦fairlead.dev/v2\nkind: Service\nmetadata: {name: a}\nspec: {}'],
  ['UNKNOWN_KIND', 'apiVersion: ¦v1\nkind: Service\nmetadata: {name: a}\nspec: {}'],
  ['UNKNOWN_KIND', 'apiVersion: ¦fairlead.dev/v2\nkind: Queue'],
  ['MISSING_FIELD', 'apiVersion: fairlead.dev/v1\nkind: Service\n¦metadata: {}\nspec: {}'],
  ['MISSING_FIELD', '¦apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: a}'],
  ['WRONG_TYPE', 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: a}\n¦spec:\n'],
  ['UNKNOWN_FIELD', 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {}\n¦extra: 1'],
  // Names
  ['BAD_NAME', service('¦Worker')],
  ['BAD_NAME', service('¦a.b')],
  ['BAD_NAME', service('¦-a')],
  ['WRONG_TYPE', service('¦12')],
  ['BAD_NAME', service('a', '{}', '¦Default')],
  ['DUPLICATE_RESOURCE', service('a') + service('¦a')],
  ['DUPLICATE_RESOURCE', ours('Mesh', 'a', '{}') + ours('Mesh', '¦b', '{}')],
  // Mesh
  ['BAD_NAME', ours('Mesh', 'default', '{trustDomain: ¦Fairlead_Local}')],
  ['OUT_OF_RANGE', ours('Mesh', 'default', '{tracing: {samplePercent: ¦101}}')],
  ['BAD_DURATION', ours('Mesh', 'default', '{ttl: {leaf: ¦1d}}')],
  ['OUT_OF_RANGE', ours('Mesh', 'default', '{ttl: {leaf: ¦4m}}')],
  // Service
  ['BAD_VALUE', service('a', '{protocol: ¦htp}')],
  ['UNKNOWN_FIELD', service('a', '{¦protcol: http}')],
  ['CONFLICT', service('a', '{selector: {version: v1}, ¦endpoints: [{address: 10.0.0.1, port: 1}]}')],
  ['CONFLICT', service('a', '{¦hostnames: [a.example]}')],
  ['CONFLICT', service('a', '{¦identity: "spiffe://td/a"}')],
  ['WRONG_TYPE', service('a', '{selector: {version: ¦1}}')],
  ['OUT_OF_RANGE', service('a', '{endpoints: ¦[]}')],
  ['OUT_OF_RANGE', service('a', '{endpoints: [{address: a, port: ¦0}]}')],
  ['OUT_OF_RANGE', service('a', '{endpoints: [{address: a, port: ¦65536}]}')],
  ['MISSING_FIELD', service('a', '{endpoints: [¦{address: a}]}')],
  ['BAD_ADDRESS', service('a', '{endpoints: [{address: ¦"a b", port: 1}]}')],
  ['BAD_ADDRESS', service('a', '{endpoints: [{address: ¦"a:80", port: 1}]}')],
  ['BAD_ADDRESS', service('a', '{endpoints: [{address: ¦0x7f.1, port: 1}]}')],
  ['BAD_ADDRESS', service('a', '{endpoints: [{address: ¦169.254.169.254, port: 80}]}')],
  ['BAD_ADDRESS', service('a', '{endpoints: [{address: ¦"fe80::1", port: 80}]}')],
  ['BAD_ADDRESS', service('a', '{endpoints: [{address: ¦b.mesh, port: 80}]}')],
  ['BAD_HOSTNAME', service('a', '{hostnames: [¦"http://x/"], endpoints: [{address: a, port: 1}]}')],
  ['BAD_HOSTNAME', service('a', '{hostnames: [¦X.example], endpoints: [{address: a, port: 1}]}')],
  ['BAD_HOSTNAME', service('a', '{hostnames: [¦b.mesh], endpoints: [{address: a, port: 1}]}')],
  ['BAD_HOSTNAME', service('a', '{hostnames: [¦169.254.169.254], endpoints: [{address: a, port: 1}]}')],
  [
    'DUPLICATE_HOSTNAME',
    service('a', '{hostnames: [x.example], endpoints: [{address: a, port: 1}]}') +
      service('b', '{hostnames: [¦x.example], endpoints: [{address: a, port: 1}]}'),
  ],
  // Parents and backends
  ['UNKNOWN_PARENT', route('r', '¦worker', '[{backendRefs: [{name: w}]}]') + service('w')],
  ['UNKNOWN_PARENT', WORLD + route('r', '¦worker', `[{${REFS}}]`, { namespace: 'default', parentNamespace: 'other' })],
  ['NOT_SUPPORTED', rule(`{${REFS}}`).replace('kind: Service, name: worker, n', 'kind: ¦Gateway, name: worker, n')],
  ['UNKNOWN_BACKEND', rule('{backendRefs: [{name: ¦worker-v3}]}')],
  ['UNKNOWN_BACKEND', rule('{backendRefs: [{name: ¦worker, namespace: other}]}')],
  ['BAD_VALUE', rule('{backendRefs: [{name: worker, kind: ¦Pod}]}')],
  ['BAD_WEIGHT', rule('{backendRefs: [{name: worker, weight: ¦-1}]}')],
  ['BAD_WEIGHT', rule('{backendRefs: [{name: worker, weight: ¦1.5}]}')],
  ['BAD_WEIGHT', rule('{backendRefs: [{name: worker, weight: ¦1000001}]}')],
  ['BAD_WEIGHT', rule('{backendRefs: [{name: worker, weight: ¦"90"}]}')],
  ['BAD_WEIGHT', rule('{backendRefs: [{name: worker, weight: ¦90%}]}')],
  ['BAD_WEIGHT', rule('{backendRefs: [{name: worker, weight: ¦.inf}]}')],
  ['CONFLICT', rule('{backendRefs: [{name: ¦t}]}') + service('t', '{protocol: tcp}')],
  // Matches
  ['BAD_VALUE', match('{path: {type: ¦Prefix, value: /a}}')],
  ['BAD_PATH', match('{path: {value: ¦a}}')],
  ['BAD_PATH', match('{path: {value: ¦/a//b}}')],
  ['BAD_PATH', match('{path: {value: ¦/a/./b}}')],
  ['BAD_PATH', match('{path: {value: ¦/a/../b}}')],
  ['BAD_PATH', match('{path: {value: ¦/a/..}}')],
  ['BAD_PATH', match('{path: {value: ¦/a/.}}')],
  ['BAD_PATH', match('{path: {value: ¦/a%2fb}}')],
  ['BAD_PATH', match('{path: {value: ¦/a%2Fb}}')],
  ['BAD_PATH', match('{path: {value: ¦/a/%2e%2E/b}}')],
  ['BAD_PATH', match('{path: {value: ¦"/a#b"}}')],
  ['BAD_PATH', match('{path: {value: ¦"/a b"}}')],
  ['BAD_PATH', match('{path: {value: ¦/a%zz}}')],
  ['BAD_PATH', match('{path: {value: ¦"/a?b"}}')],
  ['BAD_REGEX', match('{path: {type: RegularExpression, value: ¦"/(a)\\\\1"}}')],
  ['BAD_REGEX', match('{headers: [{name: a, type: RegularExpression, value: ¦"(?=x)y"}]}')],
  ['BAD_REGEX', match('{queryParams: [{name: a, type: RegularExpression, value: ¦"a)"}]}')],
  ['BAD_HEADER', match('{headers: [{name: ¦"a b", value: x}]}')],
  ['OUT_OF_RANGE', match('{headers: [{name: a, value: ¦""}]}')],
  ['WRONG_TYPE', match('{headers: [{name: a, value: ¦1}]}')],
  ['BAD_VALUE', match('{method: ¦get}')],
  ['BAD_VALUE', match('{method: ¦PROPFIND}')],
  ['UNKNOWN_FIELD', match('{¦header: [{name: a, value: x}]}')],
  ['CONFLICT', rule(`{name: a, ${REFS}}, {name: ¦a, matches: [{method: GET}], ${REFS}}`)],
  // Filters
  ['NOT_SUPPORTED', filter('{type: ¦RequestMirror, requestMirror: {backendRef: {name: worker}}}')],
  ['NOT_SUPPORTED', filter('{type: ¦CORS, cors: {}}')],
  ['NOT_SUPPORTED', filter('{type: ¦ExtensionRef, extensionRef: {name: a}}')],
  ['BAD_VALUE', filter('{type: ¦Rewrite}')],
  ['MISSING_FIELD', filter('¦{type: URLRewrite}')],
  ['CONFLICT', filter('{type: URLRewrite, urlRewrite: {hostname: a}, ¦requestRedirect: {}}')],
  ['CONFLICT', filter('{type: URLRewrite, urlRewrite: {hostname: a}}, {type: ¦URLRewrite, urlRewrite: {hostname: b}}')],
  [
    'CONFLICT',
    rule(
      '{¦filters: [{type: URLRewrite, urlRewrite: {hostname: a}}, {type: RequestRedirect, requestRedirect: {port: 1}}]}',
    ),
  ],
  ['CONFLICT', rule(`{filters: [{type: RequestRedirect, requestRedirect: {port: 1}}], ¦${REFS}}`)],
  [
    'CONFLICT',
    rule('{backendRefs: [{name: worker, filters: [{type: ¦RequestRedirect, requestRedirect: {port: 1}}]}]}'),
  ],
  ['BAD_VALUE', rule('{filters: [{type: RequestRedirect, requestRedirect: {statusCode: ¦305}}]}')],
  ['BAD_VALUE', rule('{filters: [{type: RequestRedirect, requestRedirect: {scheme: ¦ftp}}]}')],
  ['BAD_HOSTNAME', filter('{type: URLRewrite, urlRewrite: {hostname: ¦"a/b"}}')],
  ['BAD_HOSTNAME', filter('{type: URLRewrite, urlRewrite: {hostname: ¦"*.a"}}')],
  ['MISSING_FIELD', filter('{type: URLRewrite, urlRewrite: {path: ¦{type: ReplaceFullPath}}}')],
  ['BAD_PATH', filter('{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: ¦a}}}')],
  [
    'CONFLICT',
    filter(
      '{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /a, ¦replacePrefixMatch: /}}}',
    ),
  ],
  [
    'CONFLICT',
    rule(
      `{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ¦ReplacePrefixMatch, replacePrefixMatch: /b}}}], ${REFS}}`,
    ),
  ],
  [
    'CONFLICT',
    rule(
      `{matches: [{path: {value: /a}}, {path: {value: /b}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ¦ReplacePrefixMatch, replacePrefixMatch: /b}}}], ${REFS}}`,
    ),
  ],
  [
    'CONFLICT',
    filter('{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: x}], remove: [¦A]}}'),
  ],
  ['BAD_HEADER', filter('{type: RequestHeaderModifier, requestHeaderModifier: {remove: [¦Content-Length]}}')],
  ['BAD_HEADER', filter('{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: ¦host, value: a}]}}')],
  [
    'BAD_HEADER',
    filter('{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: ¦fairlead-instance, value: a}]}}'),
  ],
  [
    'BAD_HEADER',
    filter('{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: ¦"x\\r\\ny: z"}]}}'),
  ],
  // Times and retries
  ['BAD_DURATION', rule(`{timeouts: {request: ¦1.5s}, ${REFS}}`)],
  ['BAD_DURATION', rule(`{timeouts: {request: ¦10}, ${REFS}}`).replace('10}', '"10"}')],
  ['WRONG_TYPE', rule(`{timeouts: {request: ¦10}, ${REFS}}`)],
  ['BAD_DURATION', rule(`{timeouts: {request: ¦-1s}, ${REFS}}`)],
  ['OUT_OF_RANGE', rule(`{timeouts: {request: 1s, backendRequest: ¦2s}, ${REFS}}`)],
  ['OUT_OF_RANGE', rule(`{timeouts: {request: 1s, backendRequest: ¦0s}, ${REFS}}`)],
  ['OUT_OF_RANGE', rule(`{retry: {codes: [¦200]}, ${REFS}}`)],
  ['OUT_OF_RANGE', rule(`{retry: {attempts: ¦101}, ${REFS}}`)],
  ['UNKNOWN_FIELD', rule(`{¦retries: 3, ${REFS}}`)],
  ['NOT_SUPPORTED', rule(`{¦sessionPersistence: {}, ${REFS}}`)],
  // TrafficPolicy
  ['UNKNOWN_TARGET', WORLD + ours('TrafficPolicy', 'p', '{targetRef: {kind: Service, name: ¦wroker}}')],
  ['MISSING_FIELD', WORLD + ours('TrafficPolicy', 'p', '{balance: roundRobin}').replace('spec:', '¦spec:').slice(0)],
  ['CONFLICT', traffic('¦targetRefs: [{kind: Service, name: worker}]')],
  [
    'DUPLICATE_POLICY',
    traffic('balance: roundRobin') + ours('TrafficPolicy', 'q', '{targetRef: {kind: Service, name: ¦worker}}'),
  ],
  ['BAD_VALUE', traffic('balance: ¦random')],
  ['OUT_OF_RANGE', traffic('limits: {maxConnections: ¦0}')],
  ['OUT_OF_RANGE', traffic('breaker: {failurePercent: ¦0}')],
  ['OUT_OF_RANGE', traffic('breaker: {open: ¦0s}')],
  ['OUT_OF_RANGE', traffic('outlier: {maxEjectionPercent: ¦101}')],
  ['OUT_OF_RANGE', traffic('outlier: {baseEjection: ¦10m, maxEjection: 5m}')],
  ['OUT_OF_RANGE', traffic('timeouts: {connect: ¦2m}')],
  ['NOT_SUPPORTED', traffic('¦rateLimit: {}')],
  // AuthorizationPolicy
  ['BAD_VALUE', WORLD + ours('AuthorizationPolicy', 'p', '{targetRef: {kind: Service, name: worker}, action: ¦allow}')],
  ['BAD_PRINCIPAL', allow('{from: {principals: [¦scheduler]}}')],
  ['BAD_PRINCIPAL', allow('{from: {principals: [¦"spiffe://fairlead.local*"]}}')],
  ['BAD_PRINCIPAL', allow('{from: {principals: [¦"spiffe://*/ns/default"]}}')],
  ['BAD_PRINCIPAL', allow('{from: {principals: [¦"spiffe://fairlead.local/ns/../sa/a"]}}')],
  ['OUT_OF_RANGE', allow('{from: {principals: ¦[]}}')],
  ['BAD_NAME', allow('{from: {namespaces: [¦"*"]}}')],
  ['BAD_VALUE', allow('{to: {methods: [¦get]}}')],
  ['BAD_PATH', allow('{to: {paths: [¦admin]}}')],
  ['BAD_PATH', allow('{to: {paths: [¦"/*/admin"]}}')],
  ['UNKNOWN_FIELD', allow('{¦form: {principals: ["*"]}}')],
  [
    'CONFLICT',
    service('s', '{endpoints: [{address: a, port: 1}]}') +
      ours('AuthorizationPolicy', 'p', '{targetRef: {kind: Service, name: ¦s}}'),
  ],
])('config: refuses with %s at the mark when it says %s', (code, source) => {
  const { text, place } = marked(source)
  expect(placesOf(parse(text))).toEqual([`${code}@${place}`])
})

test('config: tells every problem of every document at once, by place', () => {
  const parsed = parse(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: Worker}
spec:
  parentRefs:
    - {group: "", kind: Service, name: wroker}
  hostnams: [a]
  rules:
    - matches:
        - path: {type: PathPrefx, value: /a//b}
          headers: [{name: "a b", value: x}]
      backendRefs:
        - name: worker
          weight: -1
        - name: worker-v3
          wieght: 10
      timeouts: {request: 10 s}
${service('worker')}`)
  expect(placesOf(parsed)).toEqual([
    'BAD_NAME@3:18',
    'UNKNOWN_PARENT@6:40',
    'UNKNOWN_FIELD@7:3',
    'BAD_VALUE@10:24',
    'BAD_PATH@10:42',
    'BAD_HEADER@11:28',
    'BAD_WEIGHT@14:19',
    'UNKNOWN_BACKEND@15:17',
    'UNKNOWN_FIELD@16:11',
    'BAD_DURATION@17:27',
  ])
})

test('config: names file, line shown, caret and a guess when a field is misspelt', () => {
  const parsed = parseConfig([
    { name: 'ok.yaml', text: WORLD },
    { name: 'dir/route.yaml', text: route('r', 'worker', '[{backendRefs: [{name: worker, wieght: 1}]}]') },
  ])
  expect('problems' in parsed && parsed.problems[0]).toEqual({
    severity: 'error',
    code: 'UNKNOWN_FIELD',
    file: 'dir/route.yaml',
    line: 7,
    column: 41,
    message: 'unknown field "wieght"',
    hint: 'Did you mean "weight"?',
    excerpt: '  rules: [{backendRefs: [{name: worker, wieght: 1}]}]',
    caret: 40,
    length: 6,
  })
})

test.each([
  ['{name: wroker}', 'Did you mean "worker"?'],
  ['{name: entirely-different}', 'Declare a Service of that name and namespace.'],
  ['{name: far}', 'There is one in the namespace away; say namespace.'],
])('config: helps with an unknown backend %s', (ref, hint) => {
  const parsed = parse(WORLD + service('far', '{}', 'away') + route('r', 'worker', `[{backendRefs: [${ref}]}]`))
  expect('problems' in parsed && parsed.problems[0]).toMatchObject({ code: 'UNKNOWN_BACKEND', hint })
})

test('config: counts a resource as known when only its own shape is wrong', () => {
  const broken = service('worker', '{protocol: htp}')
  const parsed = parse(broken + route('r', 'worker', '[{backendRefs: [{name: worker}]}]'))
  expect(placesOf(parsed)).toEqual(['BAD_VALUE@5:18'])
})

test.each([
  ['IGNORED', route('r', 'worker', `[{${REFS}}]`).replace('rules:', 'hostnames: [a.example]\n  rules:')],
  ['IGNORED', route('r', 'worker', `[{${REFS}}]`).replace('parentRefs: [', 'parentRefs: [{kind: Gateway, name: g}, ')],
  ['IGNORED', route('r', 'worker', `[{${REFS}}]`).replace('kind: Service, ', 'kind: Service, port: 80, ')],
  ['IGNORED', route('r', 'worker', `[{matches: [{headers: [{name: A, value: x}, {name: a, value: y}]}], ${REFS}}]`)],
  ['NO_BACKENDS', route('r', 'worker', '[{matches: [{method: GET}]}]')],
  ['NO_BACKENDS', route('r', 'worker', '[{backendRefs: [{name: worker, weight: 0}]}]')],
  [
    'FOREIGN_TRUST_DOMAIN',
    ours(
      'AuthorizationPolicy',
      'p',
      '{targetRef: {kind: Service, name: worker}, rules: [{from: {principals: ["spiffe://x.y/a"]}}]}',
    ),
  ],
  ['OTHER_APPLIER', ours('Queue', 'q', '{anything: [goes]}')],
  ['OTHER_APPLIER', ours('Schedule', 'q', '{}')],
  ['OTHER_APPLIER', ours('JobTemplate', 'q', '{}')],
  ['OTHER_APPLIER', ours('Workflow', 'q', '{}')],
  ['OTHER_APPLIER', ours('Rollout', 'q', '{}')],
])('config: warns with %s and stays valid (%#)', (code, text) => {
  const parsed = parse(WORLD + text)
  expect(placesOf(parsed)).toEqual([])
  expect(parsed.warnings.map((warning) => warning.code)).toEqual([code])
})

test('config: is all defaults when there are no files, or only comments', () => {
  for (const config of [valid(), valid('# nothing\n---\n# here\n')]) {
    expect(config).toEqual({
      mesh: { trustDomain: 'fairlead.local', samplePercent: 1, leafTtlMs: 14_400_000 },
      services: [],
      routes: [],
      trafficPolicies: [],
      authorizationPolicies: [],
    })
  }
})

test('config: takes a route as kubectl prints it', () => {
  const config = valid(
    WORLD,
    `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: r
  namespace: default
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
  creationTimestamp: "2026-01-01T00:00:00Z"
  generation: 3
  resourceVersion: "881"
  uid: 8f14e45f-ceea-467f-9e7b-0b8c5d1a9c11
spec:
  parentRefs: [{group: "", kind: Service, name: worker}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /}}]
      backendRefs: [{group: "", kind: Service, name: worker-v1, port: 80, weight: 1}]
status: {parents: []}
`,
  )
  expect(config.routes.map((one) => one.rulePlaces)).toEqual([[{ file: '2.yaml', line: 14, column: 7 }]])
})

test('config: stays quick and bounded when everything in a large file is wrong', () => {
  const services = Array.from({ length: 1500 }, (_, i) => service(`service-number-${i}`)).join('')
  const refs = Array.from({ length: 16 }, (_, i) => `{name: servcie-number-${i}}`).join(', ')
  const routes = Array.from({ length: 150 }, (_, i) =>
    route(`r${i}`, 'service-number-1', `[{backendRefs: [${refs}]}]`),
  ).join('')
  const started = performance.now()
  const parsed = parse(services, routes)
  expect(performance.now() - started).toBeLessThan(10_000)
  expect(placesOf(parsed).length).toBe(PROBLEMS_MAX)
  expect('problems' in parsed && parsed.problems[0]).toMatchObject({ hint: 'Did you mean "service-number-0"?' })
})

test('config: a flood of warnings does not hide the error behind it', () => {
  const queues = Array.from({ length: PROBLEMS_MAX + 1 }, (_, i) => ours('Queue', `q${i}`, '{}')).join('')
  const parsed = parse(queues + service('a', '{protocol: htp}'))
  expect(placesOf(parsed)).toEqual([`BAD_VALUE@${(PROBLEMS_MAX + 1) * 5 + 5}:18`])
  expect(parsed.warnings.length).toBe(PROBLEMS_MAX)
})
