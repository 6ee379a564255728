// Bodies: by length, chunked, until close; the same result for every split of the stream.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FairleadError } from '../../../kernel/errors.ts'
import { BodyReader } from '../../../proxy/http1/body-reader.ts'

/** Feeds `pieces`; returns the body, what was left over, and whether it ended. */
function read(body: number | 'chunked' | 'until-close', pieces: readonly string[]) {
  const reader = new BodyReader()
  reader.begin(body)
  let text = ''
  let rest = ''
  const sink = {
    onBody: (bytes: Buffer, from: number, to: number) => {
      text += bytes.toString('latin1', from, to)
    },
  }
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, 'latin1')
    const end = reader.done ? 0 : reader.feed(bytes, 0, bytes.length, sink)
    rest += piece.slice(end)
  }
  return { text, rest, done: reader.done }
}

const codeOf = (text: string): string => {
  try {
    return read('chunked', [text]).done ? 'accepted' : 'incomplete'
  } catch (error) {
    return (error as FairleadError).code
  }
}

test.each([
  ['a size that is no number', 'x\r\n'],
  ['no size', '\r\n'],
  ['a signed size', '+3\r\nabc\r\n0\r\n\r\n'],
  ['a size with 0x', '0x3\r\nabc\r\n0\r\n\r\n'],
  ['a space before the size', ' 3\r\nabc\r\n0\r\n\r\n'],
  ['a space after the size', '3 \r\nabc\r\n0\r\n\r\n'],
  ['a size of thirteen digits', '1000000000000\r\n'],
  ['a bare LF after the size', '3\nabc\r\n0\r\n\r\n'],
  ['a bare CR after the size', '3\rabc\r\n0\r\n\r\n'],
  ['a chunk longer than its size', '3\r\nabcd\r\n0\r\n\r\n'],
  ['a chunk that ends in LF', '3\r\nabc\n0\r\n\r\n'],
  ['a chunk that ends in CR X', '3\r\nabc\rX0\r\n\r\n'],
  ['a bare LF in an extension', '3;a\nb\r\nabc\r\n0\r\n\r\n'],
  ['a NUL in an extension', '3;a\0\r\nabc\r\n0\r\n\r\n'],
  ['a bare LF after the last chunk', '0\n\n'],
  ['a trailer with a space before the colon', '0\r\nX : y\r\n\r\n'],
  ['a folded trailer', '0\r\nX: y\r\n z\r\n\r\n'],
  ['a trailer without a name', '0\r\n: y\r\n\r\n'],
  ['a trailer with a NUL', '0\r\nX: \0\r\n\r\n'],
  ['a trailer that ends in LF', '0\r\nX: y\n\r\n'],
])('chunked body: 400 when it has %s', (_offence, text) => {
  expect(codeOf(text)).toBe('BAD_REQUEST')
})

test('chunked body: refused when its extensions have more than 4 KiB over all chunks', () => {
  expect(codeOf(`${`1;${'e'.repeat(1_000)}\r\na\r\n`.repeat(5)}0\r\n\r\n`)).toBe('BAD_REQUEST')
  expect(codeOf(`${`1;${'e'.repeat(1_000)}\r\na\r\n`.repeat(4)}0\r\n\r\n`)).toBe('accepted')
})

test('chunked body: refused when its trailers are too many or too long', () => {
  expect(codeOf(`0\r\n${'X: y\r\n'.repeat(101)}\r\n`)).toBe('HEADERS_TOO_LARGE')
  expect(codeOf(`0\r\nX: ${'y'.repeat(33_000)}\r\n\r\n`)).toBe('HEADERS_TOO_LARGE')
})

test('chunked body: drops extensions and trailers, and leaves the next message alone', () => {
  const text = '5;a=b\r\nhello\r\nA\r\n, world!!!\r\n0\r\nX-Trailer: 1\r\nHost: evil\r\n\r\nGET /next'
  expect(read('chunked', [text])).toEqual({ text: 'hello, world!!!', rest: 'GET /next', done: true })
})

test('body by length: takes exactly its bytes', () => {
  expect(read(5, ['hel', 'loGET'])).toEqual({ text: 'hello', rest: 'GET', done: true })
  expect(read(0, ['GET'])).toEqual({ text: '', rest: 'GET', done: true })
})

test('body until close: never ends by itself', () => {
  expect(read('until-close', ['abc', 'def'])).toEqual({ text: 'abcdef', rest: '', done: false })
})

/** Cuts `text` at the given places. */
function cutAt(text: string, cuts: readonly number[]): string[] {
  const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length]
  return places.slice(1).map((end, at) => text.slice(places[at], end))
}

test('chunked body: the same result when the stream is cut anywhere', () => {
  const chunk = fc.tuple(fc.string({ minLength: 1, maxLength: 40, unit: 'binary-ascii' }), fc.boolean())
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 12 }), (chunks, cuts) => {
      const wire = `${chunks.map(([data, ext]) => `${data.length.toString(16)}${ext ? ';x=1' : ''}\r\n${data}\r\n`).join('')}0\r\nT: v\r\n\r\nNEXT`
      const body = chunks.map(([data]) => data).join('')
      expect(read('chunked', cutAt(wire, cuts))).toEqual({ text: body, rest: 'NEXT', done: true })
    }),
  )
})
