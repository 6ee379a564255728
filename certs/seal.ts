// seal.ts — signing keys at rest: scrypt + AES-256-GCM, as four lines of text (reliability §4.4 T16).
//
// fairlead-seal-1 / salt / nonce / ciphertext and tag, base64url. Version 1 fixes every parameter: a changed file can't
// ask for weaker or dearer ones. The label says what is sealed and is authenticated, so that two files can't be swapped.

import { createCipheriv, createDecipheriv, scrypt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { FairleadError } from '../kernel/errors.ts'
import type { Random } from '../kernel/random.ts'
import { writePrivateFile } from './private-file.ts'

export interface Sealer {
  /** UTF-8 text. */
  seal(plain: Uint8Array, label: string): Promise<Uint8Array>
  /** @throws FairleadError KEY_SEAL_INVALID when secret or label is another one, or a byte was changed. */
  open(sealed: Uint8Array, label: string): Promise<Uint8Array>
}

const VERSION = 'fairlead-seal-1'
/** OWASP's equal of N = 2^17, p = 1 in 32 MiB; 0.2 s. */
const SCRYPT = { N: 2 ** 15, r: 8, p: 3, maxmem: 64 * 1024 * 1024 }
const KEY_BYTES = 32
const SALT_BYTES = 16
const NONCE_BYTES = 12
const TAG_BYTES = 16
export const SECRET_BYTES_MIN = 16
export const SEALED_BYTES_MAX = 64 * 1024

/** `secret`: a passphrase or the bytes of a key file. `random` must be cryptographic. */
export function createSealer(secret: Uint8Array, random: Random): Sealer {
  if (secret.length < SECRET_BYTES_MIN) {
    throw new FairleadError('KEY_SEAL_INVALID', `The sealing secret has fewer than ${SECRET_BYTES_MIN} bytes.`)
  }
  return {
    async seal(plain, label) {
      const salt = random.bytes(SALT_BYTES)
      const nonce = random.bytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', await derive(secret, salt), nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(authenticated(label))
      const box = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
      return Buffer.from(format({ salt, nonce, box }))
    },
    async open(sealed, label) {
      const { salt, nonce, box } = parse(sealed, label)
      const cipher = createDecipheriv('aes-256-gcm', await derive(secret, salt), nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(authenticated(label))
      cipher.setAuthTag(box.subarray(-TAG_BYTES))
      try {
        return Buffer.concat([cipher.update(box.subarray(0, -TAG_BYTES)), cipher.final()])
      } catch (cause) {
        throw bad(label, 'does not open with this secret', cause)
      }
    },
  }
}

export async function saveSealed(path: string, sealer: Sealer, plain: Uint8Array, label: string): Promise<void> {
  await writePrivateFile(path, await sealer.seal(plain, label))
}

/** @throws FairleadError KEY_SEAL_INVALID */
export async function loadSealed(path: string, sealer: Sealer, label: string): Promise<Uint8Array> {
  let sealed: Uint8Array
  try {
    sealed = await readFile(path)
  } catch (cause) {
    throw bad(label, `cannot be read from ${path}`, cause)
  }
  return await sealer.open(sealed, label)
}

interface Sealed {
  readonly salt: Uint8Array
  readonly nonce: Uint8Array
  readonly box: Uint8Array
}

function format({ salt, nonce, box }: Sealed): string {
  return `${[VERSION, ...[salt, nonce, box].map((bytes) => Buffer.from(bytes).toString('base64url'))].join('\n')}\n`
}

/** Only what `format` writes. */
function parse(bytes: Uint8Array, label: string): Sealed {
  if (bytes.length > SEALED_BYTES_MAX) throw bad(label, `is longer than ${SEALED_BYTES_MAX} bytes`)
  const text = Buffer.from(bytes).toString('latin1')
  const [version, ...fields] = text.split('\n')
  if (version !== VERSION) throw bad(label, `is not ${VERSION}`)
  const [salt, nonce, box] = fields.map((field) => new Uint8Array(Buffer.from(field, 'base64url')))
  if (salt?.length !== SALT_BYTES || nonce?.length !== NONCE_BYTES || !box || box.length < TAG_BYTES) {
    throw bad(label, 'has fields of the wrong size')
  }
  if (format({ salt, nonce, box }) !== text) throw bad(label, 'is written in another way than it was sealed')
  return { salt, nonce, box }
}

function derive(secret: Uint8Array, salt: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, KEY_BYTES, SCRYPT, (error, key) => (error ? reject(error) : resolve(key)))
  })
}

function authenticated(label: string): Buffer {
  return Buffer.from(`${VERSION}\n${label}`)
}

function bad(label: string, why: string, cause?: unknown): FairleadError {
  const extra = cause === undefined ? {} : { cause }
  return new FairleadError('KEY_SEAL_INVALID', `What is sealed as ${JSON.stringify(label)} ${why}.`, extra)
}
