// client.ts — the near end of a store thread: calls with answers, and what happens when the thread dies.
//
// A thread that ends by itself fails every open call with STORE_UNAVAILABLE (outcome unknown) and reports once to
// `onDeath`; it is never restarted here, since what it left behind must be read from rows first.

import { Worker } from 'node:worker_threads'
import { FairleadError } from '../../../kernel/errors.ts'
import type { Closable } from '../../../kernel/lifetime.ts'
import type { Answer, Failure, ThreadData } from './wire.ts'

interface Waiting {
  resolve(value: unknown): void
  reject(error: FairleadError): void
}

export interface ThreadClient extends Closable {
  call<T>(op: string, ...args: readonly unknown[]): Promise<T>
  /** Ends the thread as a crash would; for tests. */
  kill(): Promise<void>
}

export async function startThread(data: ThreadData, onDeath: (error: FairleadError) => void): Promise<ThreadClient> {
  const worker = new Worker(new URL('./thread.ts', import.meta.url), { workerData: data, stdout: false })
  const client = new Client(worker, onDeath)
  await client.opened()
  return client
}

class Client implements ThreadClient {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #onDeath: (error: FairleadError) => void
  readonly #exited: Promise<void>
  #nextId = 1
  #open = false
  #gone: FairleadError | undefined
  #closing: Promise<void> | undefined

  constructor(worker: Worker, onDeath: (error: FairleadError) => void) {
    this.#worker = worker
    this.#onDeath = onDeath
    worker.on('message', (answer: Answer) => this.#settle(answer))
    worker.on('error', (cause) => this.#die(cause))
    this.#exited = new Promise((resolve) => {
      worker.once('exit', () => {
        this.#die(undefined)
        resolve()
      })
    })
  }

  opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      const opened = (): void => {
        this.#open = true
        resolve()
      }
      this.#waiting.set(0, { resolve: opened, reject })
    })
  }

  call<T>(op: string, ...args: readonly unknown[]): Promise<T> {
    if (this.#gone) return Promise.reject(this.#gone)
    if (this.#closing && op !== 'close') {
      return Promise.reject(new FairleadError('STORE_UNAVAILABLE', 'The job store is closing.'))
    }
    return new Promise<T>((resolve, reject) => {
      const id = this.#nextId++
      this.#waiting.set(id, { resolve: (value) => resolve(value as T), reject })
      this.#worker.postMessage({ id, op, args })
    })
  }

  async kill(): Promise<void> {
    await this.#worker.terminate()
    await this.#exited
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#gone) return
    const closed = this.call('close')
    await closed
    await this.#exited
  }

  #settle(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (answer.failure) waiting?.reject(failed(answer.failure))
    else waiting?.resolve(answer.value)
  }

  #die(cause: unknown): void {
    if (this.#gone) return
    this.#gone = new FairleadError('STORE_UNAVAILABLE', 'A thread of the job store ended.', {
      cause,
      log: { unknown: true },
    })
    for (const waiting of this.#waiting.values()) waiting.reject(this.#gone)
    this.#waiting.clear()
    if (this.#open && !this.#closing) this.#onDeath(this.#gone)
  }
}

function failed(failure: Failure): FairleadError {
  return new FairleadError(failure.code, clientMessage(failure), {
    log: { message: failure.message, unknown: failure.unknown },
  })
}

/** Engine texts stay in the log; our own refusals are for the user. */
function clientMessage(failure: Failure): string {
  return failure.code === 'STORE_UNAVAILABLE' ? 'The job store could not do that.' : failure.message
}
