// Request heads: what is refused, what is understood, and that packet boundaries change nothing.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FairleadError } from '../../../kernel/errors.ts'
import { type ParsedRequest, parseRequestHead } from '../../../proxy/http1/request-head.ts'

const parse = (text: string): ParsedRequest | undefined => {
  const bytes = Buffer.from(text, 'latin1')
  return parseRequestHead(bytes, 0, bytes.length)
}

const codeOf = (text: string): string => {
  try {
    return parse(text) === undefined ? 'incomplete' : 'accepted'
  } catch (error) {
    return (error as FairleadError).code
  }
}

const get = (lines: string, host = 'Host: a.mesh\r\n'): string => `GET / HTTP/1.1\r\n${host}${lines}\r\n`

const REFUSED: [string, string][] = [
  ['Content-Length and Transfer-Encoding', get('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n')],
  ['two different Content-Lengths', get('Content-Length: 3\r\nContent-Length: 4\r\n')],
  ['two equal Content-Lengths', get('Content-Length: 3\r\nContent-Length: 3\r\n')],
  ['a list of Content-Lengths', get('Content-Length: 3, 3\r\n')],
  ['a signed Content-Length', get('Content-Length: +3\r\n')],
  ['a negative Content-Length', get('Content-Length: -3\r\n')],
  ['a hexadecimal Content-Length', get('Content-Length: 0x3\r\n')],
  ['an empty Content-Length', get('Content-Length: \r\n')],
  ['a Content-Length with a space inside', get('Content-Length: 1 2\r\n')],
  ['a Content-Length of sixteen digits', get('Content-Length: 1000000000000000\r\n')],
  ['Transfer-Encoding ,chunked', get('Transfer-Encoding: ,chunked\r\n')],
  ['Transfer-Encoding gzip, chunked', get('Transfer-Encoding: gzip, chunked\r\n')],
  ['Transfer-Encoding chunked, identity', get('Transfer-Encoding: chunked, identity\r\n')],
  ['Transfer-Encoding identity', get('Transfer-Encoding: identity\r\n')],
  ['Transfer-Encoding xchunked', get('Transfer-Encoding: xchunked\r\n')],
  ['Transfer-Encoding "chunked"', get('Transfer-Encoding: "chunked"\r\n')],
  ['Transfer-Encoding with a vertical tab', get('Transfer-Encoding: \x0bchunked\r\n')],
  ['two Transfer-Encodings', get('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n')],
  ['Transfer-Encoding in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a.mesh\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['a bare LF after the request line', 'GET / HTTP/1.1\nHost: a.mesh\r\n\r\n'],
  ['a bare LF after a field', 'GET / HTTP/1.1\r\nHost: a.mesh\nX: y\r\n\r\n'],
  ['bare LFs only', 'GET / HTTP/1.1\nHost: a.mesh\n\n'],
  ['a bare CR in a value', get('X: a\rb\r\n')],
  ['a bare CR before the end of a line', get('X: a\r\r\n')],
  ['a bare CR instead of the empty line', 'GET / HTTP/1.1\r\nHost: a.mesh\r\n\rX'],
  ['a folded field with a space', get('X: a\r\n b\r\n')],
  ['a folded field with a tab', get('X: a\r\n\tb\r\n')],
  ['whitespace before the first field', 'GET / HTTP/1.1\r\n Host: a.mesh\r\n\r\n'],
  ['a space before the colon', get('X : a\r\n')],
  ['a tab before the colon', get('X\t: a\r\n')],
  ['Content-Length with a space before the colon', get('Content-Length : 3\r\n')],
  ['an empty field name', get(': a\r\n')],
  ['a field without a colon', get('Xa\r\n')],
  ['a space in a field name', get('X a: b\r\n')],
  ['a bracket in a field name', get('X[a]: b\r\n')],
  ['a non-ASCII field name', get('X\xe4: b\r\n')],
  ['a NUL in a field name', get('X\0: b\r\n')],
  ['a NUL in a value', get('X: a\0b\r\n')],
  ['a DEL in a value', get('X: a\x7fb\r\n')],
  ['an escape in a value', get('X: \x1b[31m\r\n')],
  ['two Hosts', get('Host: b.mesh\r\n')],
  ['two equal Hosts', get('Host: a.mesh\r\n')],
  ['no Host', get('', '')],
  ['no Host in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n'],
  ['an empty Host', get('', 'Host: \r\n')],
  ['a Host with userinfo', get('', 'Host: a@b.mesh\r\n')],
  ['a Host with a path', get('', 'Host: a.mesh/x\r\n')],
  ['a Host with a space', get('', 'Host: a.mesh b.mesh\r\n')],
  ['a Host with a comma', get('', 'Host: a.mesh,b.mesh\r\n')],
  ['an octal address', get('', 'Host: 0177.0.0.1\r\n')],
  ['absolute-form without Host in HTTP/1.1', 'GET http://a.mesh/ HTTP/1.1\r\n\r\n'],
  ['an https target', 'GET https://a.mesh/ HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a target with userinfo', 'GET http://u:p@a.mesh/ HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a target without slash', 'GET x HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['the asterisk form', 'OPTIONS * HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a fragment', 'GET /a#b HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a fragment in the query', 'GET /a?b#c HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a NUL in the target', 'GET /a\0 HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['non-ASCII in the target', 'GET /\xe4 HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a backslash in the path', 'GET /a\\b HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['an encoded slash', 'GET /a%2fb HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['an encoded backslash', 'GET /a%5Cb HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['an encoded NUL', 'GET /a%00 HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['an encoded line feed', 'GET /a%0ab HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a path encoded twice', 'GET /%252e%252e/a HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a broken percent sign', 'GET /a%g1 HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a percent sign at the end', 'GET /a% HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a path above the root', 'GET /../a HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['dots behind a semicolon', 'GET /a/..;x/b HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['encoded dots behind a semicolon', 'GET /a/%2e%2e;/b HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['two spaces in the request line', 'GET  / HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a tab in the request line', 'GET\t/ HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a space before the method', ' GET / HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['an empty line before the request line', '\r\nGET / HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a space after the version', 'GET / HTTP/1.1 \r\nHost: a.mesh\r\n\r\n'],
  ['no version', 'GET /\r\nHost: a.mesh\r\n\r\n'],
  ['a lower-case version', 'GET / http/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a.mesh\r\n\r\n'],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a.mesh\r\n\r\n'],
  ['HTTP/1.10', 'GET / HTTP/1.10\r\nHost: a.mesh\r\n\r\n'],
  ['HTTP/01.1', 'GET / HTTP/01.1\r\nHost: a.mesh\r\n\r\n'],
  ['a method that is no token', 'G(T / HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['a method of 40 letters', `${'A'.repeat(40)} / HTTP/1.1\r\nHost: a.mesh\r\n\r\n`],
  ['CONNECT to a path', 'CONNECT /a HTTP/1.1\r\nHost: a.mesh\r\n\r\n'],
  ['an Expect of something else', get('Expect: 200-ok\r\n')],
  ['Connection that names X-Forwarded-Client-Cert', get('Connection: close, X-Forwarded-Client-Cert\r\n')],
  ['Connection that names Authorization', get('Connection: authorization\r\n')],
  ['Connection that names Host', get('Connection: host\r\n')],
  ['Connection that names a header of the mesh', get('Connection: fairlead-timeout\r\n')],
  ['an underscore imitation of a header of the mesh', get('fairlead_instance: x\r\n')],
  ['an underscore imitation of XFCC', get('X_Forwarded_Client_Cert: x\r\n')],
  ['an underscore imitation of Content-Length', get('Content_Length: 5\r\n')],
  ['the start of a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
]

test.each(REFUSED)('request head: 400 when it has %s', (_offence, text) => {
  expect(codeOf(text)).toBe('BAD_REQUEST')
})

test('request head: 431 when it has 101 fields', () => {
  expect(codeOf(get('X: y\r\n'.repeat(100)))).toBe('HEADERS_TOO_LARGE')
  expect(codeOf(get('X: y\r\n'.repeat(99)))).toBe('accepted')
})

test('request head: 431 when it has more than 32 KiB, complete or not', () => {
  expect(codeOf(get(`X: ${'y'.repeat(33_000)}\r\n`))).toBe('HEADERS_TOO_LARGE')
  expect(codeOf(`GET / HTTP/1.1\r\nHost: a.mesh\r\nX: ${'y'.repeat(33_000)}`)).toBe('HEADERS_TOO_LARGE')
  expect(codeOf(`GET /${'y'.repeat(33_000)}`)).toBe('HEADERS_TOO_LARGE')
  expect(codeOf(get(`X: ${'y'.repeat(32_000)}\r\n`))).toBe('accepted')
})

test('request head: takes out framing and hop-by-hop fields, keeps the others in order', () => {
  const head = parse(
    'POST /a?b=c HTTP/1.1\r\nHOST: A.Mesh\r\ncontent-length: 5\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n' +
      'Keep-Alive: timeout=5\r\nTE: trailers\r\nX-One:  1 \t\r\nProxy-Authorization: Basic x\r\nx-two:\r\nX-One: 2\r\n\r\nhello',
  )!
  expect(head).toMatchObject({ method: 'POST', path: '/a', query: '?b=c', host: 'A.Mesh', body: 5, close: false })
  expect(head.authority).toMatchObject({ kind: 'mesh', canonical: 'a.default.mesh' })
  expect(head.fields).toEqual(['x-one', '1', 'x-two', '', 'x-one', '2'])
})

test.each([
  ['GET http://b.mesh/x?y HTTP/1.1\r\nHost: a.mesh\r\n\r\n', 'b.mesh', '/x', '?y'],
  ['GET HTTP://b.mesh HTTP/1.1\r\nHost: a.mesh\r\n\r\n', 'b.mesh', '/', ''],
  ['GET http://b.mesh?y=/z HTTP/1.1\r\nHost: a.mesh\r\n\r\n', 'b.mesh', '/', '?y=/z'],
  ['GET http://b.mesh:81/../x HTTP/1.1\r\nHost: a.mesh\r\n\r\n', '', '', ''],
  ['GET http://[::1]:81/x HTTP/1.1\r\nHost: a.mesh\r\n\r\n', '[::1]:81', '/x', ''],
])('request head: absolute-form replaces Host in %j', (text, host, path, query) => {
  if (host === '') expect(codeOf(text)).toBe('BAD_REQUEST')
  else expect(parse(text)).toMatchObject({ host, path, query })
})

test('request head: names the upgrade and the end of the connection', () => {
  expect(parse(get('Upgrade: websocket\r\nConnection: Upgrade\r\n'))).toMatchObject({ upgrade: 'websocket' })
  expect(parse(get('Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n'))).toMatchObject({
    upgrade: '',
    fields: [],
  })
  expect(parse(get('Connection: close\r\n'))!.close).toBe(true)
  expect(parse('GET / HTTP/1.0\r\nHost: a.mesh\r\n\r\n')).toMatchObject({ close: true, http10: true })
})

test('request head: obs-text in a value passes byte for byte', () => {
  expect(parse(get('X: \xe4\xff\x80\r\n'))!.fields).toEqual(['x', '\xe4\xff\x80'])
})

const fieldName = fc
  .stringMatching(/^[A-Za-z0-9-]{1,20}$/)
  .filter(
    (name) =>
      !/^(host|content-length|transfer-encoding|connection|expect|upgrade|keep-alive|te|trailer|proxy-.*|http2-settings)$/i.test(
        name,
      ),
  )
const fieldValue = fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/)

test('request head: any prefix is incomplete and the whole is the same when it arrives in pieces', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fieldName, fieldValue), { maxLength: 8 }), fc.nat(), (fields, cut) => {
      const text = `PUT /p/${fields.length}?q HTTP/1.1\r\nHost: a.mesh\r\n${fields.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`
      const bytes = Buffer.from(`${text}rest of the body`, 'latin1')
      const part = cut % text.length
      expect(parseRequestHead(bytes, 0, part)).toBeUndefined()
      const moved = Buffer.concat([Buffer.from('xx'), bytes])
      const head = parseRequestHead(bytes, 0, bytes.length)!
      expect(head.end).toBe(text.length)
      expect(head.fields).toEqual(fields.flatMap(([n, v]) => [n.toLowerCase(), v]))
      expect(parseRequestHead(moved, 2, moved.length)).toEqual({ ...head, end: head.end + 2 })
    }),
  )
})

test('request head: random bytes are refused or incomplete, and never throw anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(['BAD_REQUEST', 'incomplete']).toContain(codeOf(Buffer.from(bytes).toString('latin1')))
    }),
    { numRuns: 2_000 },
  )
})
