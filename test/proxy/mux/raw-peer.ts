// raw-peer.ts — a mux peer made of bytes: says what a test wants it to say, and keeps what it is told.

import { connect, createServer, type TLSSocket } from 'node:tls'
import { expect, onTestFinished } from 'vitest'
import { SERVER_PEER_OPTIONS } from '../../../certs/peer.ts'
import { certificatesToPem } from '../../../certs/pem.ts'
import type { Identity } from '../../../proxy/exchange.ts'
import { FrameReader } from '../../../proxy/mux/frame-reader.ts'
import { requestHeadText } from '../../../proxy/mux/head.ts'
import { helloFrame } from '../../../proxy/mux/hello.ts'
import { codeName, frameHead, GOAWAY, MUX_PROTOCOL, REQUEST, RESET } from '../../../proxy/mux/wire.ts'
import { listen } from '../paths/setup.ts'

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export class RawPeer {
  readonly socket: TLSSocket
  readonly frames: Frame[] = []
  closed = false
  onFrame: (frame: Frame) => void = () => undefined

  constructor(socket: TLSSocket) {
    this.socket = socket
    const reader = new FrameReader({
      onFrame: (type, flags, stream, bytes, from, to) => {
        const frame = { type, flags, stream, payload: Buffer.from(bytes.subarray(from, to)) }
        this.frames.push(frame)
        this.onFrame(frame)
        return true
      },
    })
    socket.on('data', (chunk) => reader.feed(chunk, chunk.length))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
    })
    onTestFinished(() => void socket.destroy())
  }

  say(...frames: string[]): void {
    this.socket.write(frames.join(''), 'latin1')
  }

  ofType(type: number): Frame[] {
    return this.frames.filter((frame) => frame.type === type)
  }

  /** Code of the first GOAWAY. */
  get goAway(): string | undefined {
    const frame = this.ofType(GOAWAY)[0]
    return frame === undefined ? undefined : codeName(frame.payload[4]!)
  }

  resetOf(stream: number): string | undefined {
    const frame = this.ofType(RESET).find((one) => one.stream === stream)
    return frame === undefined ? undefined : codeName(frame.payload[0]!)
  }

  async seen(what: () => unknown): Promise<void> {
    await expect.poll(() => Boolean(what()), { timeout: 5_000, interval: 10 }).toBe(true)
  }
}

/** A client without hello. */
export async function rawClient(port: number, identity: Identity, alpn = [MUX_PROTOCOL]): Promise<RawPeer> {
  const socket = connect({
    port,
    key: identity.keyPem,
    cert: identity.chainPem,
    ca: certificatesToPem(identity.bundleDer),
    checkServerIdentity: () => undefined,
    ALPNProtocols: alpn,
  })
  const peer = new RawPeer(socket)
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', reject)
  })
  return peer
}

/** A server in the place of an inbound listener. */
export async function rawServer(
  identity: Identity,
  onPeer: (peer: RawPeer) => void,
  alpn = [MUX_PROTOCOL],
): Promise<{ port: number; peers: RawPeer[] }> {
  const peers: RawPeer[] = []
  const server = createServer(
    { ...SERVER_PEER_OPTIONS, key: identity.keyPem, cert: identity.chainPem, ALPNProtocols: alpn },
    (socket) => {
      const peer = new RawPeer(socket)
      peers.push(peer)
      onPeer(peer)
    },
  )
  server.on('tlsClientError', () => undefined)
  const port = await listen(server)
  onTestFinished(() => void server.close())
  return { port, peers }
}

export const HI = helloFrame({ instance: 'caller-1', version: 'v1', wanted: 'app-1' })

export function requestFrame(
  stream: number,
  body: number | 'chunked' = 0,
  target = '/x',
  fields: string[] = [],
  method = body === 0 ? 'GET' : 'POST',
): string {
  const head = requestHeadText({ method, target, host: 'app.mesh', fields, body })
  return frameHead(head.length, REQUEST, 0, stream) + head
}
