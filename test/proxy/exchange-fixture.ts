// exchange-fixture.ts — one finished exchange, as the request path hands it to observers.

import type { Exchange } from '../../proxy/exchange.ts'

export const exchange = (more: Partial<Exchange> = {}): Exchange => ({
  direction: 'outbound',
  startedMs: 1000,
  requestId: 'request-1',
  trace: { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', sampled: true, state: undefined },
  method: 'GET',
  path: '/items',
  authority: 'worker.mesh',
  route: 'default/worker',
  service: 'worker',
  backend: 'worker-v1',
  version: 'v1',
  instance: 'w1a',
  upstream: '127.0.0.1:1001',
  principal: '',
  status: 200,
  flag: '-',
  error: '',
  attempts: 1,
  bytesIn: 0,
  bytesOut: 36,
  upstreamMs: 1.234,
  ...more,
})
