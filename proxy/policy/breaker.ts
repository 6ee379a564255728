// breaker.ts — the circuit breaker of one backend: opossum behind the words of the request path.
//
// Opens at ≥ `failures` failures and ≥ `failurePercent` of the calls of the window; `openMs` later one probe passes and
// decides. opossum keeps window, state and timers (its own clock: the named exception of STYLE §8); whether to open is
// decided here, because its threshold counts calls and not failures. Calls are fired when they settle, so its rate is
// of settled calls.
// Modes: closed → open → half-open (no probe yet → probe under way) → closed or open.
// A call that settles while open is dropped; in half-open only a probe speaks. A probe that never settles is given up
// after `openMs` and another one passes.

import CircuitBreaker from 'opossum'
import type { Clock } from '../../kernel/clock.ts'
import type { Policy } from '../../mesh-config/snapshot.ts'
import type { Breaker } from '../exchange.ts'

export type BreakerPolicy = Policy['breaker']

const WINDOW_SLOTS = 10
const FAILED = new Error('backend call failed')

export class BackendBreaker implements Breaker {
  readonly policy: BreakerPolicy
  readonly #clock: Clock
  readonly #onOpen: () => void
  #circuit: CircuitBreaker<[boolean], void>
  #openedAt = 0
  /** When the probe under way passed; undefined = none. */
  #probeAt: number | undefined
  #opened: number

  constructor(clock: Clock, policy: BreakerPolicy, onOpen: () => void = () => undefined, opened = 0) {
    this.policy = policy
    this.#clock = clock
    this.#onOpen = onOpen
    this.#opened = opened
    this.#circuit = this.#closedCircuit()
  }

  get state(): 'closed' | 'open' | 'halfOpen' {
    if (this.#circuit.closed) return 'closed'
    return this.#circuit.halfOpen ? 'halfOpen' : 'open'
  }

  get opened(): number {
    return this.#opened
  }

  allow(): boolean {
    if (this.#circuit.closed) return true
    if (!this.#circuit.halfOpen) return false
    const now = this.#clock.now()
    if (this.#probeAt !== undefined && now - this.#probeAt < this.policy.openMs) return false
    this.#probeAt = now
    return true
  }

  settle(ok: boolean): void {
    if (!this.#circuit.closed) {
      if (!this.#circuit.halfOpen || this.#probeAt === undefined) return
      this.#probeAt = undefined
    }
    const circuit = this.#circuit
    circuit.fire(ok).catch(ignore)
    if (!ok && circuit.closed && this.#mustOpen(circuit)) circuit.open()
  }

  forget(): void {
    this.#probeAt = undefined
  }

  reopensInMs(): number {
    if (this.state !== 'open') return 0
    return Math.max(1, Math.ceil(this.#openedAt + this.policy.openMs - this.#clock.now()))
  }

  /** Stops opossum's timers. */
  close(): void {
    this.#circuit.shutdown()
  }

  #mustOpen(circuit: CircuitBreaker<[boolean], void>): boolean {
    const { failures, successes } = circuit.stats
    return failures >= this.policy.failures && failures * 100 >= (failures + successes) * this.policy.failurePercent
  }

  #closedCircuit(): CircuitBreaker<[boolean], void> {
    const circuit = new CircuitBreaker<[boolean], void>(settleCall, {
      timeout: false,
      resetTimeout: this.policy.openMs,
      rollingCountTimeout: this.policy.windowMs,
      rollingCountBuckets: WINDOW_SLOTS,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      errorThresholdPercentage: 100, // never by itself while closed; see mustOpen
      name: 'backend',
    })
    circuit.on('open', () => this.#noteOpen())
    circuit.on('close', () => this.#startAfresh(circuit))
    return circuit
  }

  #noteOpen(): void {
    this.#opened++
    this.#openedAt = this.#clock.now()
    this.#probeAt = undefined
    this.#onOpen()
  }

  /** A recovered backend starts with an empty window: its old failures must not open it again. */
  #startAfresh(recovered: CircuitBreaker<[boolean], void>): void {
    this.#circuit = this.#closedCircuit()
    recovered.shutdown()
  }
}

/**
 * Counted in the same turn, so that failures are never held against successes that came before them: a failure is a
 * synchronous throw, a success a thenable that calls back at once (opossum only calls `then` and `catch`).
 */
function settleCall(ok: boolean): Promise<void> {
  if (!ok) throw FAILED
  return SUCCEEDED as unknown as Promise<void>
}

const SUCCEEDED = {
  // biome-ignore lint/suspicious/noThenProperty: see settleCall
  then(done: (value: undefined) => void): { catch(): void } {
    done(undefined)
    return { catch: ignore }
  },
}

function ignore(): void {}
