// job-load-main.ts — `PORT PATH CONNECTIONS SECONDS JOBS-PER-REQUEST`, key and body on stdin as JSON: posts one body again
// and again over raw keep-alive sockets and prints how many jobs were accepted. Exits 1 on any answer that is not 202.

import { connect } from 'node:net'
import { text } from 'node:stream/consumers'

const [port, path, connections, seconds, jobsPerRequest] = process.argv.slice(2)
const { key, body } = JSON.parse(await text(process.stdin)) as { key: string; body: string }
const head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: ${key}\r\ncontent-type: application/json\r\n`
const request = Buffer.from(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
const end = performance.now() + Number(seconds) * 1000
let answers = 0

function drive(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1')
    let waiting = 0
    let seen = ''
    socket.setNoDelay(true)
    socket.once('error', reject)
    socket.once('connect', () => socket.write(request))
    socket.on('data', (chunk: Buffer) => {
      if (waiting > 0) waiting -= chunk.length
      else {
        seen += chunk.toString('latin1')
        const stop = seen.indexOf('\r\n\r\n')
        if (stop < 0) return
        if (!seen.startsWith('HTTP/1.1 202')) return reject(new Error(seen.slice(0, 500)))
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(seen)![1])
        waiting = length - (seen.length - stop - 4)
        seen = ''
      }
      if (waiting > 0) return
      waiting = 0
      answers++
      if (performance.now() < end) socket.write(request)
      else {
        socket.destroy()
        resolve()
      }
    })
  })
}

const start = performance.now()
await Promise.all(Array.from({ length: Number(connections) }, drive))
const ms = performance.now() - start
process.stdout.write(JSON.stringify({ jobs: answers * Number(jobsPerRequest), ms }))
