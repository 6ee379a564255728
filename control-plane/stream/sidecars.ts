// sidecars.ts — every sidecar that must run the current config: connected ones, and absent ones that may still serve.
//
// Owns: which snapshot each was sent, acked or refused, and the answer to "accepted by n of m".
// An absent sidecar counts until its certificate ends, since it may serve its last good snapshot; it stops counting when
// it left in order: when its stream ended, its instance was deregistered too.

import { isRevoked, type Revoked } from '../../certs/revoked.ts'
import type { Clock, MonotonicMs, Timer, WallMs } from '../../kernel/clock.ts'
import { FairleadError, type Problem } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { Snapshot } from '../../mesh-config/snapshot.ts'
import type { Kept, KnownSidecar } from '../state/kept.ts'
import type { Reply, SidecarStream } from './sidecar-stream.ts'

export const SIDECARS_MAX = 10_000
/** Between the end of a stream and the news that its instance deregistered. */
const LEAVING_MS = 1_000
const SAVE_MS = 250

export interface SidecarState {
  known: KnownSidecar
  stream: SidecarStream | undefined
  /** Version that it should run; '' until the first snapshot was compiled. */
  current: string
  /** Version that its stream was told last, or that it had when it came: what it runs next, acked or not. */
  told: string
  nack: readonly Problem[]
  /** When the change that made `current` was noticed. */
  changedAt: MonotonicMs
}

export interface SidecarsOptions {
  readonly kept: Kept
  readonly clock: Clock
  readonly log: Log
  /** The registry lists it (in whatever health). */
  isRegistered(instance: string): boolean
  /** A sidecar came: somebody must compile for it. */
  onConnected(): void
  onPushed(): void
  onAcked(latencyMs: number): void
  onNacked(): void
}

export class Sidecars implements Closable {
  readonly #options: SidecarsOptions
  readonly #all = new Map<string, SidecarState>()
  readonly #leaving = new Map<string, Timer>()
  readonly #unsaved = new Set<string>()
  #saving: Timer | undefined
  #closed = false

  constructor(options: SidecarsOptions) {
    this.#options = options
    for (const known of options.kept.sidecars()) this.#all.set(known.instance, absent(known))
  }

  all(): SidecarState[] {
    return [...this.#all.values()].sort((a, b) => (a.known.instance < b.known.instance ? -1 : 1))
  }

  connected(): SidecarState[] {
    return this.all().filter((state) => state.stream !== undefined)
  }

  /** @throws FairleadError OVERLOADED, PEER_IDENTITY_INVALID when another service has an instance of that name. */
  checkRoom(instance: string, service: string, namespace: string): void {
    const before = this.#all.get(instance)
    if (!before && this.#all.size >= SIDECARS_MAX) {
      throw new FairleadError('OVERLOADED', `This control plane serves at most ${SIDECARS_MAX} sidecars.`)
    }
    const live = before !== undefined && before.known.leafNotAfter > this.#options.clock.wall()
    if (live && (before.known.service !== service || before.known.namespace !== namespace)) {
      throw new FairleadError('PEER_IDENTITY_INVALID', `Instance ${instance} belongs to another service.`)
    }
  }

  /** The newest stream of an instance wins. */
  connect(stream: SidecarStream): void {
    const { instance, service, namespace, version, have } = stream.hello
    const before = this.#all.get(instance)
    const known = { instance, service, namespace, version, acked: have, leafNotAfter: stream.leafNotAfter }
    const state = { ...absent(known), stream, told: have, changedAt: this.#options.clock.now() }
    this.#all.set(instance, state)
    this.#save(instance)
    // No goaway: of two processes that claim one instance, each would come back at once.
    before?.stream?.close()
    this.#options.log.info({ instance, service, version, have }, 'sidecar connected')
    this.#options.onConnected()
  }

  disconnect(stream: SidecarStream): void {
    const { instance } = stream.hello
    const state = this.#all.get(instance)
    if (state?.stream !== stream) return
    state.stream = undefined
    this.#options.log.info({ instance }, 'sidecar disconnected')
    if (this.#closed) return
    this.#leaving.get(instance)?.cancel()
    this.#leaving.set(
      instance,
      this.#options.clock.after(LEAVING_MS, () => this.#forgetIfLeft(instance), true),
    )
  }

  /** Sends when the content differs from what the sidecar was last told or has. */
  publish(state: SidecarState, snapshot: Snapshot, changedAt: MonotonicMs): void {
    if (state.current === snapshot.version) return
    state.current = snapshot.version
    state.nack = []
    state.changedAt = changedAt
    // Not what it acked: an older ack says nothing about a newer version that is on its way (A, B, A again).
    if (!state.stream || state.told === snapshot.version) return
    state.told = snapshot.version
    state.stream.publish(snapshot)
    this.#options.onPushed()
  }

  reply(stream: SidecarStream, reply: Reply): void {
    const state = this.#all.get(stream.hello.instance)
    if (state?.stream !== stream) return
    const { clock, log } = this.#options
    if (reply.t === 'nack') {
      if (reply.version === state.current) state.nack = reply.problems.slice(0, 100)
      this.#options.onNacked()
      log.error({ instance: stream.hello.instance, version: reply.version, problems: state.nack }, 'snapshot refused')
      return
    }
    state.known = { ...state.known, acked: reply.version }
    this.#save(stream.hello.instance)
    if (reply.version === state.current) this.#options.onAcked(clock.now() - state.changedAt)
  }

  /** Ends the streams of who is revoked: they would be refused if they came now. */
  cut(list: Revoked | undefined): void {
    for (const { stream } of this.#all.values()) {
      if (stream && isRevoked(list, stream.serial, stream.spiffeId)) stream.goaway('revoked')
    }
  }

  /** Forgets whose certificate ended: they can serve nobody any more. */
  prune(now: WallMs): void {
    for (const [instance, state] of this.#all) {
      if (!state.stream && state.known.leafNotAfter <= now) this.#forget(instance)
    }
  }

  /** One that crashed is still registered now: its registry entry outlives it by minutes. */
  #forgetIfLeft(instance: string): void {
    this.#leaving.delete(instance)
    const state = this.#all.get(instance)
    if (state && !state.stream && !this.#options.isRegistered(instance)) this.#forget(instance)
  }

  /** Soon, together with others. What a crash loses, the sidecars say again in their hello. */
  #save(instance: string): void {
    this.#unsaved.add(instance)
    if (!this.#closed) this.#saving ??= this.#options.clock.after(SAVE_MS, () => this.#flush(), true)
  }

  #flush(): void {
    this.#saving?.cancel()
    this.#saving = undefined
    const known = [...this.#unsaved].flatMap((instance) => this.#all.get(instance)?.known ?? [])
    this.#unsaved.clear()
    if (known.length > 0) this.#options.kept.saveSidecars(known)
  }

  #forget(instance: string): void {
    this.#all.delete(instance)
    this.#options.kept.forgetSidecar(instance)
  }

  /** Sends everybody elsewhere; they are remembered. */
  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#leaving.values()) timer.cancel()
    for (const state of this.#all.values()) state.stream?.goaway('control plane is closing')
    this.#flush()
  }
}

function absent(known: KnownSidecar): SidecarState {
  return { known, stream: undefined, current: '', told: '', nack: [], changedAt: 0 as MonotonicMs }
}

/** Runs what it should: a sidecar that was not compiled for yet counts as missing. */
export const hasAccepted = (state: SidecarState): boolean =>
  state.current !== '' && state.known.acked === state.current && state.nack.length === 0
