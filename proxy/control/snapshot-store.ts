// snapshot-store.ts — the last good snapshot on disk (0600): a sidecar starts and serves without the control plane.
//
// Only what parseSnapshot took is written; what is read back is parsed again.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writePrivateFile } from '../../certs/private-file.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { parseJson } from '../../kernel/parse.ts'
import { parseSnapshot, type Snapshot } from '../../mesh-config/snapshot.ts'

export const SNAPSHOT_BYTES_MAX = 16 * 1024 * 1024

export class SnapshotStore {
  readonly #file: string
  #next: Snapshot | undefined
  #writing: Promise<void> | undefined

  constructor(stateDir: string) {
    this.#file = join(stateDir, 'snapshot.json')
  }

  /** Undefined when there is none. @throws FairleadError when there is one that cannot be used */
  async load(): Promise<Snapshot | undefined> {
    return readSnapshot(this.#file)
  }

  /** Writes one after the other; of several that wait only the newest is written. */
  save(snapshot: Snapshot): Promise<void> {
    this.#next = snapshot
    this.#writing ??= this.#drain()
    return this.#writing
  }

  async #drain(): Promise<void> {
    try {
      while (this.#next) {
        const snapshot = this.#next
        this.#next = undefined
        await writePrivateFile(this.#file, JSON.stringify(snapshot))
      }
    } finally {
      this.#writing = undefined
    }
  }
}

/** Undefined when the file is missing. @throws FairleadError INVALID_JSON, SNAPSHOT_INVALID, PAYLOAD_TOO_LARGE */
export async function readSnapshot(file: string): Promise<Snapshot | undefined> {
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new FairleadError('SNAPSHOT_INVALID', `Cannot read the snapshot ${file}.`, { cause })
  }
  return parseSnapshot(parseJson(bytes, `Snapshot ${file}`, SNAPSHOT_BYTES_MAX))
}
