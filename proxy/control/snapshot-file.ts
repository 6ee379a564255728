// snapshot-file.ts — standalone mode: the snapshot comes from a file that somebody else writes, and is watched.
//
// A bad file is told once per change and changes nothing: the last good snapshot stays. Polled by size and time of
// change each POLL_MS: works the same for files replaced by rename, for mounts and on every system.

import { stat } from 'node:fs/promises'
import type { Clock, Timer } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { Snapshot } from '../../mesh-config/snapshot.ts'
import { readSnapshot } from './snapshot-store.ts'

const POLL_MS = 500

export class SnapshotFile implements Closable {
  readonly #file: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #apply: (snapshot: Snapshot) => void
  #seen = ''
  #timer: Timer | undefined
  #busy = false

  constructor(options: { file: string; clock: Clock; log: Log; apply: (snapshot: Snapshot) => void }) {
    this.#file = options.file
    this.#clock = options.clock
    this.#log = options.log
    this.#apply = options.apply
  }

  /** @throws FairleadError when the first read fails: nothing good to keep yet. */
  async start(): Promise<void> {
    this.#seen = await this.#mark()
    const snapshot = await readSnapshot(this.#file)
    if (!snapshot) throw new FairleadError('SNAPSHOT_INVALID', `The snapshot file ${this.#file} does not exist.`)
    this.#apply(snapshot)
    this.#timer = this.#clock.every(POLL_MS, () => void this.#look())
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
  }

  async #look(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    try {
      const mark = await this.#mark()
      if (mark === '' || mark === this.#seen) return
      this.#seen = mark
      const snapshot = await readSnapshot(this.#file)
      if (snapshot) this.#apply(snapshot)
    } catch (error) {
      this.#log.error({ error, file: this.#file }, 'snapshot file refused; the last good one stays')
    } finally {
      this.#busy = false
    }
  }

  /** '' while the file is away. */
  async #mark(): Promise<string> {
    try {
      const { mtimeMs, size, ino } = await stat(this.#file)
      return `${mtimeMs} ${size} ${ino}`
    } catch {
      return ''
    }
  }
}
