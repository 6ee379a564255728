// csr.ts — certificate requests (PKCS#10): how a sidecar shows its public key and proves that it holds the private one.
//
// Of a request the authority believes the public key and nothing else: names, extensions and attributes are ignored
// (reliability §4.4 T13). The identity comes from the join token or the current SVID.

import 'reflect-metadata'
import { createPublicKey, type KeyObject } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { FairleadError } from '../kernel/errors.ts'
import { readDer } from './der.ts'
import { describe, ECDSA_P256, isP256 } from './keys.ts'
import { parsePem } from './pem.ts'

export const CSR_BYTES_MAX = 16 * 1024
const LABELS = new Set(['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'])

export interface ProvenKey {
  readonly publicKey: KeyObject
}

/** A request without any name, PEM. */
export async function createCsr(key: KeyObject): Promise<string> {
  const keys = {
    privateKey: key.toCryptoKey(ECDSA_P256, false, ['sign']),
    publicKey: createPublicKey(key.export({ type: 'pkcs8', format: 'pem' })).toCryptoKey(ECDSA_P256, true, ['verify']),
  }
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: { ...ECDSA_P256, hash: 'SHA-256' },
  })
  return `${request.toString('pem')}\n`
}

/** Parses the request and checks its proof of possession. @throws FairleadError CSR_INVALID */
export async function parseCsr(pem: string): Promise<ProvenKey> {
  const request = parseRequest(pem)
  const publicKey = parsePublicKey(request)
  if (!isP256(publicKey)) throw bad(`its key is ${describe(publicKey)}; only EC P-256 is signed`)
  if (!(await provesPossession(request))) throw bad('it is not signed by its own key')
  return { publicKey }
}

function parseRequest(pem: string): x509.Pkcs10CertificateRequest {
  if (pem.length > CSR_BYTES_MAX) throw bad(`it is longer than ${CSR_BYTES_MAX} bytes`)
  const blocks = parsePem(pem, 'Certificate request', 'CSR_INVALID')
  const [block] = blocks
  if (blocks.length !== 1 || !block || !LABELS.has(block.label)) throw bad('it is not one CERTIFICATE REQUEST block')
  try {
    readDer(block.der) // the library would ignore bytes behind the end
    return new x509.Pkcs10CertificateRequest(block.der as Uint8Array<ArrayBuffer>)
  } catch (cause) {
    throw bad('it is not PKCS#10', cause)
  }
}

function parsePublicKey(request: x509.Pkcs10CertificateRequest): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' })
  } catch (cause) {
    throw bad('its public key cannot be read', cause)
  }
}

async function provesPossession(request: x509.Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify()
  } catch (cause) {
    throw bad('its signature cannot be checked', cause)
  }
}

function bad(why: string, cause?: unknown): FairleadError {
  return new FairleadError('CSR_INVALID', `Certificate request refused: ${why}.`, cause === undefined ? {} : { cause })
}
