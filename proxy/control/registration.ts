// registration.ts — the sidecar's instance in the registry (Consul agent or the built-in one), by the `consul` package.
//
// A reconcile loop: each CHECK_REFRESH_MS, and at once when the app's health changes, it says what is so: registered,
// and passing or critical. A check that the registry does not know (restarted, wiped) means registering again. When the
// registry is away nothing changes here; its TTL decides what others see.
// Modes: registering → registered ⇄ registering; closing deregisters, once, and gives up after LEAVE_MS.

import {
  CHECK_REFRESH_MS,
  type ConsulService,
  checkIdOf,
  type Instance,
  registrationOf,
} from '../../control-plane/contract.ts'
import type { Clock, Timer } from '../../kernel/clock.ts'
import { asFairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { AppState } from './app-health.ts'
import { ConsulAgent } from './consul-agent.ts'

export interface RegistrationOptions {
  readonly clock: Clock
  readonly log: Log
  readonly consul: URL
  readonly instance: Omit<Instance, 'passing'>
  readonly appPort: number
  readonly appState: () => AppState
}

const LEAVE_MS = 3000

export class Registration implements Closable {
  readonly #options: RegistrationOptions
  readonly #agent: ConsulAgent
  readonly #services: readonly ConsulService[]
  #registered = false
  #lastError = ''
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #again = false
  #closed = false

  constructor(options: RegistrationOptions) {
    const { consul, instance, appPort } = options
    this.#options = options
    this.#services = registrationOf(instance, appPort)
    this.#agent = new ConsulAgent(consul)
  }

  get registered(): boolean {
    return this.#registered
  }

  start(): void {
    this.wake()
    this.#timer = this.#options.clock.every(CHECK_REFRESH_MS, () => this.wake())
  }

  /** Something changed; looks now, or again when it is looking already. */
  wake(): void {
    if (this.#closed) return
    if (this.#running) {
      this.#again = true
      return
    }
    this.#running = this.#reconcile().finally(() => {
      this.#running = undefined
      if (this.#again) {
        this.#again = false
        this.wake()
      }
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    const { clock } = this.#options
    await Promise.race([this.#leave(), clock.sleep(LEAVE_MS)])
    this.#agent.close()
  }

  async #reconcile(): Promise<void> {
    const { log } = this.#options
    try {
      if (!this.#registered) await this.#register()
      await this.#report().catch(async (error: unknown) => {
        if (!isUnknownCheck(error)) throw error
        this.#registered = false
        log.info({}, 'the registry does not know our check; registering again')
        await this.#register()
        await this.#report()
      })
      if (this.#lastError !== '') log.info({}, 'registry answers again')
      this.#lastError = ''
    } catch (error) {
      this.#told(error)
    }
  }

  async #register(): Promise<void> {
    for (const service of this.#services) await this.#agent.register(service)
    this.#registered = true
    this.#options.log.info({ instance: this.#options.instance }, 'registered')
  }

  async #report(): Promise<void> {
    const id = checkIdOf(this.#options.instance.instance)
    const state = this.#options.appState()
    if (state === 'passing') await this.#agent.pass(id, 'app is ready')
    else await this.#agent.fail(id, `app is ${state}`)
  }

  async #leave(): Promise<void> {
    await this.#running
    if (!this.#registered) return
    try {
      for (const { ID } of [...this.#services].reverse()) await this.#agent.deregister(ID)
      this.#registered = false
      this.#options.log.info({}, 'deregistered')
    } catch (error) {
      this.#told(error)
    }
  }

  /** Once per kind of failure, not each three seconds. */
  #told(error: unknown): void {
    const { message } = asFairleadError(error, 'REGISTRY_UNREACHABLE')
    if (message === this.#lastError) return
    this.#lastError = message
    this.#options.log.warn({ error, consul: this.#options.consul.href }, 'registry does not answer')
  }
}

interface Answered {
  readonly statusCode: number
  readonly response: { readonly body?: unknown }
}

/** Consul answers 404 (newer) or 500 with these words (older). */
function isUnknownCheck(error: unknown): boolean {
  if (!(error instanceof Error) || !('response' in error)) return false
  const { statusCode, response } = error as Error & Answered
  const words = `${error.message} ${String(response.body ?? '')}`
  return statusCode === 404 || /unknown check|does not have associated TTL/i.test(words)
}
