// catalog.ts — services and their TTL checks: what is registered and how it is.
//
// Owns: the two tables, their indexes, and the timers that turn a silent check critical and take a service away that
// stayed critical for its DeregisterCriticalServiceAfter (at least one minute, as in Consul).
// A registration that changes nothing moves no index; one that repeats a check keeps the check's status.

import type { Clock, Timer } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Changes } from './changes.ts'
import { Refusal } from './refusal.ts'
import type { CheckDefinition, CheckStatus, Registration } from './registration.ts'

export const SERVICES_MAX = 10_000
const OUTPUT_CHARACTERS_MAX = 4_096
const DEREGISTER_AFTER_MS_MIN = 60_000

export interface CheckRecord {
  readonly definition: CheckDefinition
  readonly createIndex: number
  modifyIndex: number
  status: CheckStatus
  output: string
  ttl: Timer | undefined
  reap: Timer | undefined
}

export interface ServiceRecord {
  readonly registration: Registration
  readonly createIndex: number
  readonly modifyIndex: number
  readonly checks: Map<string, CheckRecord>
}

export class Catalog implements Closable {
  readonly #clock: Clock
  readonly #changes: Changes
  readonly #services = new Map<string, ServiceRecord>()
  readonly #byName = new Map<string, Set<string>>()
  readonly #owner = new Map<string, string>()
  readonly #nameIndex = new Map<string, number>()
  #servicesIndex: number
  #checksIndex: number
  #extinctIndex = 0

  constructor(clock: Clock, changes: Changes) {
    this.#clock = clock
    this.#changes = changes
    this.#servicesIndex = changes.index
    this.#checksIndex = changes.index
  }

  /** Index of the list of services: moves with registrations, not with checks. */
  get servicesIndex(): number {
    return this.#servicesIndex
  }

  get checksIndex(): number {
    return this.#checksIndex
  }

  /** Index of one service: moves with its instances and checks; for an absent one, with the last extinction. */
  indexOf(service: string): number {
    return this.#nameIndex.get(service) ?? (this.#extinctIndex || Math.max(this.#servicesIndex, this.#checksIndex))
  }

  all(): ServiceRecord[] {
    return [...this.#services.values()]
  }

  get(id: string): ServiceRecord | undefined {
    return this.#services.get(id)
  }

  byName(service: string): ServiceRecord[] {
    const ids = [...(this.#byName.get(service) ?? [])].sort()
    return ids.map((id) => this.#services.get(id)!)
  }

  /** Name → tags of all its instances. */
  names(): Map<string, string[]> {
    const names = [...this.#byName.keys()].sort()
    const tagsOf = (name: string): string[] => [...new Set(this.byName(name).flatMap((r) => r.registration.tags))]
    return new Map(names.map((name) => [name, tagsOf(name)]))
  }

  register(registration: Registration): void {
    const before = this.#services.get(registration.id)
    if (!before && this.#services.size >= SERVICES_MAX) {
      throw new Refusal(500, `too many services: the built-in registry holds ${SERVICES_MAX}`)
    }
    for (const check of registration.checks) {
      const owner = this.#owner.get(check.id)
      if (owner !== undefined && owner !== registration.id) this.#dropCheck(this.#services.get(owner)!, check.id)
    }
    if (before && same(before.registration, registration)) {
      for (const check of before.checks.values()) this.#startTtl(before, check)
      return
    }
    const index = this.#changes.next()
    const renamed = before !== undefined && before.registration.service !== registration.service
    if (renamed) this.#unlink(before.registration, index)
    const record: ServiceRecord = {
      registration,
      createIndex: before?.createIndex ?? index,
      modifyIndex: index,
      checks: before?.checks ?? new Map(),
    }
    this.#services.set(registration.id, record)
    this.#link(registration, index)
    for (const check of registration.checks) this.#setCheck(record, check, index)
  }

  /** Idempotent, as in Consul: an unknown id is fine. */
  deregister(id: string): boolean {
    const record = this.#services.get(id)
    if (!record) return false
    for (const check of [...record.checks.keys()]) this.#dropCheck(record, check)
    this.#services.delete(id)
    this.#unlink(record.registration, this.#changes.next())
    return true
  }

  /** A heartbeat: sets status and output and starts the TTL again. */
  updateCheck(checkId: string, status: CheckStatus, output: string): void {
    const owner = this.#owner.get(checkId)
    const record = owner === undefined ? undefined : this.#services.get(owner)
    const check = record?.checks.get(checkId)
    if (!record || !check) throw new Refusal(500, `CheckID "${checkId}" does not have associated TTL`)
    this.#startTtl(record, check)
    this.#setStatus(record, check, status, output.slice(0, OUTPUT_CHARACTERS_MAX))
  }

  async close(): Promise<void> {
    for (const record of this.#services.values()) for (const check of record.checks.values()) stopTimers(check)
  }

  #setCheck(record: ServiceRecord, definition: CheckDefinition, index: number): void {
    const before = record.checks.get(definition.id)
    if (before) stopTimers(before)
    const check: CheckRecord = {
      definition,
      createIndex: before?.createIndex ?? index,
      modifyIndex: index,
      status: before?.status ?? definition.status,
      output: before?.output ?? '',
      ttl: undefined,
      reap: undefined,
    }
    record.checks.set(definition.id, check)
    this.#owner.set(definition.id, record.registration.id)
    this.#checksIndex = index
    this.#startTtl(record, check)
    this.#startReap(record, check)
  }

  #startTtl(record: ServiceRecord, check: CheckRecord): void {
    check.ttl?.cancel()
    const expire = (): void => this.#setStatus(record, check, 'critical', 'TTL expired')
    check.ttl = this.#clock.after(check.definition.ttlMs, expire, true)
  }

  #setStatus(record: ServiceRecord, check: CheckRecord, status: CheckStatus, output: string): void {
    if (check.status === status && check.output === output) return
    const turned = (check.status === 'critical') !== (status === 'critical')
    check.status = status
    check.output = output
    check.modifyIndex = this.#changes.next()
    this.#checksIndex = check.modifyIndex
    this.#touch(record, check.modifyIndex)
    if (turned) this.#startReap(record, check)
  }

  #startReap(record: ServiceRecord, check: CheckRecord): void {
    check.reap?.cancel()
    check.reap = undefined
    const after = check.definition.deregisterAfterMs
    if (check.status !== 'critical' || after === undefined) return
    const id = record.registration.id
    check.reap = this.#clock.after(Math.max(after, DEREGISTER_AFTER_MS_MIN), () => void this.deregister(id), true)
  }

  #dropCheck(record: ServiceRecord, checkId: string): void {
    const check = record.checks.get(checkId)
    if (!check) return
    stopTimers(check)
    record.checks.delete(checkId)
    this.#owner.delete(checkId)
    this.#checksIndex = this.#changes.next()
    this.#touch(record, this.#checksIndex)
  }

  /** A timer may hold a record that was registered again, even under another name. */
  #touch(record: ServiceRecord, index: number): void {
    const current = this.#services.get(record.registration.id)
    if (current) this.#nameIndex.set(current.registration.service, index)
  }

  #link(registration: Registration, index: number): void {
    const ids = this.#byName.get(registration.service) ?? new Set()
    this.#byName.set(registration.service, ids.add(registration.id))
    this.#nameIndex.set(registration.service, index)
    this.#servicesIndex = index
  }

  #unlink(registration: Registration, index: number): void {
    const ids = this.#byName.get(registration.service)
    ids?.delete(registration.id)
    this.#servicesIndex = index
    if (ids && ids.size > 0) {
      this.#nameIndex.set(registration.service, index)
      return
    }
    this.#byName.delete(registration.service)
    this.#nameIndex.delete(registration.service)
    this.#extinctIndex = index
  }
}

function stopTimers(check: CheckRecord): void {
  check.ttl?.cancel()
  check.reap?.cancel()
}

const same = (a: Registration, b: Registration): boolean => JSON.stringify(a) === JSON.stringify(b)
