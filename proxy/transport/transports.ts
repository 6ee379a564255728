// transports.ts — the connections of every backend: one pool each, made at first use, closed when nothing uses it.
//
// Limits follow the snapshot: the pool takes the backend's current policy with each request.

import type { Closable } from '../../kernel/lifetime.ts'
import type { Backend } from '../../mesh-config/snapshot.ts'
import type { DialParts } from './dial.ts'
import { Pool, type PoolEndpoint } from './pool.ts'
import type { Limits, ResponseSink, UpstreamCall, UpstreamRequest } from './seam.ts'

const SWEEP_MS = 500

interface Entry {
  backend: Backend
  readonly pool: Pool
}

export class Transports implements Closable {
  readonly #parts: DialParts
  readonly #pools = new Map<string, Entry>()
  readonly #sweep: { cancel(): void }

  constructor(parts: DialParts) {
    this.#parts = parts
    this.#sweep = parts.clock.every(SWEEP_MS, () => this.sweep())
  }

  open(backend: Backend, endpoint: PoolEndpoint, request: UpstreamRequest, sink: ResponseSink): UpstreamCall {
    let entry = this.#pools.get(backend.name)
    if (entry === undefined || entry.backend !== backend) entry = this.#update(backend, entry)
    return entry.pool.open(endpoint, request, sink)
  }

  sweep(): void {
    for (const [name, { pool }] of this.#pools) {
      pool.sweep()
      if (pool.connections === 0 && pool.pending === 0) this.#pools.delete(name)
    }
  }

  async close(): Promise<void> {
    this.#sweep.cancel()
    for (const { pool } of this.#pools.values()) pool.destroy()
    this.#pools.clear()
  }

  /** A new snapshot brings new Backend objects; the pool stays while its endpoints prove the same identity. */
  #update(backend: Backend, known: Entry | undefined): Entry {
    if (known !== undefined && identityOf(known.backend) === identityOf(backend)) {
      known.backend = backend
      known.pool.limits = limitsOf(backend)
      return known
    }
    known?.pool.retire()
    const entry = { backend, pool: new Pool(this.#parts, identityOf(backend), limitsOf(backend)) }
    this.#pools.set(backend.name, entry)
    return entry
  }
}

const identityOf = (backend: Backend): string => (backend.transport === 'mesh' ? backend.identity : '')

function limitsOf({ policy }: Backend): Limits {
  const { maxConnections, maxPendingRequests } = policy.limits
  const { connectTimeoutMs, idleTimeoutMs } = policy
  return { maxConnections, maxPendingRequests, connectTimeoutMs, idleTimeoutMs }
}
