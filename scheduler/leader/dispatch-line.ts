// dispatch-line.ts — an open job and its body → the line that a worker gets (workers/contract.ts).

import type { WallMs } from '../../kernel/clock.ts'
import type { DispatchJob } from '../../workers/contract.ts'
import type { AttemptRow, StoredBody } from '../store/contract.ts'
import type { Entry } from './entry.ts'

export function dispatchLine(entry: Entry, attempt: AttemptRow, body: StoredBody, now: WallMs): DispatchJob {
  return {
    job: entry.id,
    attempt: attempt.attempt,
    token: String(attempt.token),
    type: entry.type,
    ...payloadOf(body),
    env: { ...body.env },
    ...(entry.deadline === null ? {} : { remainingMs: Math.max(0, entry.deadline - now) }),
    executionTimeoutMs: entry.executionTimeoutMs,
    ...(entry.heartbeatTimeoutMs === null ? {} : { heartbeatTimeoutMs: entry.heartbeatTimeoutMs }),
    effectKey: entry.id,
    ...(body.traceparent === null ? {} : { traceparent: body.traceparent }),
    labels: { ...body.labels },
  }
}

function payloadOf(body: StoredBody): Pick<DispatchJob, 'payload' | 'payloadBase64'> {
  if (body.payloadKind === 'json') return { payload: JSON.parse(body.payload as string) as unknown }
  if (body.payloadKind === 'bytes') return { payloadBase64: Buffer.from(body.payload as Uint8Array).toString('base64') }
  return {}
}
