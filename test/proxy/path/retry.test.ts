// May it be sent again, and when.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { seededRandom } from '../../../kernel/random.ts'
import { isRepickable, isSafeToRepeat, retryDelayMs } from '../../../proxy/path/retry.ts'

test.each(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])('retry: %s is safe to repeat', (method) => {
  expect(isSafeToRepeat(method, false)).toBe(true)
})

test.each(['POST', 'PATCH', 'CONNECT', 'PROPFIND', 'get'])(
  'retry: %s is safe only with an idempotency key',
  (method) => {
    expect(isSafeToRepeat(method, false)).toBe(false)
    expect(isSafeToRepeat(method, true)).toBe(true)
  },
)

test('retry: only refusals that another instance can mend are re-picked', () => {
  expect(
    ['DRAINING', 'NOT_READY', 'OVERLOADED', 'ENDPOINT_MISMATCH', 'UPSTREAM_CONNECT_FAILED'].every(isRepickable),
  ).toBe(true)
  expect(['POLICY_DENIED', 'UPSTREAM_RESET', 'UPSTREAM_TIMEOUT', 'BAD_REQUEST', 'nonsense'].some(isRepickable)).toBe(
    false,
  )
})

test('retry: waits at least the minimum and never more than minimum plus ceiling', () => {
  const policy = { attempts: 5, codes: [], backoffMs: 25, backoffMaxMs: 250, anyMethod: false }
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 40 }), fc.integer(), (retry, seed) => {
      const delay = retryDelayMs(retry, policy, seededRandom(seed))
      expect(delay).toBeGreaterThanOrEqual(25)
      expect(delay).toBeLessThan(25 + Math.min(250, 25 * 2 ** retry))
    }),
  )
})
