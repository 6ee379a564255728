// hello.ts — the first frame of both sides: protocol version, who speaks, and whom a client means to reach.
//
// The peer's certificate names the service; the hello names the instance. A port that another instance took over is found
// out here, once per connection, before any request is looked at.

import { frameHead, HELLO, MuxError, PROTOCOL_VERSION, u8 } from './wire.ts'

export interface Hello {
  readonly instance: string
  readonly version: string
  /** Client: the instance it wants, '' = any. Server: ''. */
  readonly wanted: string
}

const PRINTABLE = /^[\x21-\x7e]{0,255}$/

/** What cannot be said in a hello (an instance id beyond printable ASCII) is left out rather than mangled. */
const sayable = (value: string): string => (PRINTABLE.test(value) ? value : '')

export function helloFrame(hello: Hello): string {
  let payload = u8(PROTOCOL_VERSION)
  for (const value of [hello.instance, hello.version, hello.wanted].map(sayable)) payload += u8(value.length) + value
  return frameHead(payload.length, HELLO, 0, 0) + payload
}

/** @throws MuxError VERSION, PROTOCOL */
export function readHello(bytes: Buffer, from: number, to: number): Hello {
  if (to - from < 4) throw new MuxError('PROTOCOL', 'a hello that is too short')
  if (bytes[from] !== PROTOCOL_VERSION) throw new MuxError('VERSION', `protocol version ${bytes[from]}`)
  const values: string[] = []
  let at = from + 1
  for (let i = 0; i < 3; i++) {
    const end = at + 1 + (bytes[at] ?? 0)
    if (at >= to || end > to) throw new MuxError('PROTOCOL', 'a hello with a length beyond the frame')
    const value = bytes.toString('latin1', at + 1, end)
    if (!PRINTABLE.test(value)) throw new MuxError('PROTOCOL', 'a hello with a byte that may not stand there')
    values.push(value)
    at = end
  }
  if (at !== to) throw new MuxError('PROTOCOL', 'a hello with bytes after its end')
  const [instance, version, wanted] = values as [string, string, string]
  return { instance, version, wanted }
}
