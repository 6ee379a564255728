// port-holder.ts — which process listens on a TCP port of this machine? Linux only (/proc); elsewhere nobody knows.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const LISTEN = '0A'
const COMMAND_LENGTH_MAX = 60

/** `node server.js (process 4711)`, or undefined when it cannot be told (other system, other user's process). */
export function portHolder(port: number, proc = '/proc'): string | undefined {
  const inodes = new Set(['tcp', 'tcp6'].flatMap((table) => listeningInodes(readText(`${proc}/net/${table}`), port)))
  if (inodes.size === 0) return undefined
  for (const pid of pids(proc)) {
    if (!holdsOneOf(`${proc}/${pid}/fd`, inodes)) continue
    const command = readText(`${proc}/${pid}/cmdline`).split('\0').filter(Boolean).join(' ')
    return `${command.slice(0, COMMAND_LENGTH_MAX) || 'a process'} (process ${pid})`
  }
  return undefined
}

/** Socket inodes of the table's listeners on `port`. Columns: sl local rem st queues tr retrnsmt uid timeout inode. */
export function listeningInodes(table: string, port: number): string[] {
  return table.split('\n').flatMap((line) => {
    const columns = line.trim().split(/\s+/)
    const local = columns[1]?.split(':')[1]
    const fits = columns[3] === LISTEN && local !== undefined && Number.parseInt(local, 16) === port
    return fits && columns[9] !== undefined ? [columns[9]] : []
  })
}

function holdsOneOf(fdFolder: string, inodes: ReadonlySet<string>): boolean {
  return list(fdFolder).some((fd) => {
    const target = /^socket:\[(\d+)\]$/.exec(link(`${fdFolder}/${fd}`))
    return target !== null && inodes.has(target[1]!)
  })
}

const pids = (proc: string): string[] => list(proc).filter((name) => /^\d+$/.test(name))

/** Processes come and go while we look, and those of other users are closed to us: both read as nothing. */
function quietly<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}
const readText = (file: string): string => quietly(() => readFileSync(file, 'utf8'), '')
const list = (folder: string): string[] => quietly(() => readdirSync(folder), [])
const link = (file: string): string => quietly(() => readlinkSync(file), '')
