// One trace from the caller's span through submission and both sidecars to the handler.

import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startUp, tempDir, until } from '../support/fairlead.ts'
import { startCollector } from '../support/otlp.ts'
import { makePackages } from '../support/packages.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const CALLER = 'b7ad6b7169203331'

test('trace: runs from the caller to the handler when the caller sampled it', { timeout: 90_000 }, async () => {
  const collector = await startCollector()
  onTestFinished(() => collector.close())
  const tree = join(tempDir('tree', onTestFinished), 'node_modules')
  makePackages(tree, { packages: 3 })
  const up = startUp(['--dir', tree], {
    later: onTestFinished,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '200' },
  })
  await until('the audit is over', () => up.output().includes('Ctrl-C'), 60_000)
  const answer = await up.api('/api/v1/jobs', {
    method: 'POST',
    headers: { traceparent: `00-${TRACE}-${CALLER}-01` },
    body: JSON.stringify({ type: 'package.audit', payload: { root: tree, path: 'p1', run: 'trace' } }),
  })
  expect(answer.status).toBe(202)
  const { id } = (await answer.json()) as { id: string }
  const ofTrace = () => collector.spans.filter((span) => span.traceId === TRACE)
  await until('submission, dispatch, two sidecars and the handler sent theirs', () => ofTrace().length >= 5, 30_000)

  const spans = ofTrace()
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  const path: string[] = []
  let at = spans.find((span) => span.name === 'execute_task')!
  expect(at.attributes['task.id']).toBe(id)
  expect(at.attributes['task.type']).toBe('package.audit')
  for (;;) {
    path.unshift(`${at.service}/${at.name}`)
    if (at.parentSpanId === CALLER) break
    const parent = byId.get(at.parentSpanId)
    if (!parent) throw new Error(`span ${at.name} has a parent that nobody sent; path so far ${path.join(' > ')}`)
    at = parent
  }
  expect(path).toEqual([
    'scheduler/submit package.audit',
    'scheduler/dispatch',
    'scheduler/POST', // its sidecar, outbound
    'worker/POST', // the worker's sidecar, inbound
    'worker/execute_task',
  ])
})
