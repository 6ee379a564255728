// clock.ts — time as an argument.
//
// Two kinds of time that never mix: MonotonicMs measures (deadlines, backoff, leases), WallMs is stored and shown.
// Never: read anywhere else. Code takes a Clock; tests and the simulator pass a ManualClock (test/support).

declare const monotonic: unique symbol
declare const wall: unique symbol
/** Milliseconds on this process's monotonic clock; meaningless in another process. */
export type MonotonicMs = number & { readonly [monotonic]: true }
/** Milliseconds since 1970-01-01T00:00:00Z. */
export type WallMs = number & { readonly [wall]: true }

export interface Timer {
  /** Idempotent. */
  cancel(): void
}

export interface Clock {
  now(): MonotonicMs
  wall(): WallMs
  /** Calls `run` once after `delayMs` (never earlier). The timer does not keep the process alive when `background`. */
  after(delayMs: number, run: () => void, background?: boolean): Timer
  /** Calls `run` each `periodMs` until cancelled; never keeps the process alive. */
  every(periodMs: number, run: () => void): Timer
  /** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

const TIMER_MS_MAX = 2_147_483_647

export const systemClock: Clock = {
  now: () => performance.now() as MonotonicMs,
  wall: () => Date.now() as WallMs,
  after(delayMs, run, background = false) {
    const handle = setTimeout(run, Math.min(Math.max(0, delayMs), TIMER_MS_MAX))
    if (background) handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
  every(periodMs, run) {
    const handle = setInterval(run, periodMs)
    handle.unref()
    return { cancel: () => clearInterval(handle) }
  },
  sleep: (delayMs, signal) => sleepOn(systemClock, delayMs, signal),
}

export function sleepOn(clock: Pick<Clock, 'after'>, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

export const plus = (at: MonotonicMs, ms: number): MonotonicMs => (at + ms) as MonotonicMs
export const wallPlus = (at: WallMs, ms: number): WallMs => (at + ms) as WallMs
export const isoTime = (at: WallMs): string => new Date(at).toISOString()
