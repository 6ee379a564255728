// bodies.ts — payloads of fresh jobs, kept until their first lease so that it costs no read; bounded by bytes.
//
// The oldest leave first. A body that is not here is read from the store.

import type { JobBody, JobRow, JobStore, StoredBody } from '../store/contract.ts'

export const BODY_CACHE_BYTES_MAX = 64 * 1024 * 1024
const OVERHEAD_BYTES = 256

export class Bodies {
  readonly #store: JobStore
  readonly #bytesMax: number
  readonly #cache = new Map<string, StoredBody>()
  #bytes = 0

  constructor(store: JobStore, bytesMax = BODY_CACHE_BYTES_MAX) {
    this.#store = store
    this.#bytesMax = bytesMax
  }

  keep(job: JobRow, body: JobBody): void {
    const stored = { ...body, labels: job.labels, traceparent: job.traceparent }
    this.#cache.set(job.id, stored)
    this.#bytes += sizeOf(stored)
    if (this.#bytes > this.#bytesMax) this.#evict()
  }

  #evict(): void {
    for (const id of this.#cache.keys()) {
      this.drop(id)
      if (this.#bytes <= this.#bytesMax) return
    }
  }

  drop(id: string): void {
    const body = this.#cache.get(id)
    if (!body) return
    this.#cache.delete(id)
    this.#bytes -= sizeOf(body)
  }

  async of(ids: readonly string[]): Promise<ReadonlyMap<string, StoredBody>> {
    const found = new Map<string, StoredBody>()
    const missing: string[] = []
    for (const id of ids) {
      const body = this.#cache.get(id)
      if (body) found.set(id, body)
      else missing.push(id)
    }
    if (missing.length > 0) for (const [id, body] of await this.#store.bodyOf(missing)) found.set(id, body)
    return found
  }
}

function sizeOf(body: StoredBody): number {
  const payload = body.payload === null ? 0 : body.payload.length
  return OVERHEAD_BYTES + payload
}
