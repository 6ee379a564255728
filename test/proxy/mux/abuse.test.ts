// What the inbound listener answers to a mux peer that breaks the protocol or leans on it (docs/mux.md, "Refusals").

import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import type { InboundOptions } from '../../../proxy/inbound.ts'
import type { MuxTimes } from '../../../proxy/mux/connection.ts'
import { helloFrame } from '../../../proxy/mux/hello.ts'
import {
  CREDIT,
  creditFrame,
  DATA,
  END,
  frameHead,
  goAwayFrame,
  HELLO,
  PING,
  PONG,
  RESPONSE,
  resetFrame,
  STREAM_CREDIT,
  STREAMS_MAX,
  u8,
  u16,
} from '../../../proxy/mux/wire.ts'
import { identityOf, inbound, listen, Recorder, sharedPki, TestIdentitySource } from '../paths/setup.ts'
import { HI, type RawPeer, rawClient, requestFrame } from './raw-peer.ts'

class Counting extends Recorder {
  readonly refused: string[] = []
  muxRefused(_direction: string, code: string): void {
    this.refused.push(code)
  }
}

type App = (request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse) => void

async function scene(options: { app?: App; times?: Partial<MuxTimes>; inbound?: Partial<InboundOptions> } = {}) {
  const pki = await sharedPki()
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(request.url ?? '')
    if (options.app) options.app(request, response)
    else {
      request.resume()
      request.on('end', () => response.end('ok'))
    }
  })
  const port = await listen(server)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const counting = new Counting()
  const source = new TestIdentitySource(await identityOf(pki, 'app'))
  const muxTimes = options.times ?? {}
  const running = await inbound({ port }, source, { observer: counting, muxTimes, ...options.inbound })
  const client = async (): Promise<RawPeer> => rawClient(running.port, await identityOf(pki, 'caller'))
  return { running, counting, client, seen }
}

const data = (stream: number, bytes: string, flags = 0): string => frameHead(bytes.length, DATA, flags, stream) + bytes
const answerOf = (peer: RawPeer, stream: number): string =>
  peer.frames
    .filter((frame) => frame.stream === stream && frame.type === DATA)
    .map((frame) => frame.payload.toString())
    .join('')
const isAnswered = (peer: RawPeer, stream: number): boolean =>
  peer.frames.some((frame) => frame.stream === stream && frame.type === RESPONSE)

test('mux: a stream is answered, with hello before and the body after its head', async () => {
  const { client, seen } = await scene()
  const peer = await client()
  peer.say(HI, requestFrame(1, 5), data(1, 'hello'))
  await peer.seen(() => answerOf(peer, 1) === 'ok')
  expect(peer.frames[0]!.type).toBe(HELLO)
  expect(peer.frames[0]!.payload.toString('latin1')).toContain('app-1')
  expect(seen).toEqual(['/x'])
})

const FATAL: [string, string, string][] = [
  ['a frame before the hello', requestFrame(1), 'PROTOCOL'],
  ['HTTP/1.1 instead of frames', 'GET / HTTP/1.1\r\nHost: app.mesh\r\n\r\n', 'TOO_LARGE|PROTOCOL'],
  ['a second hello', HI + HI, 'PROTOCOL'],
  ['a hello of another version', `${frameHead(4, HELLO, 0, 0)}\x02\0\0\0`, 'VERSION'],
  ['an unknown frame type', HI + frameHead(0, 77, 0, 1), 'PROTOCOL'],
  ['a frame that is too large', HI + frameHead(60_000, DATA, 0, 1), 'TOO_LARGE'],
  ['an unknown flag', HI + frameHead(0, DATA, 2, 1), 'PROTOCOL'],
  ['a request on stream 0', HI + requestFrame(0), 'PROTOCOL'],
  ['a request out of order', HI + requestFrame(2), 'PROTOCOL'],
  ['a stream opened twice', HI + requestFrame(1) + requestFrame(1), 'PROTOCOL'],
  ['a stream id beyond 31 bits', `${HI}\0\0\x04\0\xff\xff\xff\xff`, 'PROTOCOL'],
  ['an answer from the client', HI + frameHead(3, RESPONSE, 0, 1) + u16(200) + u8(0), 'PROTOCOL'],
  ['DATA for a stream never opened', HI + data(9, 'x'), 'PROTOCOL'],
  ['DATA on stream 0', HI + data(0, 'x'), 'PROTOCOL'],
  ['a reset of a stream never opened', HI + resetFrame(9, 'CANCELLED'), 'PROTOCOL'],
  ['two resets of one stream', HI + requestFrame(1) + resetFrame(1, 'CANCELLED').repeat(2), 'PROTOCOL'],
  ['credit of nothing', HI + creditFrame(0, 0), 'PROTOCOL'],
  ['connection credit beyond 31 bits', HI + creditFrame(0, 0x7fff_ffff), 'OVER_CREDIT'],
  ['a ping of the wrong length', `${HI}${frameHead(4, PING, 0, 0)}abcd`, 'PROTOCOL'],
  ['a ping on a stream', `${HI}${frameHead(8, PING, 0, 1)}abcdefgh`, 'PROTOCOL'],
  ['a pong that nobody asked for', `${HI}${frameHead(8, PONG, 0, 0)}abcdefgh`, 'PROTOCOL'],
  ['a ping flood', HI + `${frameHead(8, PING, 0, 0)}abcdefgh`.repeat(101), 'FLOOD'],
  ['a credit flood', HI + requestFrame(1, 'chunked') + creditFrame(1, 1).repeat(600), 'FLOOD'],
  ['empty frames in a row', HI + requestFrame(1, 'chunked') + data(1, '').repeat(11), 'FLOOD'],
  ['a GOAWAY flood', HI + requestFrame(1, 'chunked') + goAwayFrame(0, 'NONE').repeat(11), 'FLOOD'],
  ['a hundred and one bad heads', HI + badHeads(101), 'FLOOD'],
  [
    'another instance wanted',
    helloFrame({ instance: 'c', version: '', wanted: 'app-9' }) + requestFrame(1),
    'ENDPOINT_MISMATCH',
  ],
]

function badHeads(count: number): string {
  return Array.from({ length: count }, (_, i) => requestFrame(i + 1, 0, '/a/../b')).join('')
}

test.each(FATAL)('mux: ends the connection with GOAWAY, and counts it, on %s', async (_, bytes, code) => {
  const { client, counting, seen } = await scene({ times: { lingerMs: 500 } })
  const peer = await client()
  peer.say(bytes)
  await peer.seen(() => peer.closed)
  expect(peer.goAway).toMatch(new RegExp(`^(${code})$`))
  expect(counting.refused.at(-1)).toBe(peer.goAway)
  if (code === 'ENDPOINT_MISMATCH') expect(seen).toEqual([])
})

const STREAM_ONLY: [string, string, string][] = [
  ['a path that is not canonical', requestFrame(1, 0, '/a/../b'), 'BAD_HEAD'],
  ['a control character in a field', requestFrame(1, 0, '/', ['x-a', 'a\nb']), 'BAD_HEAD'],
  ['a hop-by-hop field', requestFrame(1, 0, '/', ['connection', 'close']), 'BAD_HEAD'],
  ['more body than was declared', requestFrame(1, 3) + data(1, 'four'), 'BAD_BODY'],
  ['END of a body with a declared length', requestFrame(1, 3) + data(1, 'abc', END), 'BAD_BODY'],
  ['DATA after the end', requestFrame(1, 'chunked') + data(1, '', END) + data(1, 'more'), 'BAD_BODY'],
  [
    'more DATA than the stream has credit for',
    requestFrame(1, 'chunked') + data(1, 'x'.repeat(16_384)).repeat(5),
    'OVER_CREDIT',
  ],
  ['stream credit beyond 31 bits', requestFrame(1, 'chunked') + creditFrame(1, 0x7fff_ffff), 'OVER_CREDIT'],
]

test.each(STREAM_ONLY)('mux: resets only the stream, and counts it, on %s', async (_, bytes, code) => {
  const { client, counting } = await scene({
    app: (request, response) => void (request.url === '/good' && response.end('good')),
  })
  const peer = await client()
  peer.say(HI, bytes)
  await peer.seen(() => peer.resetOf(1))
  expect(peer.resetOf(1)).toBe(code)
  expect(counting.refused).toEqual([code])
  peer.say(requestFrame(2, 0, '/good'))
  await peer.seen(() => answerOf(peer, 2) === 'good')
  expect(peer.goAway).toBeUndefined()
})

test('mux: one stream more than the limit is refused, the others go on', async () => {
  const held: import('node:http').ServerResponse[] = []
  const { client, counting } = await scene({ app: (_, response) => void held.push(response) })
  const peer = await client()
  peer.say(HI, ...Array.from({ length: STREAMS_MAX + 1 }, (_, i) => requestFrame(i + 1)))
  await peer.seen(() => peer.resetOf(STREAMS_MAX + 1))
  expect(peer.resetOf(STREAMS_MAX + 1)).toBe('REFUSED')
  expect(counting.refused).toEqual(['REFUSED'])
  await peer.seen(() => held.length === STREAMS_MAX)
  for (const response of held) response.end('ok')
  await peer.seen(() => answerOf(peer, STREAMS_MAX) === 'ok')
})

test('mux: a reset flood shuts the connection for new streams and serves what is in flight', async () => {
  const held: import('node:http').ServerResponse[] = []
  const { client, counting } = await scene({
    app: (request, response) => void (request.url === '/good' && held.push(response)),
  })
  const peer = await client()
  peer.say(HI, requestFrame(1, 0, '/good'))
  await peer.seen(() => held.length === 1)
  for (let i = 2; i <= 202; i++) peer.say(requestFrame(i), resetFrame(i, 'CANCELLED'))
  await peer.seen(() => peer.goAway)
  expect(peer.goAway).toBe('FLOOD')
  expect(counting.refused).toContain('FLOOD')
  peer.say(requestFrame(203))
  await peer.seen(() => peer.resetOf(203))
  expect(peer.resetOf(203)).toBe('DRAINING')
  held[0]!.end('good')
  await peer.seen(() => answerOf(peer, 1) === 'good' && peer.closed)
})

test.each([
  ['a hello that does not come', ''],
  ['half a frame for ever', HI + requestFrame(1).slice(0, 12)],
  ['half a frame head for ever', HI + requestFrame(1).slice(0, 3)],
])('mux: gives up on %s', async (_, bytes) => {
  const { client, counting, seen } = await scene({ times: { frameTimeoutMs: 100, lingerMs: 100 } })
  const peer = await client()
  if (bytes !== '') peer.say(bytes)
  await peer.seen(() => peer.closed)
  expect(peer.goAway).toBe('TIMEOUT')
  expect(counting.refused).toEqual(['TIMEOUT'])
  expect(seen).toEqual([])
})

test('mux: a peer that answers no ping is given up', async () => {
  const { client, counting } = await scene({ times: { pingAfterMs: 50, pongTimeoutMs: 100 } })
  const peer = await client()
  peer.say(HI)
  await peer.seen(() => peer.ofType(PING).length > 0)
  await peer.seen(() => peer.closed)
  expect(counting.refused).toEqual(['TIMEOUT'])
})

test('mux: a peer that answers pings stays', async () => {
  const { client, counting } = await scene({ times: { pingAfterMs: 50, pongTimeoutMs: 1_500 } })
  const peer = await client()
  peer.onFrame = (frame) => {
    if (frame.type === PING) peer.say(frameHead(8, PONG, 0, 0) + frame.payload.toString('latin1'))
  }
  peer.say(HI)
  await peer.seen(() => peer.ofType(PING).length > 1)
  expect(peer.closed).toBe(false)
  expect(counting.refused).toEqual([])
})

test('mux: no more leaves than the peer gave credit for, and the stream is reset when it gives none', async () => {
  const { client, counting } = await scene({
    times: { streamStallMs: 300 },
    app: (_, response) => void response.end(Buffer.alloc(1024 * 1024, 'x')),
  })
  const peer = await client()
  peer.say(HI, requestFrame(1))
  await peer.seen(() => answerOf(peer, 1).length === STREAM_CREDIT)
  peer.say(creditFrame(1, 1000))
  await peer.seen(() => answerOf(peer, 1).length === STREAM_CREDIT + 1000)
  await peer.seen(() => peer.resetOf(1))
  expect(peer.resetOf(1)).toBe('STALLED')
  expect(answerOf(peer, 1).length).toBe(STREAM_CREDIT + 1000)
  expect(counting.refused).toEqual(['STALLED'])
})

test('mux: a reader that does not keep up gets no more credit, and others are not held up', async () => {
  const { client } = await scene({
    app: (request, response) => void (request.url === '/good' ? response.end('good') : request.pause()),
  })
  const peer = await client()
  peer.say(HI, requestFrame(1, 'chunked', '/slow'))
  let sent = 0
  const send = (): void => {
    for (; sent < STREAM_CREDIT; sent += 16_384) peer.say(data(1, 'x'.repeat(16_384)))
  }
  send()
  const granted = (): number =>
    peer
      .ofType(CREDIT)
      .filter((frame) => frame.stream === 1)
      .reduce((sum, frame) => sum + frame.payload.readUInt32BE(0), 0)
  // Whatever is granted is used at once; it must come to an end, because nobody reads it.
  let used = 0
  peer.onFrame = (frame) => {
    if (frame.type !== CREDIT || frame.stream !== 1) return
    for (; used + 16_384 <= granted(); used += 16_384) peer.say(data(1, 'x'.repeat(16_384)))
  }
  for (let i = 2; i < 20; i++) {
    peer.say(requestFrame(i, 0, '/good'))
    await peer.seen(() => answerOf(peer, i) === 'good')
  }
  expect(peer.resetOf(1)).toBeUndefined()
  expect(granted()).toBeLessThan(16 * 1024 * 1024)
})

test('mux: a peer that gives credit and does not read is cut', async () => {
  const { client, counting, running } = await scene({
    times: { writeStallMs: 300 },
    app: (_, response) => void response.end(Buffer.alloc(64 * 1024 * 1024)),
  })
  const peer = await client()
  peer.say(HI, requestFrame(1), creditFrame(0, 0x3fff_ffff), creditFrame(1, 0x3fff_ffff))
  await peer.seen(() => isAnswered(peer, 1))
  peer.socket.pause()
  await peer.seen(() => running.connections === 0)
  expect(counting.refused).toEqual(['STALLED'])
})

test('mux: a client that leaves cancels the request at the app', async () => {
  let cancelled = false
  const { client } = await scene({
    app: (request) =>
      void request.on('close', () => {
        cancelled = true
      }),
  })
  const peer = await client()
  peer.say(HI, requestFrame(1))
  await peer.seen(() => peer.frames.length > 0)
  peer.say(resetFrame(1, 'CANCELLED'))
  await peer.seen(() => cancelled)
})

test('mux: an early answer ends the stream; the rest of the body is not asked for', async () => {
  const { client, counting } = await scene({
    app: (_, response) => void response.writeHead(413, { connection: 'close', 'content-length': 0 }).end(),
  })
  const peer = await client()
  peer.say(HI, requestFrame(1, 10_000_000), data(1, 'x'.repeat(1000)))
  await peer.seen(() => isAnswered(peer, 1))
  peer.say(data(1, 'x'.repeat(1000)), resetFrame(1, 'CANCELLED'), requestFrame(2, 0))
  await peer.seen(() => isAnswered(peer, 2))
  expect(counting.refused).toEqual([])
})
