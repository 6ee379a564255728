// consul-agent.ts — the few calls to a Consul agent that a sidecar makes, by the `consul` package.
//
// `register` goes through the package's own transport one layer lower: its service.register drops `Kind`, without
// which Consul does not know a service as a connect proxy. Types of the package leave out `timeout`; it reads it.

import Consul from 'consul'
import type { ConsulService } from '../../control-plane/contract.ts'

const CALL_MS = 3000

interface Transport {
  _put(request: TransportRequest, answer: (request: { err?: Error }, next: Next) => void): Promise<void>
}
type Next = (again: boolean, error?: Error) => void
interface TransportRequest {
  readonly name: string
  readonly path: string
  readonly type: 'json'
  readonly timeout: number
  readonly body: unknown
}

export class ConsulAgent {
  readonly #consul: Consul

  constructor(url: URL) {
    const secure = url.protocol === 'https:'
    this.#consul = new Consul({
      host: url.hostname,
      port: Number(url.port || (secure ? 443 : 80)),
      secure,
    })
  }

  async register(service: ConsulService): Promise<void> {
    const request: TransportRequest = {
      name: 'agent.service.register',
      path: '/agent/service/register',
      type: 'json',
      timeout: CALL_MS,
      body: service,
    }
    const transport = this.#consul as unknown as Transport
    await transport._put(request, ({ err }, next) => next(false, err))
  }

  async pass(id: string, note: string): Promise<void> {
    const call = { id, note, timeout: CALL_MS }
    await this.#consul.agent.check.pass(call)
  }

  async fail(id: string, note: string): Promise<void> {
    const call = { id, note, timeout: CALL_MS }
    await this.#consul.agent.check.fail(call)
  }

  async deregister(id: string): Promise<void> {
    const call = { id, timeout: CALL_MS }
    await this.#consul.agent.service.deregister(call)
  }

  close(): void {
    this.#consul.destroy()
  }
}
