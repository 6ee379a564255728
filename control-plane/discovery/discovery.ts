// discovery.ts — the instances of every service, watched in the registry, last good kept.
//
// One watch on the list of services, one on the health of each `*-sidecar-proxy`. What a watch cannot read leaves the
// state of before; what vanishes goes through holdback.ts.

import type { Clock, Timer } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import { z } from '../../kernel/parse.ts'
import type { Random } from '../../kernel/random.ts'
import { type Instance, isSidecarService, parseHealthEntry } from '../contract.ts'
import { createConsulClient } from './consul-client.ts'
import { Holdback, type Seen } from './holdback.ts'
import { watch } from './watch.ts'

const SERVICES_MAX = 2_000
const INSTANCES_MAX = 20_000

export interface DiscoveryOptions {
  readonly consulUrl: string
  /** Published before our restart. */
  readonly known: readonly Instance[]
  onChange(instances: readonly Instance[]): void
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface Discovery extends Closable {
  readonly instances: readonly Instance[]
  /** What the registry lists now, whatever is held back. */
  isRegistered(instance: string): boolean
  /** False until the registry answered once, and while it does not. */
  readonly reachable: boolean
}

export function startDiscovery(options: DiscoveryOptions): Discovery {
  return new Watches(options)
}

const ServicesSchema = z.record(z.string(), z.unknown())
const EntriesSchema = z.array(z.unknown())
const ChecksSchema = z.object({
  Checks: z.array(z.object({ Status: z.string(), Output: z.string().nullish() })).nullish(),
})

class Watches implements Discovery {
  readonly #options: DiscoveryOptions
  readonly #client: ReturnType<typeof createConsulClient>
  readonly #stop = new AbortController()
  readonly #holdback: Holdback
  readonly #seen = new Map<string, readonly Seen[]>()
  readonly #watches = new Map<string, AbortController>()
  readonly #running = new Set<Promise<void>>()
  #published = ''
  #again: Timer | undefined
  instances: readonly Instance[]
  reachable = false

  constructor(options: DiscoveryOptions) {
    this.#options = options
    this.#client = createConsulClient(options.consulUrl)
    this.#holdback = new Holdback(options.known, options.clock.now())
    this.instances = options.known
    this.#published = JSON.stringify(options.known)
    this.#watch('services', this.#stop.signal, this.#client.services, (data) => this.#onServices(data))
  }

  isRegistered(instance: string): boolean {
    return [...this.#seen.values()].some((seen) => seen.some((one) => one.instance.instance === instance))
  }

  async close(): Promise<void> {
    this.#again?.cancel()
    this.#stop.abort()
    for (const watching of this.#watches.values()) watching.abort()
    await Promise.all(this.#running)
    this.#client.close()
  }

  #watch(
    what: string,
    signal: AbortSignal,
    read: Parameters<typeof watch>[0]['read'],
    onData: (data: unknown) => void,
  ): void {
    const { clock, random, log } = this.#options
    const running = watch({
      what,
      signal,
      clock,
      random,
      log,
      read: async (query) => {
        const answer = await read(query)
        this.reachable = true
        return answer
      },
      onData,
      onError: () => {
        this.reachable = false
      },
    })
    this.#running.add(running)
    void running.then(() => this.#running.delete(running))
  }

  #onServices(data: unknown): void {
    const names = Object.keys(ServicesSchema.parse(data)).filter(isSidecarService)
    if (names.length > SERVICES_MAX)
      this.#options.log.error({ services: names.length }, 'too many services; rest left out')
    const wanted = new Set(names.slice(0, SERVICES_MAX))
    for (const [name, watching] of this.#watches) {
      if (wanted.has(name)) continue
      watching.abort()
      this.#watches.delete(name)
      this.#seen.delete(name)
    }
    for (const name of wanted) if (!this.#watches.has(name)) this.#start(name)
    this.#publish()
  }

  #start(name: string): void {
    const watching = new AbortController()
    this.#watches.set(name, watching)
    const read: Parameters<typeof watch>[0]['read'] = (query) => this.#client.health(name, query)
    this.#watch(name, watching.signal, read, (data) => {
      if (watching.signal.aborted) return
      this.#seen.set(name, parseEntries(data, this.#options.log))
      this.#publish()
    })
  }

  #publish(): void {
    const { clock, log, onChange } = this.#options
    // A service whose health was not read yet counts as vanished only once the holdback lets it go.
    const seen = [...this.#seen.values()].flat()
    if (seen.length > INSTANCES_MAX) {
      log.error({ instances: seen.length }, 'too many instances; keeping the last set')
      return
    }
    const { instances, again } = this.#holdback.next(seen, clock.now())
    this.#again?.cancel()
    this.#again = again === undefined ? undefined : clock.after(again - clock.now() + 1, () => this.#publish(), true)
    const text = JSON.stringify(instances)
    if (text === this.#published) return
    this.#published = text
    this.instances = instances
    onChange(instances)
  }
}

/** Entries that are no Fairlead sidecars, or broken, are left out one by one: one bad one must not hide the others. */
function parseEntries(data: unknown, log: Log): Seen[] {
  return EntriesSchema.parse(data).flatMap((entry) => {
    try {
      const instance = parseHealthEntry(entry)
      return instance ? [{ instance, deliberate: !instance.passing && saysWhy(entry) }] : []
    } catch (error) {
      log.warn({ error }, 'health entry left out')
      return []
    }
  })
}

/** A failing check with a reason of its own: not one that ran out, nor one that was only just registered. */
const saysWhy = (entry: unknown): boolean =>
  (ChecksSchema.parse(entry).Checks ?? []).some(
    ({ Status, Output }) => Status !== 'passing' && (Output ?? '') !== '' && !/TTL expired/.test(Output ?? ''),
  )
