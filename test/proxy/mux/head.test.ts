// Heads in the mux: round trips, and what is refused.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  BadHead,
  type RequestParts,
  readRequestHead,
  readResponseHead,
  requestHeadText,
  responseHeadText,
} from '../../../proxy/mux/head.ts'
import { FIELD_NAMES } from '../../../proxy/mux/names.ts'
import { u8, u16 } from '../../../proxy/mux/wire.ts'

const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1')
const readRequest = (text: string) => readRequestHead(bytesOf(text), 0, text.length)
const readResponse = (text: string, method = 'GET') => readResponseHead(bytesOf(text), 0, text.length, method)

const name = fc.oneof(
  fc.constantFrom(...FIELD_NAMES.filter((known) => known !== '' && known !== 'content-length')),
  fc.stringMatching(/^x[a-z0-9!#$%&'*+.^`|~-]{0,30}$/).filter((text) => !FIELD_NAMES.includes(text)),
)
const value = fc.stringMatching(/^[\x20-\x7e\xa0-\xff]{0,60}$/).map((text) => text.trim().replace(/^\xa0+|\xa0+$/g, ''))
const fields = fc.array(fc.tuple(name, value), { maxLength: 30 }).map((pairs) => pairs.flat())
const body = fc.oneof(
  fc.constant<0 | 'chunked'>(0),
  fc.constant<0 | 'chunked'>('chunked'),
  fc.integer({ min: 1, max: 1e14 }),
)
const request: fc.Arbitrary<RequestParts> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'DELETE', 'HEAD', 'PROPFIND', 'M-SEARCH'),
  target: fc.stringMatching(/^(\/[a-zA-Z0-9_~-]{1,8}){0,4}\/(\?[a-z=&%/?]{0,20})?$/),
  host: fc.constantFrom('app.mesh', 'app.default.mesh:80', '[::1]:8080', '127.0.0.1'),
  fields,
  body,
})

test('request head: what is written is read, and written again the same', () => {
  fc.assert(
    fc.property(request, (parts) => {
      const text = requestHeadText(parts)
      const head = readRequest(text)
      const { method, path, query, host, body: length } = head
      expect({ method, target: path + query, host, fields: head.fields, body: length }).toEqual(parts)
      expect(requestHeadText({ method, target: path + query, host, fields: head.fields, body: length })).toBe(text)
    }),
    { numRuns: 500 },
  )
})

test('response head: what is written is read, and written again the same', () => {
  fc.assert(
    fc.property(fc.integer({ min: 200, max: 599 }), fields, body, (status, some, length) => {
      const bodiless = status === 204 || status === 304
      const text = responseHeadText({ status, fields: some, body: length }, bodiless)
      const head = readResponse(text)
      expect(head).toEqual({ status, fields: some, body: bodiless ? 0 : length })
      expect(responseHeadText(head, bodiless)).toBe(text)
    }),
    { numRuns: 500 },
  )
})

test('head: any bytes, and any change of good bytes, are read or refused, never anything else', () => {
  const one = (bytes: Uint8Array): void => {
    const source = Buffer.from(bytes)
    for (const read of [
      () => {
        const head = readRequestHead(source, 0, source.length)
        const again = requestHeadText({ ...head, target: head.path + head.query })
        expect(again).toBe(source.toString('latin1'))
      },
      () => void readResponseHead(source, 0, source.length, 'GET'),
    ]) {
      try {
        read()
      } catch (thrown) {
        if (!(thrown instanceof BadHead)) throw thrown
      }
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), one), { numRuns: 2_000 })
  const changed = fc.tuple(request, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([parts, where, byte]) => {
    const bytes = bytesOf(requestHeadText(parts))
    bytes[where % bytes.length] = byte
    return bytes
  })
  fc.assert(fc.property(changed, one), { numRuns: 3_000 })
})

const GOOD: RequestParts = { method: 'GET', target: '/x', host: 'app.mesh', fields: [], body: 0 }
const withField = (text: string): string => requestHeadText(GOOD) + text
const literal = (fieldName: string, fieldValue: string): string =>
  u8(0) + u16(fieldName.length) + fieldName + u16(fieldValue.length) + fieldValue
const withTarget = (target: string): string => requestHeadText({ ...GOOD, target })

const REFUSED: [string, string][] = [
  ['nothing', ''],
  ['an unknown method code', u8(200) + requestHeadText(GOOD).slice(1)],
  ['a known method spelled out', u8(0) + u8(3) + requestHeadText(GOOD).replace(/^./s, 'GET')],
  ['a method with a space', u8(0) + u8(3) + requestHeadText(GOOD).replace(/^./s, 'G T')],
  ['an empty method', u8(0) + u8(0) + requestHeadText(GOOD).slice(1)],
  ['an empty target', withTarget('')],
  ['an absolute target', withTarget('http://x/')],
  ['a path with a dot segment', withTarget('/a/../b')],
  ['a path with two slashes', withTarget('/a//b')],
  ['a path with an encoded slash', withTarget('/a%2fb')],
  ['a path that is not in its one spelling', withTarget('/%41')],
  ['a path with a space', withTarget('/a b')],
  ['a path with CR LF', withTarget('/a\r\nb')],
  ['a query with a fragment', withTarget('/a?b#c')],
  ['an empty host', requestHeadText({ ...GOOD, host: '' })],
  ['a host with userinfo', requestHeadText({ ...GOOD, host: 'a@b' })],
  ['a field value with LF', withField(literal('x-a', 'a\nb'))],
  ['a field value with NUL', withField(literal('x-a', 'a\0b'))],
  ['a field value that is not trimmed', withField(literal('x-a', ' a'))],
  ['a field name with a colon', withField(literal('x:a', 'a'))],
  ['a field name in upper case', withField(literal('X-a', 'a'))],
  ['an empty field name', withField(literal('', 'a'))],
  ['connection', withField(literal('connection', 'close'))],
  ['transfer-encoding', withField(literal('transfer-encoding', 'chunked'))],
  ['te', withField(literal('te', 'trailers'))],
  ['host as a field', withField(literal('host', 'b.mesh'))],
  ['upgrade', withField(literal('upgrade', 'h2c'))],
  ['content-length spelled out', withField(literal('content-length', '3'))],
  [
    'content-length by its code',
    withField(requestHeadText({ ...GOOD, fields: ['content-length', '3'] }).slice(requestHeadText(GOOD).length)),
  ],
  ['a protected name with an underscore', withField(literal('x_forwarded_for', '1.2.3.4'))],
  ['a known field spelled out', withField(literal('accept', '*'))],
  ['an unknown field code', withField(u8(255) + u16(0))],
  ['a length beyond the frame', withField(`${u8(1)}${u16(500)}short`)],
  ['a field that stops in its name', withField(`${u8(0)}${u16(5)}x-`)],
  ['129 fields', withField(literal('x-a', 'b').repeat(129))],
]

test.each(REFUSED)('request head: refuses %s', (_, text) => {
  expect(() => readRequest(text)).toThrow(BadHead)
})

const REFUSED_ANSWERS: [string, string, string][] = [
  ['status 100', u16(100) + u8(0), 'GET'],
  ['status 600', u16(600) + u8(0), 'GET'],
  ['a body of 204', u16(204) + u8(2), 'GET'],
  ['a body of an answer to HEAD', u16(200) + u8(2), 'HEAD'],
  ['an unknown kind of body', u16(200) + u8(3), 'GET'],
  ['a body of declared length 0', `${u16(200)}${u8(1)}\0\0\0\0\0\0`, 'GET'],
  [
    'content-length beside a body',
    responseHeadText({ status: 200, fields: ['content-length', '3'], body: 3 }, false),
    'GET',
  ],
]

test.each(REFUSED_ANSWERS)('response head: refuses %s', (_, text, method) => {
  expect(() => readResponse(text, method)).toThrow(BadHead)
})

test('response head: an answer to HEAD may say how long the body would be', () => {
  const text = responseHeadText({ status: 200, fields: ['content-length', '3'], body: 0 }, true)
  expect(readResponse(text, 'HEAD').fields).toEqual(['content-length', '3'])
})
