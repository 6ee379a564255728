// transports.ts — the connections of every backend: one pool each, made at first use, closed when nothing uses it.
//
// Limits follow the snapshot: the pool takes the backend's current policy with each request.

import type { Closable } from '../../kernel/lifetime.ts'
import type { Backend } from '../../mesh-config/snapshot.ts'
import { MeshPool, type MuxSettings } from '../mux/mesh-pool.ts'
import type { DialParts } from './dial.ts'
import { Pool, type PoolEndpoint } from './pool.ts'
import type { Limits, ResponseSink, UpstreamCall, UpstreamRequest } from './seam.ts'

const SWEEP_MS = 500

interface Entry {
  backend: Backend
  readonly pool: Pool | MeshPool
}

export class Transports implements Closable {
  readonly #parts: DialParts
  readonly #mux: MuxSettings | undefined
  readonly #pools = new Map<string, Entry>()
  readonly #sweep: { cancel(): void }

  /** Without `mux` sidecars are called over HTTP/1.1. */
  constructor(parts: DialParts, mux?: MuxSettings) {
    this.#parts = parts
    this.#mux = mux
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
    const entry = { backend, pool: this.#pool(backend) }
    this.#pools.set(backend.name, entry)
    return entry
  }

  #pool(backend: Backend): Pool | MeshPool {
    const identity = identityOf(backend)
    if (identity === '' || this.#mux === undefined) return new Pool(this.#parts, identity, limitsOf(backend))
    return new MeshPool(this.#parts, this.#mux, identity, limitsOf(backend))
  }
}

const identityOf = (backend: Backend): string => (backend.transport === 'mesh' ? backend.identity : '')

function limitsOf({ policy }: Backend): Limits {
  const { maxConnections, maxPendingRequests } = policy.limits
  const { connectTimeoutMs, idleTimeoutMs } = policy
  return { maxConnections, maxPendingRequests, connectTimeoutMs, idleTimeoutMs }
}
