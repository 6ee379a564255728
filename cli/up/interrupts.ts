// interrupts.ts — Ctrl-C, SIGTERM, a closed terminal, or the death of whoever started us: the first one asks to stop,
// the second one insists. Several within half a second are one: a terminal and npm both pass the same Ctrl-C on.

import type { Clock, MonotonicMs } from '../../kernel/clock.ts'

const SAME_PRESS_MS = 500
/** `disconnect`: whoever started us is gone. */
const EVENTS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'disconnect'] as const
export type InterruptName = (typeof EVENTS)[number]

export interface Interrupts {
  /** Aborts at the first one. */
  readonly signal: AbortSignal
  /** Resolves at the first one, with its name. */
  readonly first: Promise<InterruptName>
  close(): void
}

export interface InterruptSource {
  on(event: string, listener: () => void): unknown
  off(event: string, listener: () => void): unknown
}

export function watchInterrupts(source: InterruptSource, clock: Clock, onSecond: () => void): Interrupts {
  const control = new AbortController()
  let firstAt: MonotonicMs | undefined
  let resolveFirst: (name: InterruptName) => void = () => undefined
  const first = new Promise<InterruptName>((resolve) => {
    resolveFirst = resolve
  })
  const listeners = EVENTS.map((name) => {
    const listener = (): void => {
      if (firstAt === undefined) {
        firstAt = clock.now()
        resolveFirst(name)
        control.abort(new Error('interrupted'))
      } else if (clock.now() - firstAt >= SAME_PRESS_MS) onSecond()
    }
    source.on(name, listener)
    return { name, listener }
  })
  return {
    signal: control.signal,
    first,
    close() {
      for (const { name, listener } of listeners) source.off(name, listener)
    },
  }
}
