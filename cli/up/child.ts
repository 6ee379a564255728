// child.ts — one start of one process: spawned by path, its output in a file, its ready line awaited.
//
// Own process group, so that Ctrl-C in the terminal reaches only the supervisor, which then stops things in order. An
// IPC channel and nothing on it: its end tells the child that the supervisor died (kernel/process.ts). Output goes
// straight to the file, not through us: a busy child does not wait for us, and our death costs it no line.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import type { Clock } from '../../kernel/clock.ts'

export interface Launch {
  readonly script: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly logFile: string
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Child {
  readonly pid: number
  /** Ports of its ready line; null when it ended before. */
  readonly ready: Promise<Readonly<Record<string, number>> | null>
  readonly exited: Promise<Exit>
  /** SIGKILL goes to its whole group. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): void
}

const READY_POLL_MS = 25
/** Windows has no process groups to send a signal to. */
export const OWN_GROUP = process.platform !== 'win32'

export function startChild(launch: Launch, clock: Clock): Child {
  const from = existsSync(launch.logFile) ? statSync(launch.logFile).size : 0
  const log = openSync(launch.logFile, 'a', 0o600)
  const child = spawn(process.execPath, [launch.script, ...launch.args], {
    stdio: ['ignore', log, log, 'ipc'],
    env: { ...launch.env },
    detached: OWN_GROUP,
  })
  closeSync(log)
  let gone = false
  const exited = new Promise<Exit>((resolve) => {
    const end = (exit: Exit): void => {
      gone = true
      resolve(exit)
    }
    child.once('error', () => end({ code: 127, signal: null }))
    child.once('exit', (code, signal) => end({ code, signal }))
  })
  child.on('error', () => undefined) // a later failed kill or send; the exit event says what matters
  return {
    pid: child.pid ?? 0,
    ready: readyLine(launch.logFile, from, clock, () => gone),
    exited,
    kill: (signal) => {
      if (!gone) killChild(child, signal)
    },
  }
}

function killChild(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (signal === 'SIGTERM' || !OWN_GROUP || child.pid === undefined) {
    child.kill(signal)
    return
  }
  try {
    process.kill(-child.pid, signal)
  } catch {
    child.kill(signal) // the group is gone or not ours: at least its leader
  }
}

async function readyLine(
  file: string,
  from: number,
  clock: Clock,
  gone: () => boolean,
): Promise<Readonly<Record<string, number>> | null> {
  const tail = openTail(file, from)
  for (;;) {
    const last = gone()
    for (const line of tail()) {
      const ports = parseReady(line)
      if (ports) return ports
    }
    if (last) return null
    await clock.sleep(READY_POLL_MS)
  }
}

/** Each call gives the whole lines that were appended since the last one. */
function openTail(file: string, from: number): () => string[] {
  const buffer = Buffer.alloc(64 * 1024)
  let at = from
  let rest = ''
  return () => {
    const fd = openSync(file, 'r')
    try {
      for (;;) {
        const read = readSync(fd, buffer, 0, buffer.length, at)
        if (read === 0) break
        at += read
        rest += buffer.toString('latin1', 0, read)
      }
    } finally {
      closeSync(fd)
    }
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    return lines
  }
}

/** `{"message":"ready","ports":{…}}` → its ports; undefined for every other line. */
export function parseReady(line: string): Readonly<Record<string, number>> | undefined {
  if (!line.includes('"ready"') || !line.startsWith('{')) return undefined
  try {
    const entry = JSON.parse(line) as { message?: unknown; ports?: unknown }
    if (entry.message !== 'ready' || typeof entry.ports !== 'object' || entry.ports === null) return undefined
    const ports = Object.entries(entry.ports).filter((pair): pair is [string, number] => Number.isInteger(pair[1]))
    return Object.fromEntries(ports)
  } catch {
    return undefined // not a log line of ours
  }
}

/** The last thing of weight that the process wrote: for the message about why it does not start. */
export function lastComplaint(logFile: string): string {
  const lines = readFileSync(logFile, 'utf8')
    .slice(-32 * 1024)
    .trim()
    .split('\n')
  const bad =
    lines.findLast((line) => /"level":"(?:fatal|error)"|^\w*Error\b|EADDRINUSE/.test(line)) ?? lines.at(-1) ?? ''
  try {
    const { message, error } = JSON.parse(bad) as { message?: string; error?: { message?: string } }
    return [message, error?.message].filter(Boolean).join(': ')
  } catch {
    return bad.slice(0, 300)
  }
}
