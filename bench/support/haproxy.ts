// haproxy.ts — HAProxy as a peer: one thread, pooled upstream connections, TLS 1.3, access log.

import { spawn } from 'node:child_process'
import { existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { type MeshFiles, TLS_NAME } from './mesh-files.ts'
import { freePort, waitForPort } from './processes.ts'
import type { Scene, Side } from './sides.ts'

const HAPROXY = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find((path) => existsSync(path))
export const hasHaproxy = HAPROXY !== undefined

export async function haproxySide(files: MeshFiles, scene: Scene): Promise<Side> {
  const front = await freePort()
  const tlsOut = `ssl crt ${files.caller.both} ca-file ${files.bundle} verify required verifyhost ${TLS_NAME} sni str(${TLS_NAME}) ssl-min-ver TLSv1.3`
  const tlsIn = `ssl crt ${files.app.both} ca-file ${files.bundle} verify required ssl-min-ver TLSv1.3`
  if (scene.hops === 'one') {
    return side([await run(files, front, '', `127.0.0.1:${scene.tlsUpstream} ${tlsOut}`)], front)
  }
  const middle = await freePort()
  const second = await run(files, middle, tlsIn, `127.0.0.1:${scene.plainUpstream}`)
  const first = await run(files, front, '', `127.0.0.1:${middle} ${tlsOut}`)
  return side([first, second], front)
}

function side(running: { pid: number; stop: () => Promise<void> }[], port: number): Side {
  return {
    name: 'haproxy',
    port,
    pids: running.map(({ pid }) => pid),
    async stop() {
      for (const one of running) await one.stop()
    },
  }
}

async function run(files: MeshFiles, port: number, bind: string, server: string) {
  const config = files.file(
    `haproxy-${port}.cfg`,
    `
global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option http-keep-alive
  http-reuse always
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
frontend in
  bind 127.0.0.1:${port} ${bind}
  unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
  default_backend next
backend next
  retries 2
  server s1 ${server} pool-max-conn 512
`,
  )
  const log = openSync(join(files.dir, `haproxy-${port}.log`), 'a')
  const child = spawn(HAPROXY!, ['-db', '-f', config], { stdio: ['ignore', log, log] })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  await waitForPort(port, { pid: child.pid ?? 0, child, output: () => '', stop })
  return { pid: child.pid ?? 0, stop }
}
