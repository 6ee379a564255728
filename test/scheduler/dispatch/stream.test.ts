// Lines of a stream, and what an answer that is no stream means.

import { Readable } from 'node:stream'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { MeshAnswer } from '../../../scheduler/dispatch/sidecar.ts'
import { readLines, refusal, retryAfter } from '../../../scheduler/dispatch/stream.ts'

async function linesOf(chunks: readonly Uint8Array[], max = 1000): Promise<string[]> {
  const lines: string[] = []
  for await (const line of readLines(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), max)) lines.push(line)
  return lines
}

test('lines: the same however the bytes are cut', async () => {
  const cut = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 30, maxLength: 30 })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme' })), cut, async (texts, sizes) => {
      const lines = texts.map((text) => text.replaceAll('\n', ' '))
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
      const chunks: Buffer[] = []
      for (let from = 0, i = 0; from < bytes.length; i++) {
        const size = sizes[i % sizes.length]!
        chunks.push(bytes.subarray(from, from + size))
        from += size
      }
      expect(await linesOf(chunks, 10_000)).toEqual(lines)
    }),
    { numRuns: 50 },
  )
})

test.each([
  ['a line over the bound in one chunk', ['12345\n']],
  ['a line over the bound in many chunks', ['123', '45\n']],
  ['a line that never ends', ['123', '45', '67']],
])('lines: refused for %s', async (_what, chunks) => {
  const bytes = chunks.map((chunk) => Buffer.from(chunk))
  await expect(linesOf(bytes, 4)).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' })
})

test('lines: a stream that ends inside a line is broken', async () => {
  await expect(linesOf([Buffer.from('{"t":"be')])).rejects.toMatchObject({ code: 'INVALID_INPUT' })
})

const answer = (status: number, headers: Record<string, string> = {}): MeshAnswer => ({
  status,
  header: (name) => headers[name],
  body: Readable.from([Buffer.from('why')]),
})

test.each([
  [503, 'INSTANCE_GONE', 'refused'],
  [503, 'NO_HEALTHY_INSTANCE', 'refused'],
  [503, 'UPSTREAM_CONNECT_FAILED', 'refused'],
  [503, 'UPSTREAM_CIRCUIT_OPEN', 'refused'],
  [503, 'UPSTREAM_SATURATED', 'refused'],
  [503, 'ENDPOINT_MISMATCH', 'refused'],
  [503, 'UPSTREAM_TLS', 'refused'],
  [403, 'POLICY_DENIED', 'refused'],
  [503, 'RETRY_BUDGET_EXHAUSTED', 'refused'],
  [503, 'DRAINING', 'refused'],
  [503, 'NOT_READY', 'refused'],
  [503, 'OVERLOADED', 'refused'],
  [503, 'UPSTREAM_RESET', 'broken'],
  [504, 'UPSTREAM_TIMEOUT', 'broken'],
  [502, 'UPSTREAM_PROTOCOL', 'broken'],
  [500, 'INTERNAL', 'broken'],
  [503, 'SOMETHING_NEW', 'broken'],
  [400, undefined, 'refused'],
  [413, undefined, 'refused'],
  [500, undefined, 'broken'],
  [503, undefined, 'broken'],
  [302, undefined, 'broken'],
] as const)('answer: %i %s is %s', async (status, code, t) => {
  expect((await refusal(answer(status, code === undefined ? {} : { 'fairlead-error': code }))).t).toBe(t)
})

test('answer: Retry-After in seconds is honoured, anything else is no wait', async () => {
  expect(await refusal(answer(503, { 'fairlead-error': 'OVERLOADED', 'retry-after': '3' }))).toMatchObject({
    retryAfterMs: 3_000,
    reason: 'OVERLOADED',
    detail: 'why',
  })
  expect([undefined, '', '-1', '1.5', 'Wed, 21 Oct 2026 07:28:00 GMT', '999999'].map(retryAfter)).toEqual(
    Array(6).fill(0),
  )
})
