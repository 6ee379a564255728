// processes.ts — real Fairlead processes for tests: started by path, awaited by their ready line, ended by their pid.

import { type ChildProcess, spawn } from 'node:child_process'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { type Later, until } from '../support/fairlead.ts'

const ROOT = resolve(import.meta.dirname, '../..')

export interface Running {
  readonly child: ChildProcess
  readonly ports: Readonly<Record<string, number>>
  output(): string
  readonly exited: Promise<number | null>
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** Spawned, not yet ready. */
export function spawnScript(script: string, args: readonly string[], later: Later): Omit<Running, 'ports'> {
  let text = ''
  const child = spawn(process.execPath, [join(ROOT, script), ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: '' },
  })
  child.stdout!.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr!.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const exited = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    if (!hasEnded(child)) child.kill(signal)
    return exited
  }
  later(async () => {
    await stop('SIGKILL')
  })
  return { child, output: () => text, exited, stop }
}

export async function startScript(script: string, args: readonly string[], later: Later): Promise<Running> {
  const process = spawnScript(script, args, later)
  const looked = await until(
    `${script} is ready`,
    () => readyPorts(process.output()) ?? (hasEnded(process.child) ? 'ended' : undefined),
    15_000,
  )
  if (looked === 'ended') throw new Error(`${script} ended with ${await process.exited}: ${process.output()}`)
  return { ...process, ports: looked }
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

function readyPorts(text: string): Record<string, number> | undefined {
  const line = text.split('\n').find((candidate) => candidate.includes('"message":"ready"'))
  return line === undefined ? undefined : (JSON.parse(line) as { ports: Record<string, number> }).ports
}

export interface App {
  readonly port: number
  /** Connections that it ever accepted. */
  readonly accepted: () => number
  /** Answers /readyz with it. */
  ready: number
  readonly server: Server
}

export async function startApp(
  name: string,
  later: Later,
  onRequest?: (request: IncomingMessage) => void,
): Promise<App> {
  let accepted = 0
  const server = createServer((request, response) => {
    if (request.url === '/readyz') return void response.writeHead(app.ready).end()
    onRequest?.(request)
    let bytes = 0
    request.on('data', (chunk: Buffer) => (bytes += chunk.length))
    request.on('end', () => response.end(`${name} ${request.method} ${request.url} ${bytes}`))
  })
  server.on('connection', () => accepted++)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()))
  later(() => void server.close(() => undefined))
  const app: App = { port: (server.address() as AddressInfo).port, accepted: () => accepted, ready: 200, server }
  return app
}
