import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import {
  childContext,
  formatTraceparent,
  newTraceContext,
  parseTraceparent,
  startTracing,
} from '../../kernel/tracing.ts'

const GOOD = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

test('traceparent: round-trips when it is well formed', () => {
  const context = parseTraceparent(GOOD)
  expect(context?.sampled).toBe(true)
  expect(context && formatTraceparent(context)).toBe(GOOD)
})

test.each([
  undefined,
  '',
  GOOD.toUpperCase(),
  GOOD.slice(0, -1),
  `${GOOD}-x`,
  GOOD.replace('00-', 'ff-'),
  '00-00000000000000000000000000000000-b7ad6b7169203331-01',
  '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
])('traceparent: is ignored when it is %j', (header) => {
  expect(parseTraceparent(header)).toBeUndefined()
})

test('tracestate: is dropped when it is longer than 512 characters', () => {
  expect(parseTraceparent(GOOD, 'x'.repeat(513))?.state).toBeUndefined()
  expect(parseTraceparent(GOOD, 'a=b')?.state).toBe('a=b')
})

test('trace ids: are distinct over pool refills, and a child keeps its trace', () => {
  const seen = new Set(Array.from({ length: 2_000 }, () => newTraceContext(false).traceId))
  expect(seen.size).toBe(2_000)
  const parent = newTraceContext(true)
  const child = childContext(parent)
  expect(child.traceId).toBe(parent.traceId)
  expect(child.spanId).not.toBe(parent.spanId)
})

test('tracing: ends soon when its collector takes the spans and never answers', async () => {
  const deaf = createServer(() => undefined)
  await new Promise<void>((done) => deaf.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    deaf.close()
    deaf.closeAllConnections()
  })
  const endpoint = `http://127.0.0.1:${(deaf.address() as AddressInfo).port}`
  const tracing = await startTracing({ serviceName: 's', serviceVersion: '1', instance: 'i', endpoint })
  tracing.startSpan('work', { kind: 'internal', parent: undefined }).end()
  const arrived = new Promise((done) => deaf.once('request', done))
  const closing = tracing.close()
  await arrived
  await closing // the test's own time limit is what this would run into
}, 5_000)
