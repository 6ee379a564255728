// processes.ts — child processes of a bench: started, waited for, their CPU time read, ended by id.

import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface Running {
  readonly pid: number
  readonly child: ChildProcess
  /** stdout and stderr so far, at most 64 KiB. */
  readonly output: () => string
  stop(): Promise<void>
}

const OUTPUT_CHARS_MAX = 64 * 1024

export function start(command: string, args: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  let text = ''
  const collect = (chunk: Buffer): void => {
    if (text.length < OUTPUT_CHARS_MAX) text += chunk.toString()
  }
  child.stdout?.on('data', collect)
  child.stderr?.on('data', collect)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.once('error', (error) => collect(Buffer.from(String(error))))
  return {
    pid: child.pid ?? 0,
    child,
    output: () => text,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      const hard = setTimeout(() => child.kill('SIGKILL'), 5_000)
      await ended
      clearTimeout(hard)
    },
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}

export async function waitForPort(port: number, running: Running): Promise<void> {
  const end = performance.now() + 10_000
  while (performance.now() < end) {
    if (running.child.exitCode !== null) break
    const open = await new Promise<boolean>((resolve) => {
      const socket = createConnection({ host: '127.0.0.1', port })
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (open) return
    await delay(50)
  }
  throw new Error(`nothing listens on ${port}: ${running.output().slice(-2_000)}`)
}

const TICKS_PER_SECOND = 100

/** CPU µs of a process and its children (a master and its workers), user and system. */
export function cpuMicros(pid: number): number {
  const own = ticksOf(pid)
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  const below = children === '' ? 0 : children.split(' ').reduce((sum, child) => sum + ticksOf(Number(child)), 0)
  return ((own + below) * 1_000_000) / TICKS_PER_SECOND
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}
