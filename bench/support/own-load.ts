// own-load.ts — the generator of our own: `node own-load.ts PORT HOST CONNECTIONS SECONDS` prints the requests answered.

import { createConnection, type Socket } from 'node:net'

const [port, host, connections, seconds] = process.argv.slice(2)
const request = `GET /bench HTTP/1.1\r\nHost: ${host}\r\n\r\n`
const end = performance.now() + Number(seconds) * 1000
const sockets: Socket[] = []
let answered = 0

function open(): void {
  const socket = createConnection({ host: '127.0.0.1', port: Number(port), noDelay: true })
  sockets.push(socket)
  let text = ''
  socket.on('connect', () => socket.write(request))
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    const headEnd = text.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN)
    if (!text.startsWith('HTTP/1.1 200') || Number.isNaN(length)) fail(text)
    if (text.length < headEnd + 4 + length) return
    text = ''
    answered++
    if (performance.now() < end) socket.write(request)
    else finish()
  })
  socket.on('error', (error) => fail(error.message))
}

function finish(): void {
  for (const socket of sockets) socket.destroy()
  process.stdout.write(String(answered))
}

function fail(why: string): never {
  process.stderr.write(`bad answer: ${why.slice(0, 500)}\n`)
  process.exit(1)
}

for (let i = 0; i < Number(connections); i++) open()
