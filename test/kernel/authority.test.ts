import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAuthority } from '../../kernel/authority.ts'
import { FairleadError } from '../../kernel/errors.ts'

const accepted: [string, unknown][] = [
  [
    'worker.mesh',
    { kind: 'mesh', service: 'worker', namespace: 'default', port: undefined, canonical: 'worker.default.mesh' },
  ],
  [
    'Worker.Shop.MESH:80',
    { kind: 'mesh', service: 'worker', namespace: 'shop', port: 80, canonical: 'worker.shop.mesh' },
  ],
  [
    'worker.mesh.',
    { kind: 'mesh', service: 'worker', namespace: 'default', port: undefined, canonical: 'worker.default.mesh' },
  ],
  ['example.com', { kind: 'outside', host: 'example.com', port: undefined, address: 'name' }],
  ['my_host.internal:8080', { kind: 'outside', host: 'my_host.internal', port: 8080, address: 'name' }],
  ['169.254.169.254', { kind: 'outside', host: '169.254.169.254', port: undefined, address: 'ipv4' }],
  ['[::1]:443', { kind: 'outside', host: '::1', port: 443, address: 'ipv6' }],
]

const refused = [
  '',
  ' worker.mesh',
  'worker.mesh ',
  'user@worker.mesh',
  'worker..mesh',
  '.mesh',
  'mesh',
  'a.b.c.mesh',
  '-worker.mesh',
  'worker-.mesh',
  'wörker.mesh',
  'worker_1.mesh',
  'worker.mesh..',
  'worker.mesh:',
  'worker.mesh:0',
  'worker.mesh:65536',
  'worker.mesh:080',
  'worker.mesh:80:80',
  'worker%2emesh',
  'worker.mesh/path',
  '127.1',
  '2130706433',
  '0x7f.0.0.1',
  '0177.0.0.1.',
  '256.0.0.1',
  '[::1',
  '[::1]x',
  '[::1]:0',
  '[fe80::1%eth0]',
  '[12345::]',
  'a\u0000b.mesh',
  'a\nb',
  'x'.repeat(400),
]

describe('parseAuthority', () => {
  test.each(accepted)('authority: is understood when it is %s', (text, expected) => {
    expect(parseAuthority(text)).toEqual(expected)
  })

  test.each(refused)('authority: is refused when it is %j', (text) => {
    expect(() => parseAuthority(text)).toThrow(FairleadError)
  })

  test('authority: parses to itself when a canonical form is parsed again', () => {
    const label = fc.stringMatching(/^[a-z][a-z0-9]{0,10}$/)
    fc.assert(
      fc.property(label, label, (service, namespace) => {
        const first = parseAuthority(`${service}.${namespace}.mesh`)
        expect(first.kind === 'mesh' && parseAuthority(first.canonical)).toEqual(first)
      }),
    )
  })

  test('authority: is parsed or refused with a code, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          parseAuthority(text)
        } catch (error) {
          expect(error).toBeInstanceOf(FairleadError)
        }
      }),
    )
  })
})
