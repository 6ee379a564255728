// docs/mux.md says what the code does: codes, frame types, lengths, limits.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { METHOD_NAMES } from '../../../proxy/mux/names.ts'
import * as wire from '../../../proxy/mux/wire.ts'

const TYPES: readonly [string, number][] = [
  ['HELLO', wire.HELLO],
  ['REQUEST', wire.REQUEST],
  ['RESPONSE', wire.RESPONSE],
  ['DATA', wire.DATA],
  ['CREDIT', wire.CREDIT],
  ['RESET', wire.RESET],
  ['PING', wire.PING],
  ['PONG', wire.PONG],
  ['GOAWAY', wire.GOAWAY],
]

const text = readFileSync(join(import.meta.dirname, '../../../docs/mux.md'), 'utf8')

test('docs/mux.md: lists every code with its number, and no other', () => {
  const listed = [...text.matchAll(/^\| (\d+) \| ([A-Z_]+) \| [^|]+ \|$/gm)].map(([, number, name]) => [
    Number(number),
    name,
  ])
  expect(listed).toEqual(wire.CODES.map((name, number) => [number, name]))
})

test('docs/mux.md: lists every frame type with its number and longest payload', () => {
  const listed = [...text.matchAll(/^\| (\d) \| ([A-Z]+) \|(?:[^|]*\|){2} (\d+) \|$/gm)].map((row) => [
    row[2],
    Number(row[1]),
    Number(row[3]),
  ])
  expect(listed).toEqual(TYPES.map(([name, type]) => [name, type, wire.PAYLOAD_MAX[type]]))
  expect(wire.PAYLOAD_MAX.length).toBe(TYPES.length + 1)
})

test('docs/mux.md: names the methods and limits of the code', () => {
  expect(text).toContain(
    METHOD_NAMES.map((name, code) => `${code} ${name}`)
      .slice(1)
      .join(', '),
  )
  for (const limit of [wire.STREAM_CREDIT, wire.CONNECTION_CREDIT, wire.STREAM_CREDIT_GROWN, wire.STREAM_ID_MAX]) {
    expect(text).toMatch(new RegExp(`\\b${limit}\\b`))
  }
  expect(text).toContain(`At most ${wire.STREAMS_MAX} are open`)
  expect(text).toContain(`At most ${wire.MUX_FIELDS_MAX} fields`)
})

test('frames: the head of a request of the largest size fits its length', () => {
  expect(wire.HEAD_PAYLOAD_MAX).toBeLessThan(65_536)
  expect(wire.STREAM_CREDIT).toBeGreaterThanOrEqual(wire.DATA_PAYLOAD_MAX)
  expect(wire.CONNECTION_CREDIT).toBeGreaterThanOrEqual(wire.STREAM_CREDIT_GROWN)
})
