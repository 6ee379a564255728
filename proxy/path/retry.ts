// retry.ts — may this request be sent again, and after how long? Pure.
//
// Always: where no byte can have reached the app. With bytes sent: only idempotent methods, an `idempotency-key`, or a
// route whose author asked for it. A refusal by the sidecar in front of the app is re-picked; the app's own never.

import type { ErrorCode } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'
import type { Rule } from '../../mesh-config/snapshot.ts'

/** Bodies up to here are kept, to be sent again. */
export const REPLAY_BYTES_MAX = 64 * 1024
/** Times that a refusal by a sidecar sends a request to another instance. */
export const REPICKS_MAX = 2

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/** RFC 9110 §9.2.2, or the client's own word. */
export const isSafeToRepeat = (method: string, idempotencyKey: boolean): boolean =>
  idempotencyKey || IDEMPOTENT.has(method)

/** Codes of a peer's sidecar that mean: nothing ran, another instance may do better. */
const REPICK = new Set<string>([
  'DRAINING',
  'NOT_READY',
  'OVERLOADED',
  'ENDPOINT_MISMATCH',
  'UPSTREAM_CONNECT_FAILED',
  'UPSTREAM_SATURATED',
] satisfies ErrorCode[])

export const isRepickable = (code: string): boolean => REPICK.has(code)

/** Codes by which a peer's mux says that it did not look at a request. */
const PEER_REFUSAL = new Set<string>(['DRAINING', 'OVERLOADED', 'ENDPOINT_MISMATCH'] satisfies ErrorCode[])

export const isPeerRefusal = (code: string): boolean => PEER_REFUSAL.has(code)

/** Of these only the instance is to blame, or nobody: they say nothing about the backend as a whole. */
const BLAMELESS = new Set<string>(['DRAINING', 'NOT_READY', 'OVERLOADED', 'UPSTREAM_SATURATED'] satisfies ErrorCode[])

export const isBlameless = (code: string): boolean => BLAMELESS.has(code)

/** `retry` is 0 for the first repeat. */
export function retryDelayMs(retry: number, policy: Rule['retry'], random: Random): number {
  const ceiling = Math.min(policy.backoffMs * 2 ** retry, policy.backoffMaxMs)
  return policy.backoffMs + random.between(0, Math.max(ceiling, 1))
}
