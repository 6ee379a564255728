// watch.ts — one blocking query, asked again for as long as it is wanted.
//
// Consul's rules: never index 0 twice in a row without a pause, an index that runs backwards starts anew at 0, an
// error too (the other end may have restarted). Waits are jittered, errors back off with full jitter. The caller keeps
// what it was told last; a failure tells it nothing.

import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import type { BlockingRead, ReadOptions } from './consul-client.ts'

const WAIT_MS = 60_000
const BACKOFF_MS = 200
const BACKOFF_MS_MAX = 10_000
/** A registry that answers at once, for whatever reason, is asked at most this often. */
const PACE_MS = 20

export interface WatchOptions {
  readonly what: string
  read(options: ReadOptions): Promise<BlockingRead>
  /** Called with every answer whose index moved. A throw is logged and leaves the last good state. */
  onData(data: unknown): void
  onError(error: unknown): void
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly signal: AbortSignal
}

/** Resolves when the signal aborts; never rejects. */
export async function watch(options: WatchOptions): Promise<void> {
  const { clock, random, signal } = options
  let index = 0
  let failures = 0
  while (!signal.aborted) {
    let pauseMs = random.between(PACE_MS, 2 * PACE_MS)
    try {
      const answer = await options.read({ index, waitMs: Math.round(random.between(WAIT_MS / 2, WAIT_MS)), signal })
      if (answer.index !== index) options.onData(answer.data)
      index = answer.index < index ? 0 : answer.index
      failures = 0
    } catch (error) {
      if (signal.aborted) return
      index = 0
      pauseMs = random.between(0, Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** failures++))
      options.log.warn({ error, what: options.what, failures }, 'registry watch failed; keeping what is known')
      options.onError(error)
    }
    await clock.sleep(pauseMs, signal).catch(() => undefined)
  }
}
