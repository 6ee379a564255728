// Addresses that are never called, whatever the config says.

import { expect, test } from 'vitest'
import { isForbiddenHost, safeLookup } from '../../../proxy/transport/safe-lookup.ts'

test.each([
  '169.254.169.254',
  '169.254.0.1',
  '0.0.0.0',
  '0.1.2.3',
  '224.0.0.1',
  '100.100.100.200',
  '168.63.129.16',
  'fe80::1',
  'febf::1',
  'ff02::1',
  '::',
  'fd00:ec2::254',
  'fd20:ce::254',
  '::ffff:169.254.169.254',
  '::ffff:a9fe:a9fe',
  '::169.254.169.254',
  '64:ff9b::a9fe:a9fe',
  '2002:a9fe:a9fe::1',
  'metadata.google.internal',
  'metadata',
])('egress: %s is forbidden', (host) => {
  expect(isForbiddenHost(host)).toBe(true)
})

test.each(['127.0.0.1', '10.0.0.1', '169.253.1.1', '::1', 'fd00::1', '2001:db8::1', '::ffff:10.0.0.1', 'example.com'])(
  'egress: %s is left to the config',
  (host) => {
    expect(isForbiddenHost(host)).toBe(false)
  },
)

test('lookup: gives the addresses of a name that resolves to allowed ones', async () => {
  const found = await new Promise((resolve, reject) =>
    safeLookup('localhost', { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses))),
  )
  expect(found).toContainEqual(expect.objectContaining({ address: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) }))
})

test('lookup: refuses a name that resolves to a forbidden address', async () => {
  // A literal address goes the same way as a resolved one, and needs no resolver.
  const failure = await new Promise((resolve) => safeLookup('169.254.169.254', {}, (error) => resolve(error)))
  expect(failure).toMatchObject({ code: 'EGRESS_DENIED' })
})
