// consul.ts — a real Consul agent for conformance tests, when there is one: FAIRLEAD_CONSUL or `consul` in PATH.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './until.ts'

export interface RealConsul {
  readonly url: string
  close(): Promise<void>
}

/** Path of the binary, or undefined with the reason why the suite is skipped. */
export function findConsul(): { path: string } | { reason: string } {
  const path = process.env['FAIRLEAD_CONSUL'] ?? 'consul'
  try {
    execFileSync(path, ['version'], { stdio: 'pipe' })
    return { path }
  } catch {
    return { reason: `no consul binary (${process.env['FAIRLEAD_CONSUL'] ? 'FAIRLEAD_CONSUL' : 'PATH'})` }
  }
}

export async function startConsul(path: string): Promise<RealConsul> {
  const [http, server, lan, wan] = await freePorts(4)
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-consul-'))
  const ports = ['-http-port', http, '-server-port', server, '-serf-lan-port', lan, '-serf-wan-port', wan]
  const flags = ['-dev', '-bind', '127.0.0.1', '-grpc-port', -1, '-dns-port', -1, '-log-level', 'err', ...ports]
  const child = spawn(path, ['agent', ...flags.map(String)], { stdio: 'ignore', cwd: directory })
  const url = `http://127.0.0.1:${http}`
  const close = async (): Promise<void> => {
    await killed(child)
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    // A leader is not enough: the agent writes its own service first, and until then indexes move by themselves.
    await until(async () => {
      const answer = await fetch(`${url}/v1/catalog/service/consul`)
      return answer.ok && ((await answer.json()) as unknown[]).length === 1
    }, 20_000)
  } catch (error) {
    await close()
    throw error
  }
  return { url, close }
}

function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
