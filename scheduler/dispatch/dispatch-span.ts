// dispatch-span.ts — the trace of one dispatch request. A request can carry jobs of many traces, a header only one: the
// first sampled job's trace is continued (its span is the parent of what the sidecars add), the others are linked.

import { type ActiveSpan, formatTraceparent, parseTraceparent, type Tracing } from '../../kernel/tracing.ts'
import type { DispatchJob } from '../../workers/contract.ts'

const LINKS_MAX = 32

export interface DispatchSpan {
  /** For the request's header; undefined when no job has a trace. */
  readonly traceparent: string | undefined
  end(error?: string): void
}

export function startDispatchSpan(tracing: Tracing, jobs: readonly DispatchJob[], instance: string): DispatchSpan {
  const contexts = jobs.flatMap((job) => parseTraceparent(job.traceparent) ?? [])
  const lead = contexts.find((context) => context.sampled) ?? contexts[0]
  if (!lead) return { traceparent: undefined, end: () => undefined }
  if (!tracing.on || !lead.sampled) return { traceparent: formatTraceparent(lead), end: () => undefined }
  const others = contexts.filter((context) => context.sampled && context !== lead)
  const span: ActiveSpan = tracing.startSpan('dispatch', {
    kind: 'producer',
    parent: lead,
    links: others.slice(0, LINKS_MAX),
    attributes: { 'messaging.batch.message_count': jobs.length, 'messaging.system': 'fairlead', worker_id: instance },
  })
  return { traceparent: formatTraceparent(span.context), end: (error) => span.end(error) }
}
