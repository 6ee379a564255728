import { expect, test } from 'vitest'
import type { AuthorizationRule, Inbound } from '../../../mesh-config/snapshot.ts'
import { compileAuthorizer } from '../../../proxy/policy/authorize.ts'

const TD = 'fairlead.local'
const SCHEDULER = `spiffe://${TD}/ns/default/sa/scheduler`
const INTRUDER = `spiffe://${TD}/ns/default/sa/intruder`

const allow = (more: Partial<AuthorizationRule> = {}): AuthorizationRule => ({
  policy: 'default/allow',
  action: 'ALLOW',
  principals: [],
  namespaces: [],
  methods: [],
  paths: [],
  ...more,
})
const deny = (more: Partial<AuthorizationRule> = {}): AuthorizationRule => ({
  ...allow(more),
  policy: 'default/deny',
  action: 'DENY',
})

function check(
  rules: AuthorizationRule[],
  principal: string,
  method = 'GET',
  path = '/a/b',
  action: Inbound['defaultAction'] = 'deny',
) {
  const inbound: Inbound = { protocol: 'http', defaultAction: action, rules, requestTimeoutMs: null }
  const { allowed, rule } = compileAuthorizer(inbound, TD).check(principal, method, path)
  return `${allowed} ${rule}`
}

test('authorize: takes the default action when no rule fits', () => {
  expect(check([], INTRUDER, 'GET', '/', 'allow')).toBe('true default')
  expect(check([], SCHEDULER)).toBe('false default')
  expect(check([allow({ principals: [SCHEDULER] })], INTRUDER)).toBe('false default')
})

test('authorize: names the policy that decided', () => {
  expect(check([allow({ principals: [SCHEDULER] })], SCHEDULER)).toBe('true default/allow')
})

test('authorize: a DENY wins over an ALLOW wherever it stands', () => {
  expect(check([allow(), deny({ methods: ['GET'] })], SCHEDULER)).toBe('false default/deny')
  expect(check([deny({ methods: ['GET'] }), allow()], SCHEDULER)).toBe('false default/deny')
  expect(check([deny({ methods: ['GET'] }), allow()], SCHEDULER, 'POST')).toBe('true default/allow')
})

test.each([
  ['another service', allow({ principals: [SCHEDULER] }), INTRUDER],
  ['a longer name than the exact principal', allow({ principals: [SCHEDULER] }), `${SCHEDULER}-2`],
  ['a peer without identity', allow({ principals: [SCHEDULER] }), ''],
  ['a peer without identity when a namespace is named', allow({ namespaces: ['default'] }), ''],
  ['another namespace', allow({ namespaces: ['jobs'] }), SCHEDULER],
  ['a namespace with the same beginning', allow({ namespaces: ['def'] }), SCHEDULER],
  [
    'the namespace in a foreign trust domain',
    allow({ namespaces: ['default'] }),
    'spiffe://evil/ns/default/sa/scheduler',
  ],
  ['another method', allow({ methods: ['POST'] }), SCHEDULER],
  ['the method in lower case', allow({ methods: ['get'] }), SCHEDULER],
  ['another path', allow({ paths: ['/a'] }), SCHEDULER],
  ['a path above the prefix', allow({ paths: ['/a/b/*'] }), SCHEDULER],
  ['one condition of two', allow({ principals: [SCHEDULER], paths: ['/x'] }), SCHEDULER],
])('authorize: refuses %s', (_what, only, principal) => {
  expect(check([only], principal)).toBe('false default')
})

test.each([
  ['the exact principal', allow({ principals: [SCHEDULER] })],
  ['a principal by prefix', allow({ principals: [`spiffe://${TD}/ns/default/*`] })],
  ['the namespace', allow({ namespaces: ['default'] })],
  ['the method', allow({ methods: ['GET'] })],
  ['the path by prefix', allow({ paths: ['/a/*'] })],
  [
    'all conditions together',
    allow({ principals: [SCHEDULER], namespaces: ['default'], methods: ['GET'], paths: ['/a/b'] }),
  ],
])('authorize: lets through by %s', (_what, only) => {
  expect(check([only], SCHEDULER)).toBe('true default/allow')
})
