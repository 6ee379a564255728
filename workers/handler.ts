// handler.ts — what a user of the SDK writes: one handler per job type, and what it is given while it runs.
//
// Types flow from here to the client: `createClient<typeof handlers>` knows each type's payload and result.
// A handler may run twice for the same job (at least once, DESIGN.md §9): effects carry `ctx.effectKey` and their
// receiver de-duplicates by it.

import type { z } from '../kernel/parse.ts'
import type { ActiveSpan } from '../kernel/tracing.ts'

export interface HandlerContext {
  /** The job's id. */
  readonly job: string
  /** 1, 2, … */
  readonly attempt: number
  /** Attempt token (u64 in decimal digits), strictly increasing per job. */
  readonly token: string
  /** For receivers of effects to de-duplicate by. */
  readonly effectKey: string
  /** Aborts at the execution timeout, at cancel, when the session ends and at the end of a drain. */
  readonly signal: AbortSignal
  readonly env: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  /** What an earlier attempt left behind, if anything. */
  readonly checkpoint: unknown
  /** W3C trace context to send along with the handler's own calls. */
  readonly traceparent: string | undefined
  /** The `execute_task` span; undefined when the job is not sampled. */
  readonly span: ActiveSpan | undefined
  /** 0 … 100; also a sign of life for the heartbeat timeout. */
  progress(pct: number): void
  /** Kept with the attempt, 256 KiB at most; also a sign of life. */
  log(text: string, stream?: 'stdout' | 'stderr' | 'log'): void
}

export interface HandlerDefinition<Type extends string, In, Out> {
  readonly type: Type
  /** Parses the payload; one that it refuses is a permanent error. Without it the payload arrives as it is. */
  readonly schema?: z.ZodType<In>
  /** `undefined` is stored as null. Throw PermanentError when another try cannot help. */
  run(input: In, ctx: HandlerContext): Out | Promise<Out>
}

export interface Handler<Type extends string = string, In = unknown, Out = unknown>
  extends HandlerDefinition<Type, In, Out> {
  readonly kind: 'handler'
}

/** A handler whose payload and result are not looked at: what a worker's table holds. */
export interface AnyHandler {
  readonly kind: 'handler'
  readonly type: string
  readonly schema?: z.ZodType<unknown>
  run(input: never, ctx: HandlerContext): unknown
}

export type TypeOf<H extends AnyHandler> = H['type']
export type PayloadOf<H extends AnyHandler> = Parameters<H['run']>[0]
export type ResultOf<H extends AnyHandler> = Awaited<ReturnType<H['run']>>

export function defineHandler<const Type extends string, In, Out>(
  definition: HandlerDefinition<Type, In, Out>,
): Handler<Type, In, Out> {
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9._:/-]{0,126}[A-Za-z0-9])?$/.test(definition.type)) {
    throw new TypeError(`handler type ${JSON.stringify(definition.type)}: letters, digits and . _ : / -, at most 128`)
  }
  return { kind: 'handler', ...definition, run: (input, ctx) => definition.run(input, ctx) }
}
