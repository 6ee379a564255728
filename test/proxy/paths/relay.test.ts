// Bodies both ways: framing, backpressure, early answers, clients that leave.

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createConnection, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { backendOf, listen, outbound, rawApp, rawExchange, snapshotOf, tablesOf, twoHops } from './setup.ts'

async function httpApp(handle: (req: IncomingMessage, res: ServerResponse) => void): Promise<{ port: number }> {
  const server = createServer(handle)
  const port = await listen(server)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port }
}

const plain = (app: { port: number }) =>
  outbound(tablesOf(snapshotOf({ backends: [backendOf('app', [{ instance: 'app-1', port: app.port }])] })))

const send = (line: string, more = '', body = ''): string =>
  `${line} HTTP/1.1\r\nHost: app.mesh\r\n${more}Connection: close\r\n\r\n${body}`

function client(port: number): { socket: Socket; text: () => string; closed: Promise<void> } {
  const socket = createConnection({ port })
  onTestFinished(() => void socket.destroy())
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  return { socket, text: () => text, closed }
}

test.each([
  ['GET', 204, ''],
  ['GET', 304, ''],
  ['HEAD', 200, 'content-length: 7\r\n'],
  ['GET', 200, 'content-length: 7\r\n'],
])('relay: %s with %i has the framing of its kind', async (method, status, framing) => {
  const app = await httpApp((_req, res) => {
    if (status === 200) res.setHeader('content-length', '7')
    res.statusCode = status
    res.end(status === 200 ? 'seven b' : undefined)
  })
  const { outbound: out } = await twoHops(app)
  const answer = await rawExchange(out.port, send(`${method} /`))
  const [head, body] = answer.split('\r\n\r\n') as [string, string]
  expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  expect(`${head}\r\n`).toContain(framing)
  expect(`${head}\r\n`.includes('content-length')).toBe(framing !== '')
  expect(head).not.toContain('transfer-encoding')
  expect(body).toBe(method === 'GET' && status === 200 ? 'seven b' : '')
})

test('relay: the connection goes on after HEAD, 204 and 304', async () => {
  const app = await httpApp((req, res) => {
    res.statusCode = Number(req.url!.slice(1))
    res.setHeader('x-url', req.url!)
    res.end(res.statusCode === 200 ? 'x' : undefined)
  })
  const { outbound: out } = await twoHops(app)
  const one = (line: string, close = false): string =>
    `${line} HTTP/1.1\r\nHost: app.mesh\r\n${close ? 'Connection: close\r\n' : ''}\r\n`
  const all = one('HEAD /200') + one('GET /204') + one('GET /304') + one('GET /200', true)
  const answer = await rawExchange(out.port, all)
  expect(answer.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 204', 'HTTP/1.1 304', 'HTTP/1.1 200'])
  expect(answer.endsWith('\r\n\r\nx')).toBe(true)
})

test('relay: pipelined requests are answered in order', async () => {
  const app = await httpApp((req, res) => {
    // The first answers last.
    const wait = req.url === '/0' ? 3 : 0
    let turns = 0
    const finish = (): void => {
      if (turns++ < wait) setImmediate(finish)
      else res.end(req.url)
    }
    finish()
  })
  const out = await plain(app)
  const requests = Array.from({ length: 50 }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: app.mesh\r\n\r\n`).join('')
  const answer = await rawExchange(out.port, requests + send('GET /last'))
  const bodies = [...answer.matchAll(/\r\n\r\n(?:[0-9a-f]+\r\n)?(\/[a-z0-9]+)/g)].map(([, body]) => body)
  expect(bodies).toEqual([...Array.from({ length: 50 }, (_, n) => `/${n}`), '/last'])
})

test('relay: a chunked request body arrives chunked, without its extensions and trailers', async () => {
  const app = await rawApp((socket, got) => {
    if (got.endsWith('0\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  })
  const out = await plain(app)
  const body = '5;a=b\r\nhello\r\n3\r\n, w\r\n0\r\nX-Trailer: 1\r\nHost: evil\r\n\r\n'
  await rawExchange(out.port, send('POST /', 'Transfer-Encoding: chunked\r\n', body))
  expect(app.received).toContain('transfer-encoding: chunked\r\n')
  expect(app.received.split('\r\n\r\n').slice(1).join('\r\n\r\n')).toBe('5\r\nhello\r\n3\r\n, w\r\n0\r\n\r\n')
})

test('relay: an answer until close reaches an HTTP/1.1 client chunked and an HTTP/1.0 client until close', async () => {
  const app = await rawApp((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'))
  const out = await plain(app)
  const modern = await rawExchange(out.port, send('GET /'))
  expect(modern).toContain('transfer-encoding: chunked\r\n')
  expect(modern.endsWith('9\r\nall of it\r\n0\r\n\r\n')).toBe(true)
  const old = await rawExchange(out.port, 'GET / HTTP/1.0\r\nHost: app.mesh\r\n\r\n')
  expect(old).not.toContain('transfer-encoding')
  expect(old.endsWith('\r\n\r\nall of it')).toBe(true)
})

test('relay: `Expect: 100-continue` is answered, and not passed on', async () => {
  const app = await rawApp((socket, got) => {
    if (got.endsWith('hello')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  })
  const out = await plain(app)
  const { socket, text, closed } = client(out.port)
  socket.write(send('POST /', 'Content-Length: 5\r\nExpect: 100-continue\r\n'))
  await expect.poll(text).toBe('HTTP/1.1 100 Continue\r\n\r\n')
  socket.write('hello')
  await closed
  expect(text()).toMatch(/ok$/)
  expect(app.received).not.toContain('expect')
})

test('relay: interim answers of the app are skipped, up to eight', async () => {
  const app = await rawApp((socket, got) => {
    const many = got.includes('GET /many')
    socket.write(
      `${'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n'.repeat(many ? 9 : 8)}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`,
    )
  })
  const out = await plain(app)
  expect(await rawExchange(out.port, send('GET /few'))).toMatch(/^HTTP\/1\.1 200 /)
  expect(await rawExchange(out.port, send('GET /many'))).toContain('fairlead-error: UPSTREAM_PROTOCOL\r\n')
})

test('relay: an early answer reaches the client while its body is still coming, and the connection closes', async () => {
  const app = await rawApp((socket) => socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!'))
  const out = await plain(app)
  const { socket, text, closed } = client(out.port)
  socket.write('POST / HTTP/1.1\r\nHost: app.mesh\r\nContent-Length: 100000000\r\n\r\nsome')
  await expect.poll(text).toMatch(/^HTTP\/1\.1 413 [\s\S]*no!$/)
  socket.on('drain', () => socket.write(Buffer.alloc(1 << 20)))
  socket.write(Buffer.alloc(1 << 20))
  await closed
})

test('relay: 502 when the app does not speak HTTP, and its connection is not used again', async () => {
  const app = await rawApp((socket) => socket.write('220 smtp.example.com ESMTP\r\n'))
  const out = await plain(app)
  const answer = await rawExchange(out.port, send('GET /'))
  expect(answer).toMatch(/^HTTP\/1\.1 502 /)
  expect(out.recorder.exchanges).toMatchObject([{ flag: 'UPE', error: 'UPSTREAM_PROTOCOL' }])
  await expect.poll(() => app.sockets[0]!.destroyed).toBe(true)
})

test('relay: a connection on which the app said more than its answer is not used again', async () => {
  const app = await rawApp((socket) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'),
  )
  const out = await plain(app)
  for (let i = 0; i < 3; i++) {
    const answer = await rawExchange(out.port, send('GET /'))
    expect(answer.endsWith('\r\n\r\nok')).toBe(true)
  }
  expect(app.accepted).toBe(3)
})

test('relay: a body that breaks off breaks the connection to the client', async () => {
  for (const framing of ['Content-Length: 100', 'Transfer-Encoding: chunked']) {
    const app = await rawApp((socket) => socket.end(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n5\r\nhello\r\n`))
    const out = await plain(app)
    const answer = await rawExchange(out.port, 'GET / HTTP/1.1\r\nHost: app.mesh\r\n\r\n')
    expect(answer.endsWith('0\r\n\r\n')).toBe(false)
    await expect
      .poll(() => out.recorder.exchanges)
      .toMatchObject([{ status: 200, flag: 'UC', error: 'UPSTREAM_RESET' }])
  }
})

test('relay: a client that leaves cancels the request at the app, over both hops', async () => {
  let left = 0
  let arrived = 0
  const app = await httpApp((_req, res) => {
    arrived++
    res.on('close', () => left++)
  })
  const { outbound: out, inbound } = await twoHops(app)
  const { socket } = client(out.port)
  socket.write(send('GET /'))
  await expect.poll(() => arrived).toBe(1)
  socket.destroy()
  await expect.poll(() => left).toBe(1)
  expect(out.recorder.exchanges).toMatchObject([{ status: 0, flag: 'DC' }])
  await expect.poll(() => inbound.recorder.exchanges).toMatchObject([{ flag: 'DC' }])
  expect(out.active).toBe(0)
})

test('relay: 100 MB pass with bounded memory when the client reads slowly', async () => {
  const total = 100 * 1024 * 1024
  const piece = Buffer.alloc(256 * 1024, 'x')
  let sent = 0
  const app = await httpApp((_req, res) => {
    res.writeHead(200, { 'content-length': String(total) })
    const pump = (): void => {
      while (sent < total) {
        sent += piece.length
        if (!res.write(piece)) return void res.once('drain', pump)
      }
      res.end()
    }
    pump()
  })
  const { outbound: out } = await twoHops(app)
  let got = 0
  let peak = 0
  await new Promise<void>((resolve, reject) => {
    const req = request({ port: out.port, headers: { host: 'app.mesh' } }, (res) => {
      res.on('data', (chunk: Buffer) => {
        got += chunk.length
        peak = Math.max(peak, sent - got)
        if (got % (8 * 1024 * 1024) < chunk.length) {
          res.pause()
          setImmediate(() => setImmediate(() => res.resume()))
        }
      })
      res.on('end', resolve)
      res.on('error', reject)
    })
    req.on('error', reject)
    req.end()
  })
  expect(got).toBe(total)
  // What is between app and client: three kernel buffers of up to 6 MB, and at most 256 KiB a hop of ours.
  expect(peak).toBeLessThan(30 * 1024 * 1024)
}, 60_000)

test('relay: nothing more is read from the app while the client does not read', async () => {
  let written = 0
  const app = await httpApp((_req, res) => {
    const piece = Buffer.alloc(64 * 1024)
    const pump = (): void => {
      while (res.write(piece)) written += piece.length
      written += piece.length
      res.once('drain', pump)
    }
    pump()
  })
  const { outbound: out } = await twoHops(app)
  const socket = createConnection({ port: out.port })
  onTestFinished(() => void socket.destroy())
  socket.pause()
  socket.write(send('GET /'))
  let before = -1
  await expect
    .poll(
      () => {
        const still = written === before && written > 0
        before = written
        return still
      },
      { interval: 300, timeout: 15_000 },
    )
    .toBe(true)
  // Three loopback sockets, their kernel buffers (up to 6 MB each) and ours.
  expect(written).toBeLessThan(40 * 1024 * 1024)
}, 30_000)

test('relay: a 100 MB upload passes with bounded memory when the app reads slowly', async () => {
  const total = 100 * 1024 * 1024
  let got = 0
  const app = await httpApp((req, res) => {
    req.on('data', (chunk: Buffer) => {
      got += chunk.length
      if (got % (8 * 1024 * 1024) < chunk.length) {
        req.pause()
        setImmediate(() => setImmediate(() => req.resume()))
      }
    })
    req.on('end', () => res.end(String(got)))
  })
  const { outbound: out } = await twoHops(app)
  let peak = 0
  const answer = await new Promise<string>((resolve, reject) => {
    const req = request(
      { port: out.port, method: 'POST', headers: { host: 'app.mesh', 'content-length': total } },
      (res) => {
        let text = ''
        res.on('data', (chunk) => {
          text += chunk
        })
        res.on('end', () => resolve(text))
      },
    )
    req.on('error', reject)
    const piece = Buffer.alloc(256 * 1024, 'x')
    let sent = 0
    const pump = (): void => {
      while (sent < total) {
        sent += piece.length
        peak = Math.max(peak, sent - got)
        if (!req.write(piece)) return void req.once('drain', pump)
      }
      req.end()
    }
    pump()
  })
  expect(answer).toBe(String(total))
  expect(peak).toBeLessThan(30 * 1024 * 1024)
}, 60_000)

test('relay: an answer that comes in single bytes is the same answer', async () => {
  const wire =
    'HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3\r\n!!!\r\n0\r\nT: 1\r\n\r\n'
  const app = await rawApp((socket) => {
    socket.setNoDelay(true)
    let at = 0
    const next = (): void => {
      if (at < wire.length) socket.write(wire[at++]!, 'latin1', () => setImmediate(next))
    }
    next()
  })
  const out = await plain(app)
  const answer = await rawExchange(out.port, 'GET / HTTP/1.0\r\nHost: app.mesh\r\n\r\n')
  expect(answer).toContain('X-A: b\r\n')
  expect(answer.endsWith('\r\n\r\nhello!!!')).toBe(true)
})

test('relay: a request that comes in single bytes is the same request', async () => {
  const app = await rawApp((socket, got) => {
    if (got.endsWith('0\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  })
  const out = await plain(app)
  const { socket, text, closed } = client(out.port)
  socket.setNoDelay(true)
  for (const byte of send('POST /a', 'Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n')) {
    await new Promise((resolve) => socket.write(byte, 'latin1', resolve))
  }
  await closed
  expect(text()).toMatch(/ok$/)
  const body = app.received.split('\r\n\r\n').slice(1).join('\r\n\r\n')
  expect(body.replace(/[0-9a-f]+\r\n([a-z]+)\r\n/g, '$1')).toBe('hello0\r\n\r\n')
})
