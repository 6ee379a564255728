// losing-proxy.ts — stands between a client and PostgreSQL's unix socket; once told, it lets the next commit of the job
// store pass and breaks the connection when the server has answered: the commit stands, and nobody hears of it.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface LosingProxy {
  /** `url` with this proxy in place of its socket directory. */
  url(url: string): string
  lose(): void
  close(): Promise<void>
}

const SOCKET = '.s.PGSQL.5432'
/** The name of the prepared statement stands in its Bind message. */
const COMMIT = Buffer.from('fairlead-apply')

export async function startLosingProxy(socketDir: string): Promise<LosingProxy> {
  const dir = mkdtempSync(join(tmpdir(), 'fl-lose-'))
  chmodSync(dir, 0o755)
  const sockets = new Set<Socket>()
  let armed = false
  const server = createServer((near) => {
    const far = connect(join(socketDir, SOCKET))
    let losing = false
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.on('data', (chunk: Buffer) => {
      if (armed && chunk.includes(COMMIT)) {
        armed = false
        losing = true
      }
      far.write(chunk)
    })
    far.on('data', (chunk: Buffer) => {
      if (losing) near.destroy()
      else near.write(chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(join(dir, SOCKET), resolve))
  return {
    url: (url) => url.replace(encodeURIComponent(socketDir), encodeURIComponent(dir)),
    lose() {
      armed = true
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
