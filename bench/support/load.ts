// load.ts — keep-alive load on one URL: `wrk` when it is installed, else a small generator of our own in a child process.
//
// Both send the same GET; the figure that counts is the proxies' CPU per request, so the generator only has to be steady.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const WRK = ['/usr/bin/wrk', '/usr/local/bin/wrk'].find((path) => existsSync(path))

export interface Load {
  readonly port: number
  readonly host: string
  readonly connections: number
  readonly seconds: number
}

/** Requests answered. @throws when one of them was not answered 200. */
export async function load({ port, host, connections, seconds }: Load): Promise<number> {
  if (WRK === undefined) return ownLoad({ port, host, connections, seconds })
  const url = `http://127.0.0.1:${port}/bench`
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '-H', `Host: ${host}`, url]
  const { stdout } = await run(WRK, args)
  const count = /(\d+) requests in/.exec(stdout)?.[1]
  if (/Non-2xx|Socket errors/.test(stdout) || count === undefined || count === '0') {
    throw new Error(`load on port ${port} failed: ${stdout}`)
  }
  return Number(count)
}

async function ownLoad({ port, host, connections, seconds }: Load): Promise<number> {
  const script = join(import.meta.dirname, 'own-load.ts')
  const { stdout } = await run(process.execPath, [script, String(port), host, String(connections), String(seconds)])
  return Number(stdout)
}
