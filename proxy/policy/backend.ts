// backend.ts — one backend: what a snapshot says of it, and what must outlive snapshots.
//
// BackendState (breaker, budget, endpoints, load) lives as long as some table names the backend; LiveBackend is one
// table's view of it. Requests under way keep their view; the counts they hold are the shared ones.

import type { Clock } from '../../kernel/clock.ts'
import type { Random } from '../../kernel/random.ts'
import type { Backend, Endpoint } from '../../mesh-config/snapshot.ts'
import type { BackendEntry, EndpointState } from '../exchange.ts'
import { BackendBreaker, type BreakerPolicy } from './breaker.ts'
import { EndpointSet, type TrackedEndpoint } from './endpoint-set.ts'
import { SlidingRetryBudget } from './retry-budget.ts'

export interface PolicyParts {
  readonly clock: Clock
  readonly random: Random
  readonly events?: PolicyEvents
}

/** For log and metrics; the path never waits for them. */
export interface PolicyEvents {
  ejected(backend: string, endpoint: Endpoint, forMs: number): void
  breakerOpened(backend: string): void
}

export class BackendState {
  readonly name: string
  readonly budget: SlidingRetryBudget
  readonly endpoints: EndpointSet
  readonly #parts: PolicyParts
  breaker: BackendBreaker
  active = 0

  constructor(backend: Backend, parts: PolicyParts) {
    const { name, policy } = backend
    this.name = name
    this.#parts = parts
    this.budget = new SlidingRetryBudget(parts.clock, policy.retryBudget)
    this.breaker = this.#newBreaker(policy.breaker, 0)
    this.endpoints = new EndpointSet(
      { ...parts, onEject: (endpoint, forMs) => parts.events?.ejected(name, endpoint, forMs) },
      policy,
    )
  }

  update(backend: Backend): void {
    this.budget.update(backend.policy.retryBudget)
    this.endpoints.update(backend.endpoints, backend.policy)
    if (samePolicy(this.breaker.policy, backend.policy.breaker)) return
    const before = this.breaker
    this.breaker = this.#newBreaker(backend.policy.breaker, before.opened)
    before.close()
  }

  close(): void {
    this.breaker.close()
  }

  #newBreaker(policy: BreakerPolicy, opened: number): BackendBreaker {
    const onOpen = (): void => this.#parts.events?.breakerOpened(this.name)
    return new BackendBreaker(this.#parts.clock, policy, onOpen, opened)
  }
}

export class LiveBackend implements BackendEntry {
  readonly backend: Backend
  readonly endpoints: readonly TrackedEndpoint[]
  readonly state: BackendState

  constructor(backend: Backend, state: BackendState) {
    this.backend = backend
    this.state = state
    this.endpoints = state.endpoints.members
  }

  get breaker(): BackendBreaker {
    return this.state.breaker
  }

  get budget(): SlidingRetryBudget {
    return this.state.budget
  }

  get active(): number {
    return this.state.active
  }

  set active(value: number) {
    this.state.active = value
  }

  /** Picks from the newest endpoints, also for a request that began under an older snapshot. */
  pick(tried: ReadonlySet<EndpointState>): TrackedEndpoint | undefined {
    return this.state.endpoints.pick(tried)
  }
}

const samePolicy = (a: BreakerPolicy, b: BreakerPolicy): boolean =>
  a.failures === b.failures &&
  a.failurePercent === b.failurePercent &&
  a.windowMs === b.windowMs &&
  a.openMs === b.openMs
