// Frames: packet boundaries change nothing, and no bytes make the reader do anything but read or refuse.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameReader } from '../../../proxy/mux/frame-reader.ts'
import { helloFrame, readHello } from '../../../proxy/mux/hello.ts'
import { FRAME_HEAD_BYTES, frameHead, MuxError, PAYLOAD_MAX } from '../../../proxy/mux/wire.ts'

interface Frame {
  type: number
  flags: number
  stream: number
  payload: string
}

function collect(): { frames: Frame[]; reader: FrameReader } {
  const frames: Frame[] = []
  const reader = new FrameReader({
    onFrame(type, flags, stream, bytes, from, to) {
      frames.push({ type, flags, stream, payload: bytes.toString('latin1', from, to) })
      return true
    },
  })
  return { frames, reader }
}

const frame = fc
  .record({ type: fc.integer({ min: 1, max: 9 }), flags: fc.integer({ min: 0, max: 1 }), stream: fc.nat(0x7fff_ffff) })
  .chain((head) =>
    fc
      .uint8Array({ maxLength: Math.min(PAYLOAD_MAX[head.type]!, 300) })
      .map((bytes) => ({ ...head, payload: Buffer.from(bytes).toString('latin1') })),
  )
const textOf = ({ type, flags, stream, payload }: Frame): string =>
  frameHead(payload.length, type, flags, stream) + payload

test('frames: are read as they were written, however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 50 })), (written, cuts) => {
      const bytes = Buffer.from(written.map(textOf).join(''), 'latin1')
      const { frames, reader } = collect()
      // One buffer for every read, overwritten by the next, as `onread` does.
      const shared = Buffer.alloc(64 * 1024)
      let at = 0
      for (let i = 0; at < bytes.length; i++) {
        const count = Math.min(bytes.length - at, cuts[i % Math.max(1, cuts.length)] ?? bytes.length)
        shared.fill(0xff)
        bytes.copy(shared, 0, at, at + count)
        reader.feed(shared, count)
        at += count
      }
      expect(frames).toEqual(written)
      expect(reader.partial).toBe(false)
    }),
    { numRuns: 300 },
  )
})

test('frames: any bytes are frames, the beginning of one, or a MuxError', () => {
  const feed = (bytes: Uint8Array): void => {
    const { frames, reader } = collect()
    try {
      reader.feed(Buffer.from(bytes), bytes.length)
    } catch (thrown) {
      if (!(thrown instanceof MuxError)) throw thrown
    }
    expect(frames.length).toBeLessThanOrEqual(bytes.length / FRAME_HEAD_BYTES)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), feed), { numRuns: 3_000 })
  const changed = fc.tuple(fc.array(frame, { minLength: 1, maxLength: 5 }), fc.nat(), fc.nat(255))
  fc.assert(
    fc.property(changed, ([frames, where, byte]) => {
      const bytes = Buffer.from(frames.map(textOf).join(''), 'latin1')
      bytes[where % bytes.length] = byte
      feed(bytes)
    }),
    { numRuns: 3_000 },
  )
})

test.each([
  ['type 0', frameHead(0, 0, 0, 1), 'PROTOCOL'],
  ['type 10', frameHead(0, 10, 0, 1), 'PROTOCOL'],
  ['DATA of 16 KiB and one byte', frameHead(16 * 1024 + 1, 4, 0, 1), 'TOO_LARGE'],
  ['a head of 40 KiB and one byte', frameHead(40 * 1024 + 1, 2, 0, 1), 'TOO_LARGE'],
  ['CREDIT of 5 bytes', frameHead(5, 5, 0, 1), 'TOO_LARGE'],
])('frames: refuse %s before its payload is here', (_, text, code) => {
  const { reader } = collect()
  expect(() => reader.feed(Buffer.from(text, 'latin1'), 8)).toThrow(expect.objectContaining({ code }))
})

test('hello: what is said is heard; what cannot be said is left out', () => {
  const read = (text: string) => readHello(Buffer.from(text, 'latin1'), FRAME_HEAD_BYTES, text.length)
  const hello = { instance: 'app-1', version: 'v1', wanted: 'app-2' }
  expect(read(helloFrame(hello))).toEqual(hello)
  expect(read(helloFrame({ ...hello, instance: 'bell\x07' }))).toEqual({ ...hello, instance: '' })
})

test.each([
  ['another version', '\x02\0\0\0', 'VERSION'],
  ['no values', '\x01', 'PROTOCOL'],
  ['a length beyond the frame', '\x01\x05ab\0', 'PROTOCOL'],
  ['a control character', '\x01\x01\x07\0\0', 'PROTOCOL'],
  ['bytes after the end', '\x01\0\0\0x', 'PROTOCOL'],
])('hello: refuses %s', (_, payload, code) => {
  const bytes = Buffer.from(payload, 'latin1')
  expect(() => readHello(bytes, 0, bytes.length)).toThrow(expect.objectContaining({ code }))
})
