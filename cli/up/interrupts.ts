// interrupts.ts — Ctrl-C, SIGTERM, a closed terminal, or the death of whoever started us: the first one asks to stop,
// the second one insists. Several within half a second are one: a terminal and npm both pass the same Ctrl-C on.

import type { Clock, MonotonicMs } from '../../kernel/clock.ts'

const SAME_PRESS_MS = 500
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface Interrupts {
  /** Aborts at the first one. */
  readonly signal: AbortSignal
  /** Resolves at the first one. */
  readonly first: Promise<void>
  close(): void
}

export interface InterruptSource {
  on(event: string, listener: () => void): unknown
  off(event: string, listener: () => void): unknown
}

export function watchInterrupts(source: InterruptSource, clock: Clock, onSecond: () => void): Interrupts {
  const control = new AbortController()
  let firstAt: MonotonicMs | undefined
  const first = new Promise<void>((resolve) => control.signal.addEventListener('abort', () => resolve()))
  const listener = (): void => {
    if (firstAt === undefined) {
      firstAt = clock.now()
      control.abort(new Error('interrupted'))
    } else if (clock.now() - firstAt >= SAME_PRESS_MS) onSecond()
  }
  for (const event of [...SIGNALS, 'disconnect']) source.on(event, listener)
  return {
    signal: control.signal,
    first,
    close() {
      for (const event of [...SIGNALS, 'disconnect']) source.off(event, listener)
    },
  }
}
