import { expect, test } from 'vitest'
import { isLoopbackHost } from '../../control-plane/loopback.ts'
import { parseOptions } from '../../control-plane/options.ts'

const GOOD = ['--state', '/s', '--api', '127.0.0.1:0', '--stream', '0.0.0.0:7443', '--api-key-file', '/s/key']

test('flags: are read with their defaults', () => {
  expect(parseOptions([...GOOD, '--registry', '[::1]:8500'], {})).toMatchObject({
    state: '/s',
    api: { host: '127.0.0.1', port: 0 },
    stream: { host: '0.0.0.0', port: 7443 },
    registry: { host: '::1', port: 8500 },
    consul: undefined,
    trustDomain: 'fairlead.local',
    sealSecretFile: '/s/seal.secret',
    dangerShortTtlMs: undefined,
  })
  const env = { FAIRLEAD_SEAL_SECRET_FILE: '/run/secret' }
  expect(parseOptions([...GOOD, '--consul', 'http://c:8500'], env).sealSecretFile).toBe('/run/secret')
})

test.each([
  ['nothing', []],
  ['no registry at all', GOOD],
  ['an API that others reach', [...GOOD, '--registry', '127.0.0.1:0', '--api', '0.0.0.0:80']],
  ['a registry that others reach', [...GOOD, '--registry', '0.0.0.0:8500']],
  ['a listener without port', [...GOOD, '--registry', '127.0.0.1']],
  ['a port above 65535', [...GOOD, '--registry', '127.0.0.1:65536']],
  ['a trust domain in capitals', [...GOOD, '--registry', '127.0.0.1:0', '--trust-domain', 'Fairlead']],
  ['an unknown flag', [...GOOD, '--registry', '127.0.0.1:0', '--nonsense']],
  ['a short TTL of nothing', [...GOOD, '--registry', '127.0.0.1:0', '--danger-short-ttl-ms', '0']],
])('flags: are refused when they say %s', (_what, flags) => {
  expect(() => parseOptions(flags, {})).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }))
})

test('loopback host: is told from names that look like one', () => {
  for (const host of ['localhost', 'LOCALHOST:80', '127.0.0.1', '127.0.0.1:8080', '127.9.9.9', '[::1]', '[::1]:80']) {
    expect(isLoopbackHost(host), host).toBe(true)
  }
  const foreign = [undefined, '', 'evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '0.0.0.0']
  for (const host of [...foreign, '127.0.0.1@evil', 'localhost:80:80', '[::2]', '1270.0.0.1', 'localhost ']) {
    expect(isLoopbackHost(host), host).toBe(false)
  }
})
