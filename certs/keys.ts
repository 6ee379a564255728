// keys.ts — the private keys of services and of our own authorities: EC P-256, PKCS#8 PEM, mode 0600 on disk.
//
// Never: logs or returns key material in an error. node-forge never sees a key of ours.

import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { FairleadError } from '../kernel/errors.ts'
import { writePrivateFile } from './private-file.ts'

/** OpenSSL's name of P-256. */
const CURVE = 'prime256v1'
export const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const
const generate = promisify(generateKeyPair)

export async function generateKey(): Promise<KeyObject> {
  const { privateKey } = await generate('ec', { namedCurve: CURVE })
  return privateKey
}

/** PKCS#8 PEM. */
export function keyToPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** @throws FairleadError KEY_INVALID */
export function parseKey(pem: string, what = 'Private key'): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (cause) {
    throw new FairleadError('KEY_INVALID', `${what} is not an unencrypted PEM private key.`, { cause })
  }
  if (!isP256(key)) throw new FairleadError('KEY_INVALID', `${what} is ${describe(key)}, not EC P-256.`)
  return key
}

export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === CURVE
}

/** `EC prime256v1`, `RSA 2048`, `ed25519`: for messages. */
export function describe(key: KeyObject): string {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  const type = key.asymmetricKeyType ?? 'an unknown key'
  if (type === 'ec') return `EC ${namedCurve ?? 'with its own parameters'}`
  return modulusLength === undefined ? type : `${type.toUpperCase()} ${modulusLength}`
}

/** SubjectPublicKeyInfo, DER: how two keys are compared. */
export function publicKeyDer(key: KeyObject): Uint8Array {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
}

export function samePublicKey(a: KeyObject, b: KeyObject): boolean {
  return Buffer.from(publicKeyDer(a)).equals(publicKeyDer(b))
}

export async function saveKey(path: string, key: KeyObject): Promise<void> {
  await writePrivateFile(path, keyToPem(key))
}

/** @throws FairleadError KEY_INVALID when the file is missing, unreadable or no P-256 key. */
export async function loadKey(path: string): Promise<KeyObject> {
  let pem: string
  try {
    pem = await readFile(path, 'utf8')
  } catch (cause) {
    throw new FairleadError('KEY_INVALID', `Cannot read the private key ${path}.`, { cause })
  }
  return parseKey(pem, `Private key ${path}`)
}
