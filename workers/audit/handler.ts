// handler.ts — the job type `package.audit`, in two versions that differ in how they read and agree in what they find.
//
// Every execution is told to the sink before anything else, also one that is about to fail: the sink counts what ran.
// A bad canary hangs without looking at its signal, as broken code does; its slot comes back by the attempt's time-out.

import { AuditPayloadSchema, type AuditResult } from '../../cli/contract.ts'
import { type Clock, isoTime } from '../../kernel/clock.ts'
import { TransientError } from '../failure.ts'
import { defineHandler, type Handler, type HandlerContext } from '../handler.ts'
import { type Fate, fateOf } from './canary.ts'
import { ahead, type Digest, inTurn } from './digest.ts'
import { auditPackage, directoryOf, readManifest } from './facts.ts'
import type { Sink } from './sink.ts'

export const AUDIT_TYPE = 'package.audit'
export const AUDIT_VERSIONS = ['v1', 'v2'] as const
export type AuditVersion = (typeof AUDIT_VERSIONS)[number]

export interface AuditParts {
  readonly version: AuditVersion
  readonly sink: Sink
  readonly clock: Clock
  readonly pid: number
  /** v2 only: fail and hang by the package's name. */
  readonly badCanary: boolean
}

type AuditPayload = { root: string; path: string; run: string }

const DIGESTS = { v1: inTurn, v2: ahead } as const satisfies Record<AuditVersion, Digest>
/** A hanging handler gives its memory back at last; far past any execution timeout. */
const HANG_MS = 600_000

export function auditHandler(parts: AuditParts): Handler<typeof AUDIT_TYPE, AuditPayload, AuditResult> {
  const { version, sink, clock, pid } = parts
  return defineHandler({
    type: AUDIT_TYPE,
    schema: AuditPayloadSchema,
    async run(payload: AuditPayload, ctx: HandlerContext): Promise<AuditResult> {
      const { job, attempt, token, signal } = ctx
      await sink.append({ run: payload.run, job, attempt, token, version, pid, at: isoTime(clock.wall()) })
      if (parts.badCanary) await sufferFate(await fate(payload), clock)
      const digest = DIGESTS[version]
      const facts = await auditPackage(payload, { digest, signal, onProgress: (pct) => ctx.progress(pct) })
      return { ...facts, handlerVersion: version }
    },
  })
}

async function fate(payload: AuditPayload): Promise<Fate> {
  return fateOf((await readManifest(directoryOf(payload))).name)
}

async function sufferFate(fate: Fate, clock: Clock): Promise<void> {
  if (fate === 'fails') throw new TransientError('The canary cannot read this package.', { code: 'BAD_CANARY' })
  if (fate === 'hangs') await hang(clock)
}

/** Looks at no signal, on purpose; the timer keeps no process alive. */
function hang(clock: Clock): Promise<void> {
  return new Promise((resolve) => void clock.after(HANG_MS, resolve, true))
}
