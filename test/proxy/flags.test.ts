import { expect, test } from 'vitest'
import { FairleadError } from '../../kernel/errors.ts'
import { parseFlags } from '../../proxy/flags.ts'

const MESH = {
  service: 'worker',
  version: 'v1',
  instance: 'worker-v1-1',
  app: '127.0.0.1:8080',
  outbound: '127.0.0.1:0',
  inbound: '[::1]:15006',
  admin: '127.0.0.1:0',
  'control-plane': 'https://127.0.0.1:9000,https://cp2:9000',
  'trust-bundle': 'bundle.pem',
  'join-token-file': 'token',
  consul: 'http://127.0.0.1:8500',
  state: 'dir',
}
const argsOf = (flags: Record<string, string>): string[] =>
  Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])

function problemsOf(flags: Record<string, string>): string[] {
  try {
    parseFlags(argsOf(flags))
  } catch (error) {
    if (error instanceof FairleadError) return error.problems.map((problem) => `${problem.path} ${problem.message}`)
    throw error
  }
  return []
}

test('flags: describe a sidecar in a mesh', () => {
  const { mesh, inbound, standalone } = parseFlags(argsOf(MESH))
  expect(inbound).toEqual({ host: '::1', port: 15_006 })
  expect(standalone).toBeUndefined()
  expect(mesh).toMatchObject({ service: 'worker', namespace: 'default', healthPath: '/readyz', region: '' })
  expect(mesh!.controlPlanes.map((url) => url.host)).toEqual(['127.0.0.1:9000', 'cp2:9000'])
})

test('flags: describe a standalone sidecar', () => {
  const settings = parseFlags(['--snapshot', 's.json', '--outbound', '127.0.0.1:15001'])
  expect(settings).toMatchObject({ mesh: undefined, inbound: undefined, standalone: { certificate: undefined } })
  const certificate = { cert: 'c.pem', key: 'k.pem', 'trust-bundle': 'b.pem' }
  expect(parseFlags(argsOf({ snapshot: 's.json', ...certificate })).standalone!.certificate).toEqual({
    cert: 'c.pem',
    key: 'k.pem',
    trustBundle: 'b.pem',
  })
})

test('flags: tell everything that is missing at once', () => {
  const problems = problemsOf({})
  for (const flag of ['service', 'version', 'instance', 'app', 'inbound', 'control-plane', 'trust-bundle', 'state']) {
    expect(problems).toContain(`--${flag} is needed`)
  }
})

test.each([
  ['a port above 65535', { app: '127.0.0.1:65536' }, '--app'],
  ['an address without port', { app: '127.0.0.1' }, '--app'],
  ['an IPv6 address without brackets', { inbound: '::1:80' }, '--inbound'],
  ['a service that is no label', { service: 'Not_A_Label' }, '--service'],
  ['a namespace that is no label', { namespace: 'a.b' }, '--namespace'],
  ['an instance with a slash', { instance: '../x' }, '--instance'],
  ['a version with a line break', { version: 'v1\nv2' }, '--version'],
  ['a control plane without TLS', { 'control-plane': 'http://127.0.0.1:1' }, '--control-plane'],
  ['a control plane with a path', { 'control-plane': 'https://127.0.0.1:1/x' }, '--control-plane'],
  ['a registry that is no URL', { consul: 'localhost:8500' }, '--consul'],
  ['a health path without slash', { 'health-path': 'readyz' }, '--health-path'],
  ['certificates of standalone mode', { cert: 'c.pem' }, '--cert'],
])('flags: refuse %s', (_what, more, flag) => {
  expect(problemsOf({ ...MESH, ...more }).join()).toContain(flag)
})

test.each([
  ['a certificate without key', { cert: 'c.pem', 'trust-bundle': 'b' }, '--key'],
  ['a certificate without bundle', { cert: 'c.pem', key: 'k.pem' }, '--trust-bundle'],
  ['a control plane', { 'control-plane': 'https://x:1' }, '--control-plane'],
  ['an inbound listener without app', { inbound: '127.0.0.1:1' }, '--app'],
])('flags: standalone refuses %s', (_what, more, flag) => {
  expect(problemsOf({ snapshot: 's.json', ...more }).join()).toContain(flag)
})

test('flags: refuse a flag that does not exist', () => {
  expect(() => parseFlags(['--nothing', 'x'])).toThrow(/nothing/)
})
