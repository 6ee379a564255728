import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { parseCertificates } from '../../certs/pem.ts'
import { certInspect, certVerify } from '../../cli/cert.ts'
import { isoTime, wallPlus } from '../../kernel/clock.ts'
import { leafExtensions, make, san } from '../certs/forgery.ts'
import { foreignPki, testPki } from '../support/pki.ts'

const dir = mkdtempSync(join(tmpdir(), 'fairlead-cert-'))
afterAll(() => rmSync(dir, { recursive: true }))
afterEach(() => {
  vi.restoreAllMocks()
})
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(dir, name), content)
  return join(dir, name)
}

const pki = await testPki()
const worker = await pki.issue('worker', { dnsNames: ['worker.mesh'] })
const bundle = file('bundle.pem', pki.bundlePem)
const foreign = file('foreign.pem', (await foreignPki()).bundlePem)
const chain = file('chain.pem', worker.chainPem)
const key = file('key.pem', worker.keyPem)

async function run(command: () => Promise<number>): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' }
  const into = (name: 'out' | 'err') => (text: string | Uint8Array) => {
    written[name] += text
    return true
  }
  vi.spyOn(process.stdout, 'write').mockImplementation(into('out'))
  vi.spyOn(process.stderr, 'write').mockImplementation(into('err'))
  const code = await command()
  vi.restoreAllMocks()
  return { code, ...written }
}

const verify = (options: Partial<Parameters<typeof certVerify>[0]> = {}) =>
  run(() => certVerify({ bundle, chain, ...options }))

test('cert verify: ok and exit 0 when the chain is in order', async () => {
  const { code, out, err } = await verify({ json: true, id: worker.spiffeId, hostname: 'worker.mesh' })
  expect([code, err]).toEqual([0, ''])
  expect(JSON.parse(out)).toEqual({
    ok: true,
    spiffeId: worker.spiffeId,
    reasons: [],
    notAfter: isoTime(worker.notAfter),
  })
})

test('cert verify: every reason and exit 1 when conditions fail', async () => {
  const at = isoTime(wallPlus(worker.notAfter, 1000))
  const { code, out } = await verify({
    json: true,
    bundle: foreign,
    id: `${worker.spiffeId}2`,
    hostname: 'other.mesh',
    at,
  })
  expect(code).toBe(1)
  expect(JSON.parse(out)).toEqual({
    ok: false,
    spiffeId: worker.spiffeId,
    reasons: expect.arrayContaining(['UNTRUSTED_ROOT', 'EXPIRED', 'ID_MISMATCH', 'HOSTNAME_MISMATCH']),
    notAfter: isoTime(worker.notAfter),
  })
})

test('cert verify: conditions are ANDed', async () => {
  expect((await verify({ id: worker.spiffeId })).code).toBe(0)
  expect((await verify({ id: worker.spiffeId, hostname: 'other.mesh' })).code).toBe(1)
  expect((await verify({ id: `${worker.spiffeId}2`, hostname: 'worker.mesh' })).code).toBe(1)
})

test('cert verify: tells people the code and its sentence', async () => {
  const { out } = await verify({ bundle: foreign })
  expect(out).toContain(`refused  ${worker.spiffeId} (claimed)`)
  expect(out).toContain('UNTRUSTED_ROOT: No root of the trust bundle signed the end of the chain.')
})

test('cert verify: answers null when there is neither id nor end', async () => {
  const garbage = file('garbage.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  const { code, out } = await verify({ json: true, chain: garbage })
  expect(code).toBe(1)
  expect(JSON.parse(out)).toEqual({ ok: false, spiffeId: null, reasons: ['MALFORMED'], notAfter: null })
})

test('cert verify: takes times with an offset, and looks from there', async () => {
  const before = '2020-01-01T00:00:00+01:00'
  expect(JSON.parse((await verify({ json: true, at: before })).out).reasons).toEqual(['NOT_YET_VALID'])
})

const UNUSABLE: [string, Partial<Parameters<typeof certVerify>[0]>][] = [
  ['the bundle is missing', { bundle: join(dir, 'none.pem') }],
  ['the chain is missing', { chain: join(dir, 'none.pem') }],
  ['the chain is a folder', { chain: dir }],
  ['the chain is a key', { chain: key }],
  ['the bundle is a key', { bundle: key }],
  ['the chain is empty', { chain: file('empty.pem', '') }],
  ['the chain ends too early', { chain: file('cut.pem', worker.chainPem.slice(0, 300)) }],
  [
    'the bundle holds garbage',
    { bundle: file('bad.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n') },
  ],
  ['the id is none', { id: 'worker' }],
  ['the id is upper case', { id: 'SPIFFE://a/b' }],
  ['the host name is none', { hostname: 'a b' }],
  ['the host name is empty', { hostname: '' }],
  ['the host name is a URL', { hostname: 'https://worker.mesh' }],
  ['the time is no time', { at: 'tomorrow' }],
  ['the time has no zone', { at: '2026-01-01T00:00:00' }],
  ['the day does not exist', { at: '2026-02-30T00:00:00Z' }],
  ['the hour does not exist', { at: '2026-02-20T25:00:00Z' }],
]
test.each(UNUSABLE)('cert verify: exit 2 and one clear message when %s', async (_, options) => {
  const { code, out, err } = await verify({ json: true, ...options })
  expect([code, out]).toEqual([2, ''])
  expect(err).toMatch(/^error [A-Z_]+: .+\nhint {2}.+\n$/)
})

test('cert inspect: says what each certificate of a PEM file says', async () => {
  const { code, out } = await run(() => certInspect(chain, { json: true }))
  expect(code).toBe(0)
  const { certificates } = JSON.parse(out)
  expect(certificates).toHaveLength(2)
  expect(certificates[0]).toMatchObject({
    isCa: false,
    spiffeId: worker.spiffeId,
    dnsNames: ['worker.mesh'],
    key: 'EC prime256v1',
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['serverAuth', 'clientAuth'],
    notAfter: isoTime(worker.notAfter),
    problems: [],
  })
  expect(certificates[1]).toMatchObject({ isCa: true, spiffeId: 'spiffe://fairlead.local', problems: [] })
})

test('cert inspect: reads DER too', async () => {
  const der = file('leaf.der', parseCertificates(worker.chainPem, 'chain')[0]!)
  const { code, out } = await run(() => certInspect(der))
  expect([code, out.includes(worker.spiffeId), out.includes('keeps the rules')]).toEqual([0, true, true])
})

test('cert inspect: names problems, and sends no control byte of a hostile name to the terminal', async () => {
  const names = san([
    ['uri', 'spiffe://a/b\x1b[2J'],
    ['dns', 'x\r\nok: all is well'],
  ])
  const { der } = await make({ name: 'CN=\x1b[31mred', extensions: leafExtensions({ names }) })
  const { code, out } = await run(() => certInspect(file('hostile.der', der)))
  expect(code).toBe(0)
  expect(out).toContain('SPIFFE_ID_INVALID')
  expect(out).toContain('\\x1b[2J')
  expect(out).not.toMatch(/[\x00-\x09\x0b-\x1f]/)
  expect(out).not.toMatch(/^ok:/m)
})

test('cert inspect: exit 2 when the file is missing or holds no certificate', async () => {
  for (const path of [join(dir, 'none'), key, file('text.txt', 'hello')]) {
    const { code, out, err } = await run(() => certInspect(path, { json: true }))
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(/^error /)
  }
})
