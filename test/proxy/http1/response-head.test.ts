// Response heads: as strict as request heads.

import { expect, test } from 'vitest'
import type { FairleadError } from '../../../kernel/errors.ts'
import { parseResponseHead } from '../../../proxy/http1/response-head.ts'

const parse = (text: string, method = 'GET') => {
  const bytes = Buffer.from(text, 'latin1')
  return parseResponseHead(bytes, 0, bytes.length, method)
}
const codeOf = (text: string): string => {
  try {
    return parse(text) === undefined ? 'incomplete' : 'accepted'
  } catch (error) {
    return (error as FairleadError).code
  }
}

test.each([
  'HTTP/1.1 200 OK\nX: y\n\n',
  'HTTP/1.1 200 OK\r\nX : y\r\n\r\n',
  'HTTP/1.1 200 OK\r\n X: y\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n',
  'HTTP/1.1 200 O\x1bK\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
  'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.1 20 OK\r\n\r\n',
  'HTTP/1.1 2000 OK\r\n\r\n',
  'HTTP/1.1 099 OK\r\n\r\n',
  'HTTP/1.1 600 OK\r\n\r\n',
  'HTTP/1.1  200 OK\r\n\r\n',
  'HTTP/2.0 200 OK\r\n\r\n',
  'http/1.1 200 OK\r\n\r\n',
  'HTTP/1.1 2x0 OK\r\n\r\n',
  '<html>not http at all</html>',
  'SSH-2.0-OpenSSH_9.2\r\n',
])('response head: refused when it is %j', (text) => {
  expect(codeOf(text)).toBe('BAD_REQUEST')
})

test('response head: too large when it has more than 32 KiB or 100 fields', () => {
  expect(codeOf(`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(33_000)}\r\n\r\n`)).toBe('HEADERS_TOO_LARGE')
  expect(codeOf(`HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(101)}\r\n`)).toBe('HEADERS_TOO_LARGE')
})

test.each([
  ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', 'GET', 3],
  ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'GET', 'chunked'],
  ['HTTP/1.1 200 OK\r\n\r\n', 'GET', 'until-close'],
  ['HTTP/1.1 200\r\n\r\n', 'GET', 'until-close'],
  ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', 'HEAD', 0],
  ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'HEAD', 0],
  ['HTTP/1.1 204 No Content\r\n\r\n', 'GET', 0],
  ['HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n', 'GET', 0],
  ['HTTP/1.1 100 Continue\r\n\r\n', 'POST', 0],
])('response head: body of %j to %s is %s', (text, method, body) => {
  expect(parse(text, method)!.body).toBe(body)
})

test('response head: keeps the length that a HEAD announces, and only there', () => {
  expect(parse('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n', 'HEAD')!.fields).toEqual(['content-length', '7'])
  expect(parse('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n', 'GET')!.fields).toEqual([])
})

test('response head: closes after HTTP/1.0 and `connection: close`', () => {
  expect(parse('HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n')!.close).toBe(true)
  expect(parse('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n')!.close).toBe(true)
  expect(parse('HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n')!.close).toBe(false)
})

test('response head: every prefix is incomplete', () => {
  const text = 'HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\n\r\n'
  for (let cut = 0; cut < text.length; cut++) expect(codeOf(text.slice(0, cut))).toBe('incomplete')
})

test('response head: the lines to pass on are those of the fields, without framing and hop-by-hop', () => {
  const of = (text: string, method = 'GET') => parse(`HTTP/1.1 200 OK\r\n${text}\r\n`, method)!
  expect(of('Server: x\r\nX-A:  1 \r\nContent-Length: 3\r\nB: 2\r\nConnection: close\r\n').lines).toBe(
    'Server: x\r\nX-A:  1 \r\nB: 2\r\n',
  )
  expect(of('Content-Length: 3\r\n').lines).toBe('')
  expect(of('A: 1\r\nTransfer-Encoding: chunked\r\n').lines).toBe('A: 1\r\n')
  expect(of('Keep-Alive: timeout=5\r\nA: 1\r\n').lines).toBe('A: 1\r\n')
  // A Connection option took a field away, or HEAD announces a length: then only the fields are right.
  expect(of('A: 1\r\nConnection: a\r\n').lines).toBeUndefined()
  expect(of('A: 1\r\nContent-Length: 3\r\n', 'HEAD').lines).toBeUndefined()
})
