// tracing.ts — W3C trace context and hand-made spans by OTLP/HTTP.
//
// The exporter (sdk-node) is loaded only when OTEL_EXPORTER_OTLP_ENDPOINT is set: it costs 20 MB and 300 ms.
// Sampling is decided before a span is made; an unsampled request only carries its context on.
// No auto-instrumentation. Span names follow OTel semantic conventions, never raw paths.

import { randomFillSync } from 'node:crypto'
import type { Attributes, Span, SpanKind, SpanOptions, Tracer } from '@opentelemetry/api'
import type { Closable } from './lifetime.ts'

export interface TraceContext {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  /** 16 lower-case hex digits: the parent span. */
  readonly spanId: string
  readonly sampled: boolean
  /** `tracestate`, passed on as it came; at most 512 characters. */
  readonly state: string | undefined
}

export interface Tracing extends Closable {
  /** False when nothing is exported: callers skip span work altogether. */
  readonly on: boolean
  /** Starts a span under `parent`; only call it for sampled contexts. */
  startSpan(name: string, options: SpanStart): ActiveSpan
}

export interface SpanStart {
  readonly kind: 'server' | 'client' | 'internal' | 'producer' | 'consumer'
  readonly parent: TraceContext | undefined
  readonly links?: readonly TraceContext[]
  readonly attributes?: Attributes
}

export interface ActiveSpan {
  readonly context: TraceContext
  set(attributes: Attributes): void
  /** `error` sets the span's status; omit it for success. */
  end(error?: string): void
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

/** W3C Trace Context level 1; anything malformed is ignored, as the recommendation says. */
export function parseTraceparent(header: string | undefined, state?: string): TraceContext | undefined {
  const match = header === undefined ? null : TRACEPARENT.exec(header)
  if (!match || /^0+$/.test(match[1]!) || /^0+$/.test(match[2]!)) return undefined
  const sampled = (Number.parseInt(match[3]!, 16) & 1) === 1
  return { traceId: match[1]!, spanId: match[2]!, sampled, state: state && state.length <= 512 ? state : undefined }
}

export function formatTraceparent(context: Pick<TraceContext, 'traceId' | 'spanId' | 'sampled'>): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? '01' : '00'}`
}

const pool = Buffer.alloc(24 * 256)
let poolAt = pool.length

/** A new root context; ids come from a pool of random bytes (one syscall per 256 traces). */
export function newTraceContext(sampled: boolean): TraceContext {
  if (poolAt >= pool.length) {
    randomFillSync(pool)
    poolAt = 0
  }
  const hex = pool.toString('hex', poolAt, poolAt + 24)
  poolAt += 24
  return { traceId: hex.slice(0, 32), spanId: hex.slice(32), sampled, state: undefined }
}

/** The same trace with a new span id: what a hop passes on when it makes no span of its own. */
export function childContext(parent: TraceContext): TraceContext {
  return { ...newTraceContext(parent.sampled), traceId: parent.traceId, state: parent.state }
}

/** Exports nothing; contexts are still passed on. */
export const TRACING_OFF: Tracing = {
  on: false,
  startSpan: (_name, start) => ({
    context: start.parent ?? newTraceContext(false),
    set: () => undefined,
    end: () => undefined,
  }),
  close: async () => undefined,
}

export interface TracingOptions {
  readonly serviceName: string
  readonly serviceVersion: string
  readonly instance: string
  /** Defaults to OTEL_EXPORTER_OTLP_ENDPOINT; '' or undefined = off. */
  readonly endpoint?: string | undefined
}

export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const endpoint = options.endpoint ?? process.env['OTEL_EXPORTER_OTLP_ENDPOINT']
  if (!endpoint || process.env['OTEL_SDK_DISABLED'] === 'true') return TRACING_OFF
  const [api, sdkNode, sdkTrace, resources, exporter] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-node'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ])
  const base = endpoint.replace(/\/$/, '')
  const sdk = new sdkNode.NodeSDK({
    serviceName: options.serviceName,
    resource: resources.resourceFromAttributes({
      'service.version': options.serviceVersion,
      'service.instance.id': options.instance,
    }),
    traceExporter: new exporter.OTLPTraceExporter({ url: `${base}/v1/traces` }),
    sampler: new sdkTrace.AlwaysOnSampler(), // sampling was decided before the span was asked for
    instrumentations: [],
  })
  sdk.start()
  return liveTracing(api, api.trace.getTracer('fairlead'), () => sdk.shutdown())
}

type Api = typeof import('@opentelemetry/api')

/** A collector that does not answer must not hold up the end of a process: what it has not taken by then is lost. */
const FLUSH_MS_MAX = 2_000

async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((done) => {
    timer = setTimeout(done, ms)
  })
  try {
    await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
  }
}

function liveTracing(api: Api, tracer: Tracer, shutdown: () => Promise<void>): Tracing {
  const kinds: Record<SpanStart['kind'], SpanKind> = {
    server: api.SpanKind.SERVER,
    client: api.SpanKind.CLIENT,
    internal: api.SpanKind.INTERNAL,
    producer: api.SpanKind.PRODUCER,
    consumer: api.SpanKind.CONSUMER,
  }
  const toSpanContext = (context: TraceContext) => ({
    traceId: context.traceId,
    spanId: context.spanId,
    traceFlags: context.sampled ? api.TraceFlags.SAMPLED : api.TraceFlags.NONE,
    isRemote: true,
  })
  return {
    on: true,
    startSpan(name, start) {
      const options: SpanOptions = {
        kind: kinds[start.kind],
        ...(start.attributes ? { attributes: start.attributes } : {}),
        ...(start.links ? { links: start.links.map((link) => ({ context: toSpanContext(link) })) } : {}),
      }
      const parent = start.parent
        ? api.trace.setSpanContext(api.ROOT_CONTEXT, toSpanContext(start.parent))
        : api.ROOT_CONTEXT
      return activeSpan(api, tracer.startSpan(name, options, parent), start.parent?.state)
    },
    close: () => within(shutdown(), FLUSH_MS_MAX),
  }
}

function activeSpan(api: Api, span: Span, state: string | undefined): ActiveSpan {
  const { traceId, spanId } = span.spanContext()
  return {
    context: { traceId, spanId, sampled: true, state },
    set: (attributes) => void span.setAttributes(attributes),
    end(error) {
      if (error !== undefined) span.setStatus({ code: api.SpanStatusCode.ERROR, message: error })
      span.end()
    },
  }
}
