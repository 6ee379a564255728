import 'reflect-metadata'
import { createPublicKey, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { expect, test } from 'vitest'
import { createCsr, parseCsr } from '../../certs/csr.ts'
import { generateKey, keyToPem, samePublicKey } from '../../certs/keys.ts'
import { parsePem, toPem } from '../../certs/pem.ts'
import { ecKeys, edKeys, isCa, type Keys, rsaKeys, san } from './forgery.ts'

const refused = (why: RegExp) => ({ code: 'CSR_INVALID', message: expect.stringMatching(why) })

async function request(keys: Keys, extensions: x509.Extension[] = []): Promise<string> {
  const signingAlgorithm = { hash: 'SHA-256', ...keys.privateKey.algorithm }
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=admin',
    keys,
    signingAlgorithm,
    extensions,
  })
  return csr.toString('pem')
}

test('request: gives the key that signed it, and nothing else', async () => {
  const key = await generateKey()
  const proven = await parseCsr(await createCsr(key))
  expect(Object.keys(proven)).toEqual(['publicKey'])
  expect(samePublicKey(proven.publicKey, key)).toBe(true)
})

test('request: names, CA flags and attributes in it reach nobody', async () => {
  const keys = await ecKeys()
  const csr = await request(keys, [isCa(true), san([['uri', 'spiffe://fairlead.local/ns/default/sa/admin']])])
  const spki = Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey))
  const expected = createPublicKey({ key: spki, format: 'der', type: 'spki' })
  expect(samePublicKey((await parseCsr(csr)).publicKey, expected)).toBe(true)
})

test('request: refused when the key is not P-256', async () => {
  for (const keys of [await ecKeys('P-384'), await rsaKeys(2048), await edKeys()]) {
    await expect(parseCsr(await request(keys))).rejects.toMatchObject(refused(/only EC P-256/))
  }
})

test('request: refused when somebody else signed it', async () => {
  const [mine, theirs] = [await ecKeys(), await ecKeys()]
  const csr = await request({ publicKey: theirs.publicKey, privateKey: mine.privateKey })
  await expect(parseCsr(csr)).rejects.toMatchObject(refused(/not signed by its own key/))
})

test('request: refused when any bit of it was changed', async () => {
  const der = parsePem(await createCsr(await generateKey()), 'x')[0]!.der
  for (let at = 4; at < der.length; at += 7) {
    const copy = Uint8Array.from(der)
    copy[at]! ^= 1
    await expect(parseCsr(toPem('CERTIFICATE REQUEST', copy)), `byte ${at}`).rejects.toMatchObject({
      code: 'CSR_INVALID',
    })
  }
})

test('request: refused when it is not exactly one PKCS#10 block', async () => {
  const csr = await createCsr(await generateKey())
  const key = keyToPem(await generateKey())
  const cases = ['', 'hello', csr + csr, key, csr + key, toPem('CERTIFICATE REQUEST', new Uint8Array([0x30, 0]))]
  const relabelled = csr.replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE')
  const tail = toPem('CERTIFICATE REQUEST', Buffer.concat([parsePem(csr, 'x')[0]!.der, Buffer.from('tail')]))
  for (const text of [...cases, relabelled, tail, csr.slice(0, -20), ' '.repeat(17_000) + csr]) {
    await expect(parseCsr(text), text.slice(0, 60)).rejects.toMatchObject({ code: 'CSR_INVALID' })
  }
})
