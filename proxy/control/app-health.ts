// app-health.ts — is the own app ready? Asked each second; the registry check and the report to peers hang on it.
//
// 2xx = passing, 503 = draining (the app says so itself), everything else or no answer = failing. Polls never overlap.
// Without a health path the app counts as passing while its port accepts connections.

import { connect } from 'node:net'
import { Client } from 'undici'
import type { Clock, Timer } from '../../kernel/clock.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'

export type AppState = 'unknown' | 'passing' | 'draining' | 'failing'

export const POLL_MS = 1000
const ANSWER_MS = 1000

export interface AppHealthOptions {
  readonly clock: Clock
  readonly log: Log
  readonly host: string
  readonly port: number
  /** '' = only whether the port accepts. */
  readonly path: string
  readonly onChange: (state: AppState) => void
}

export class AppHealth implements Closable {
  readonly #options: AppHealthOptions
  readonly #client: Client
  #state: AppState = 'unknown'
  #timer: Timer | undefined
  #asking: Promise<void> | undefined

  constructor(options: AppHealthOptions) {
    this.#options = options
    const host = options.host.includes(':') ? `[${options.host}]` : options.host
    this.#client = new Client(`http://${host}:${options.port}`, {
      allowH2: false,
      headersTimeout: ANSWER_MS,
      bodyTimeout: ANSWER_MS,
      connectTimeout: ANSWER_MS,
      maxHeaderSize: 16 * 1024,
    })
  }

  get state(): AppState {
    return this.#state
  }

  start(): void {
    this.#poll()
    this.#timer = this.#options.clock.every(POLL_MS, () => this.#poll())
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    await this.#client.destroy()
  }

  #poll(): void {
    this.#asking ??= this.#ask().then((state) => {
      this.#asking = undefined
      this.#note(state)
    })
  }

  #note(state: AppState): void {
    if (state === this.#state) return
    this.#options.log.info({ from: this.#state, to: state }, 'app health changed')
    this.#state = state
    this.#options.onChange(state)
  }

  async #ask(): Promise<AppState> {
    const { path, host, port, clock } = this.#options
    if (path === '') return (await accepts(host, port, clock)) ? 'passing' : 'failing'
    try {
      const { statusCode, body } = await this.#client.request({ method: 'GET', path })
      await body.dump({ limit: 64 * 1024 })
      if (statusCode >= 200 && statusCode < 300) return 'passing'
      return statusCode === 503 ? 'draining' : 'failing'
    } catch {
      return 'failing' // no answer is an answer: the change of state is what is logged
    }
  }
}

function accepts(host: string, port: number, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const end = (open: boolean): void => {
      timer.cancel()
      socket.destroy()
      resolve(open)
    }
    const timer = clock.after(ANSWER_MS, () => end(false), true)
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
  })
}
