// signing.ts — asks a control plane to sign our certificate request: POST /v1/identity/sign over a verified connection.
//
// What comes back is judged like a peer's: our key, our id, a chain that the returned bundle vouches for.

import { type KeyObject, X509Certificate } from 'node:crypto'
import { request } from 'node:http'
import { createCsr } from '../../certs/csr.ts'
import { keyToPem, samePublicKey } from '../../certs/keys.ts'
import { parseCertificates } from '../../certs/pem.ts'
import { parseServiceId } from '../../certs/spiffe.ts'
import { verifyChain } from '../../certs/verify.ts'
import { SIGN_PATH, SignAnswerSchema } from '../../control-plane/contract.ts'
import type { Clock } from '../../kernel/clock.ts'
import { type ErrorCode, FairleadError } from '../../kernel/errors.ts'
import { parseJson, parseWith, z } from '../../kernel/parse.ts'
import { type DialOptions, dialControlPlane } from './dial.ts'
import type { StoredIdentity } from './identity-store.ts'

export const SIGN_MS = 10_000
const ANSWER_BYTES_MAX = 256 * 1024
const RETRY_AFTER_S_MAX = 60

export interface SignOptions extends DialOptions {
  readonly key: KeyObject
  /** Absent when the SVID on the connection speaks for us. */
  readonly joinToken?: string | undefined
  readonly service: string
  readonly namespace: string
}

/** @throws FairleadError UNREACHABLE, PEER_IDENTITY_INVALID, JOIN_TOKEN_INVALID and others of the answer */
export async function askForCertificate(options: SignOptions): Promise<StoredIdentity> {
  const body = {
    csr: await createCsr(options.key),
    ...(options.joinToken === undefined ? {} : { joinToken: options.joinToken }),
  }
  const answer = parseWith(SignAnswerSchema, await post(options, JSON.stringify(body)), 'answer of the control plane')
  return judged(answer, options)
}

function judged(answer: z.infer<typeof SignAnswerSchema>, options: SignOptions): StoredIdentity {
  const chain = parseCertificates(answer.certificateChain, 'Signed chain')
  const bundle = answer.trustBundle.flatMap((pem) => parseCertificates(pem, 'Trust bundle'))
  const { namespace, service, trustDomain } = parseServiceId(answer.spiffeId)
  const expectId = answer.spiffeId
  const verdict = verifyChain({ chain, bundle, now: options.clock.wall(), trustDomain, expectId })
  if (!verdict.ok) throw bad(`is not in order: ${verdict.reasons.join(', ')}`)
  if (namespace !== options.namespace || service !== options.service) throw bad(`names ${answer.spiffeId}`)
  const leaf = new X509Certificate(chain[0]!)
  if (!samePublicKey(leaf.publicKey, options.key)) throw bad('is for another key')
  return {
    spiffeId: answer.spiffeId,
    keyPem: keyToPem(options.key),
    chainPem: answer.certificateChain,
    bundlePem: answer.trustBundle.join('\n'),
  }
}

async function post(options: SignOptions, body: string): Promise<unknown> {
  const socket = await dialControlPlane(options)
  try {
    const { status, text, retryAfterS } = await exchange(socket, options, body)
    const value = parseJson(text, 'answer of the control plane', ANSWER_BYTES_MAX)
    if (status === 200) return value
    throw refusal(status, value, retryAfterS)
  } finally {
    socket.destroy()
  }
}

function exchange(
  socket: Awaited<ReturnType<typeof dialControlPlane>>,
  options: SignOptions,
  body: string,
): Promise<{ status: number; text: string; retryAfterS: number | undefined }> {
  const unreachable = (cause: Error): FairleadError =>
    new FairleadError('UNREACHABLE', `Control plane ${options.url.host}: ${cause.message}`, { cause })
  return new Promise((resolve, reject) => {
    const headers = { host: options.url.host, 'content-type': 'application/json', connection: 'close' }
    const call = request({ method: 'POST', path: SIGN_PATH, headers, createConnection: () => socket })
    const timer = deadline(options.clock, () => call.destroy(new Error(`no answer within ${SIGN_MS} ms`)))
    const fail = (cause: Error): void => {
      timer.cancel()
      reject(unreachable(cause))
    }
    call.on('error', fail)
    call.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        if (text.length > ANSWER_BYTES_MAX) call.destroy(new Error('the answer is too long'))
      })
      response.on('error', fail)
      response.on('end', () => {
        timer.cancel()
        resolve({ status: response.statusCode ?? 0, text, retryAfterS: retryAfter(response.headers['retry-after']) })
      })
    })
    call.end(body)
  })
}

const deadline = (clock: Clock, run: () => void): { cancel(): void } => clock.after(SIGN_MS, run)

const RefusalSchema = z.object({ code: z.string(), detail: z.string() })

/** The control plane's own words; its code when it is one that a sidecar acts upon. */
function refusal(status: number, value: unknown, retryAfterS: number | undefined): FairleadError {
  const told = RefusalSchema.safeParse(value)
  const detail = told.success ? `${told.data.code}: ${told.data.detail}` : `status ${status}`
  const wait = retryAfterS === undefined ? {} : { retryAfterS }
  return new FairleadError(codeOf(status), `The control plane did not sign: ${detail}`, { log: { status }, ...wait })
}

function codeOf(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'JOIN_TOKEN_INVALID'
  if (status === 429) return 'RATE_LIMITED'
  return status >= 500 ? 'UNREACHABLE' : 'CSR_INVALID'
}

/** Whole seconds, as our control plane writes it; a longer wait than a minute is not believed. */
function retryAfter(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,6}$/.test(value) ? Math.min(Number(value), RETRY_AFTER_S_MAX) : undefined
}

function bad(why: string): FairleadError {
  return new FairleadError('CERT_INVALID', `The certificate that the control plane signed ${why}.`)
}
