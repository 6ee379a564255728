import forge from 'node-forge'
import { expect, test } from 'vitest'
import { parseCertificate } from '../../certs/certificate.ts'
import {
  children,
  type Der,
  DerError,
  readBoolean,
  readCount,
  readDer,
  readFlags,
  readInteger,
  readOid,
  readTime,
} from '../../certs/der.ts'
import { seededRandom } from '../../kernel/random.ts'
import { testPki } from '../support/pki.ts'
import { tlv } from './forgery.ts'

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
const pki = await testPki()

test.each([
  ['ends in its tag', ''],
  ['ends in its length', '30'],
  ['has bytes behind its end', '0500 00'],
  ['is longer than the bytes', '0402 00'],
  ['has an indefinite length', '3080 0000'],
  ['has a long length that fits the short form', '048101 00'],
  ['has a length with a leading zero', `04820080 ${'00'.repeat(128)}`],
  ['has a length of four bytes', '0484 00000001 00'],
  ['has a tag of several bytes', '1f8101 00'],
])('DER: refused when it %s', (_, hex) => {
  expect(() => readDer(bytes(hex))).toThrow(DerError)
})

const reading = (read: (element: Der) => unknown) => (hex: string) => () => read(readDer(bytes(hex)))

test('children: refused when an element is primitive or one inside runs over the end', () => {
  expect(reading(children)('0403 020101')).toThrow(DerError)
  expect(reading(children)('3003 020201')).toThrow(DerError)
  expect(reading(children)('3003 020101')()).toHaveLength(1)
})

test('OID: read as dotted text', () => {
  expect(reading(readOid)('0603 551d11')()).toBe('2.5.29.17')
  expect(reading(readOid)('0609 2a864886f70d01010b')()).toBe('1.2.840.113549.1.1.11')
  expect(reading(readOid)('0603 883703')()).toBe('2.999.3')
})

test.each(['0600', '0601 80', '0602 8001', '0603 558011', '0602 5581', '060a 2affffffffffffffff7f', '0403 551d11'])(
  'OID: refused when it is %s',
  (hex) => {
    expect(reading(readOid)(hex)).toThrow(DerError)
  },
)

test('BOOLEAN: only 00 and FF', () => {
  expect([reading(readBoolean)('0101 ff')(), reading(readBoolean)('0101 00')()]).toEqual([true, false])
  for (const hex of ['0101 01', '0100', '0102 ffff', '0201 ff']) expect(reading(readBoolean)(hex)).toThrow(DerError)
})

test('INTEGER: minimal; a count is neither negative nor large', () => {
  expect(reading(readCount)('0201 05')()).toBe(5)
  expect(reading(readCount)('0202 0080')()).toBe(128)
  for (const hex of ['0200', '0202 0001', '0202 ff80']) expect(reading(readInteger)(hex)).toThrow(DerError)
  for (const hex of ['0201 ff', '0204 01000000']) expect(reading(readCount)(hex)).toThrow(DerError)
})

test('BIT STRING: bits by name; refused when the unused count is impossible', () => {
  expect(reading(readFlags)('0302 0780')()).toBe(1)
  expect(reading(readFlags)('0302 0106')()).toBe((1 << 5) | (1 << 6))
  expect(reading(readFlags)('0303 078080')()).toBe(1 | (1 << 8))
  expect(reading(readFlags)('0301 00')()).toBe(0)
  for (const hex of ['0300', '0302 0880', '0301 01', '0402 0780']) expect(reading(readFlags)(hex)).toThrow(DerError)
})

const time = (tag: number, text: string) => () => readTime(readDer(tlv(tag, Buffer.from(text))))
test('time: both forms', () => {
  expect(time(0x17, '491231235959Z')()).toBe(Date.UTC(2049, 11, 31, 23, 59, 59))
  expect(time(0x17, '500101000000Z')()).toBe(Date.UTC(1950, 0, 1))
  expect(time(0x18, '99991231235959Z')()).toBe(Date.UTC(9999, 11, 31, 23, 59, 59))
  expect(time(0x17, '280229000000Z')(), 'leap day').toBe(Date.UTC(2028, 1, 29))
})

test.each([
  [0x17, '2601010000Z'],
  [0x17, '260101000000+0100'],
  [0x17, '20260101000000Z'],
  [0x17, '260230000000Z'],
  [0x17, '261301000000Z'],
  [0x17, '260101240000Z'],
  [0x17, '260101006000Z'],
  [0x17, '260101000060Z'],
  [0x17, '260101000000Z\n'],
  [0x18, '260101000000Z'],
  [0x18, '20260101000000.5Z'],
  [0x18, '20260101000000'],
  [0x04, '260101000000Z'],
])('time: refused when tag %i holds %s', (tag, text) => {
  expect(time(tag, text)).toThrow(DerError)
})

/** Every tag and primitive content, depth first. */
function walk(element: Der): string[] {
  if ((element.tag & 0x20) === 0) return [`${element.tag.toString(16)} ${Buffer.from(element.content).toString('hex')}`]
  return [element.tag.toString(16), ...children(element).flatMap(walk)]
}

function walkForge(element: forge.asn1.Asn1): string[] {
  const tag = element.tagClass | element.type | (element.constructed ? 0x20 : 0)
  if (typeof element.value === 'string')
    return [`${tag.toString(16)} ${Buffer.from(element.value, 'latin1').toString('hex')}`]
  return [tag.toString(16), ...element.value.flatMap(walkForge)]
}

test('certificate: node-forge reads the same elements from it', async () => {
  // The types know only the older form with one boolean.
  const options = { strict: true, parseAllBytes: true, decodeBitStrings: false } as unknown as boolean
  for (const der of [pki.root.certificate, pki.intermediate.certificate]) {
    const other = forge.asn1.fromDer(forge.util.createBuffer(Buffer.from(der).toString('latin1')), options)
    expect(walk(readDer(der))).toEqual(walkForge(other))
  }
})

test('certificate: parsed or refused, never thrown at, when bytes are changed at random', () => {
  const random = seededRandom(7)
  let parsed = 0
  for (let run = 0; run < 3000; run++) {
    const der = Uint8Array.from(pki.intermediate.certificate)
    for (let flips = 1 + random.int(3); flips > 0; flips--) der[random.int(der.length)] = random.int(256)
    if (parseCertificate(der.subarray(0, random.int(10) === 0 ? random.int(der.length) : der.length))) parsed++
  }
  expect(parsed).toBeGreaterThan(100)
  expect(parsed).toBeLessThan(2900)
})
