// data-path.ts — the parts of a sidecar that serve requests, wired: policies, listeners, observers, admin pages.
//
// Owns: starting them in an order in which each can serve, and closing in reverse. What a snapshot or an identity is
// made from (control plane or files) comes from outside: mesh-mode.ts, standalone-mode.ts.

import type { Clock } from '../kernel/clock.ts'
import type { Lifetime } from '../kernel/lifetime.ts'
import type { Log } from '../kernel/log.ts'
import { createRegistry } from '../kernel/metrics.ts'
import type { Random } from '../kernel/random.ts'
import type { Tracing } from '../kernel/tracing.ts'
import type { Snapshot } from '../mesh-config/snapshot.ts'
import { Admin } from './admin.ts'
import type { IdentitySource, Observer } from './exchange.ts'
import type { HostPort, Settings } from './flags.ts'
import { type Inbound, startInbound } from './inbound.ts'
import { localSurface } from './local-surface.ts'
import { type LogTarget, openAccessLog } from './log-target.ts'
import { ProxyMetrics } from './metrics.ts'
import { type Outbound, startOutbound } from './outbound.ts'
import { QuoteLedger } from './policy/quotes.ts'
import { RouteTables } from './policy/route-table.ts'

export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly tracing: Tracing
}

export interface Self {
  readonly service: string
  readonly namespace: string
  readonly version: string
  readonly instance: string
}

export interface DataPathOptions extends Surroundings {
  readonly settings: Settings
  readonly self: () => Self
  readonly identity: IdentitySource & { readonly notAfter: number | undefined }
  /** Reasons beside a missing snapshot why this sidecar cannot serve. */
  readonly unready: () => readonly string[]
  /** Inbound without TLS: standalone mode without certificates only. */
  readonly dangerPlainText: boolean
}

/** Time that requests in flight get when the process closes, over both listeners. */
const DRAIN_MS = 10_000
const QUOTE_SWEEP_MS = 1000

export class DataPath {
  readonly tables: RouteTables
  readonly metrics: ProxyMetrics
  readonly #options: DataPathOptions
  #admin: Admin | undefined
  #outbound: Outbound | undefined
  #inbound: Inbound | undefined
  #draining = false
  #drainUntil: number | undefined
  #onDrain: () => void = () => undefined

  constructor(options: DataPathOptions) {
    const { clock, random, log, identity } = options
    const registry = createRegistry('proxy')
    this.#options = options
    this.#registry = registry
    this.tables = new RouteTables({
      clock,
      random,
      events: {
        ejected: (backend, endpoint, forMs) => {
          this.metrics.ejected(backend)
          log.warn({ backend, upstream: endpoint.instance, forMs }, 'endpoint ejected')
        },
        breakerOpened: (backend) => {
          this.metrics.breakerOpened(backend)
          log.warn({ backend }, 'breaker opened')
        },
      },
    })
    this.metrics = new ProxyMetrics({
      registry,
      clock,
      self: options.self,
      spiffeId: () => identity.current()?.spiffeId ?? '',
      certificateEnds: () => identity.notAfter,
      table: () => this.tables.current,
    })
  }

  readonly #registry: ReturnType<typeof createRegistry>

  get ports(): Record<string, number> {
    return {
      outbound: this.#outbound?.port ?? 0,
      ...(this.#inbound ? { inbound: this.#inbound.port } : {}),
      admin: this.#admin?.port ?? 0,
    }
  }

  get ready(): boolean {
    return this.#reasons().length === 0
  }

  /** Called once when a drain was asked for over the admin page. */
  onDrain(listener: () => void): void {
    this.#onDrain = listener
  }

  swap(snapshot: Snapshot): void {
    this.tables.swap(snapshot)
    this.metrics.snapshot('accepted')
    this.#options.log.info({ version: snapshot.version }, 'snapshot in force')
  }

  async start(life: Lifetime): Promise<void> {
    const { settings, clock, random, log } = this.#options
    const accessLog = await openAccessLog(settings.accessLog, clock, log)
    if (accessLog) life.own(accessLog)
    life.onClose(() => this.tables.close())
    this.#admin = life.own(await this.#startAdmin(settings.admin))
    const observer = this.#observer(accessLog)
    const quotes = new QuoteLedger(clock, random)
    const sweep = clock.every(QUOTE_SWEEP_MS, () => quotes.sweep())
    life.onClose(() => sweep.cancel())
    this.#outbound = await this.#startOutbound(observer, quotes)
    life.onClose(() => this.#closeListener(this.#outbound!))
    if (!settings.inbound || !settings.app) return
    this.#inbound = await this.#startInbound(settings.inbound, settings.app, observer)
    life.onClose(() => this.#closeListener(this.#inbound!))
  }

  #startAdmin({ host, port }: HostPort): Promise<Admin> {
    const { log } = this.#options
    return Admin.start({
      host,
      port,
      log,
      registry: this.#registry,
      table: () => this.tables.current,
      ready: () => ({
        ready: this.ready,
        reasons: this.#reasons(),
        snapshotVersion: this.tables.current?.snapshot.version ?? '',
      }),
      drain: () => this.#drain(),
    })
  }

  #startOutbound(observer: Observer, quotes: QuoteLedger): Promise<Outbound> {
    const { settings, identity, self, tracing, log, clock, random } = this.#options
    const table = () => this.tables.current
    const surface = localSurface({
      self: () => ({ ...self(), spiffeId: identity.current()?.spiffeId ?? '' }),
      table,
      quotes,
    })
    const ownPorts = () => Object.values(this.ports)
    const { host, port } = settings.outbound
    const parts = { host, port, table, identity, observer, tracing, log, clock, random, ownPorts }
    return startOutbound({ ...parts, localSurface: surface })
  }

  #startInbound(at: HostPort, app: HostPort, observer: Observer): Promise<Inbound> {
    const { identity, self, tracing, log, clock, random, dangerPlainText } = this.#options
    return startInbound({
      ...at,
      app,
      instance: self().instance,
      table: () => this.tables.current,
      authorizer: () => this.tables.current?.authorizer,
      identity,
      dangerPlainText,
      observer,
      tracing,
      log,
      clock,
      random,
    })
  }

  #observer(accessLog: LogTarget | undefined): Observer {
    const { metrics } = this
    if (!accessLog) return metrics
    return {
      done(exchange) {
        metrics.done(exchange)
        accessLog.log.done(exchange)
      },
      connection: (direction, change, reason) => metrics.connection(direction, change, reason),
      muxRefused: (direction, code) => metrics.muxRefused(direction, code),
    }
  }

  #reasons(): string[] {
    const reasons = [...this.#options.unready()]
    if (!this.tables.current) reasons.push('no snapshot yet')
    if (this.#draining) reasons.push('draining')
    return reasons
  }

  #drain(): void {
    if (this.#draining) return
    this.#draining = true
    this.#options.log.info({}, 'draining')
    this.#onDrain()
    this.#inbound?.drain().catch((error: unknown) => this.#options.log.error({ error }, 'drain failed'))
  }

  /** Finishes what is in flight within DRAIN_MS of the first call, then breaks it. */
  async #closeListener(listener: Outbound | Inbound): Promise<void> {
    const { clock } = this.#options
    this.#draining = true
    this.#drainUntil ??= clock.now() + DRAIN_MS
    const control = new AbortController()
    const limit = clock.sleep(Math.max(0, this.#drainUntil - clock.now()), control.signal).catch(() => undefined)
    await Promise.race([listener.drain(), limit])
    control.abort()
    await listener.close()
  }
}
