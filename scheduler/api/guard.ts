// guard.ts — who may call the job API, decided before a byte of the body is read.
//
// Order: Host (DNS rebinding) → Origin (a foreign page in the user's browser) → key. The key carries the tenant.
// /healthz, /readyz and /metrics need no key. The worker session endpoints need none either: they need the identity
// that the own sidecar vouches for (x-forwarded-client-cert); what it must say, scheduler/dispatch decides.

import { hash, timingSafeEqual } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { FastifyRequest } from 'fastify'
import { DEFAULT_NAMESPACE, parseAuthority } from '../../kernel/authority.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { HEARTBEAT_PATH, LEAVE_PATH, SESSION_PATH } from '../../workers/contract.ts'

export const DEFAULT_TENANT = 'default'
/** The service name under which the mesh knows schedulers. */
const SERVICE = 'scheduler'
const OPEN_PATHS: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics'])
const WORKER_PATHS: ReadonlySet<string> = new Set([SESSION_PATH, HEARTBEAT_PATH, LEAVE_PATH])
const KEY_CHARACTERS_MIN = 32
const PEER_HEADER = 'x-forwarded-client-cert'

export interface ApiKey {
  matches(candidate: unknown): boolean
}

/** @throws FairleadError INVALID_INPUT when the file is missing, others may read it, or its key is short. */
export function readApiKey(path: string): ApiKey {
  const { text, mode } = readKeyFile(path)
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    throw new FairleadError('INVALID_INPUT', `${path} may be read by others; run \`chmod 600 ${path}\`.`)
  }
  if (text.length < KEY_CHARACTERS_MIN) {
    throw new FairleadError('INVALID_INPUT', `The API key in ${path} has fewer than ${KEY_CHARACTERS_MIN} characters.`)
  }
  return apiKey(text)
}

function readKeyFile(path: string): { text: string; mode: number } {
  try {
    return { text: readFileSync(path, 'utf8').trim(), mode: statSync(path).mode }
  } catch (cause) {
    throw new FairleadError('INVALID_INPUT', `The API key file ${path} cannot be read.`, { cause })
  }
}

export function apiKey(text: string): ApiKey {
  const expected = digest(text)
  return {
    // Both sides hashed: equal lengths, and the time says nothing about the key.
    matches: (candidate) => typeof candidate === 'string' && timingSafeEqual(digest(candidate), expected),
  }
}

/** @throws FairleadError HOST_NOT_ALLOWED, FOREIGN_ORIGIN, UNAUTHENTICATED */
export function guard(key: ApiKey, request: FastifyRequest): void {
  const { host, origin } = request.headers
  if (!isOwnHost(host)) throw new FairleadError('HOST_NOT_ALLOWED', 'This API is not called by that host name.')
  if (origin !== undefined && origin !== `http://${host}`) {
    throw new FairleadError('FOREIGN_ORIGIN', 'Pages of another origin may not call this API.')
  }
  const path = request.url.split('?', 1)[0]!
  if (OPEN_PATHS.has(path)) return
  if (WORKER_PATHS.has(path)) {
    if (request.headers[PEER_HEADER] !== undefined) return
    throw new FairleadError('UNAUTHENTICATED', 'Worker sessions are opened through the mesh, with an identity.')
  }
  if (!key.matches(request.headers['x-api-key'])) {
    throw new FairleadError('UNAUTHENTICATED', 'The header X-API-Key is missing or wrong.')
  }
}

/** Loopback names, and the mesh's names for this service. */
export function isOwnHost(host: string | undefined): boolean {
  if (host === undefined) return false
  try {
    const authority = parseAuthority(host)
    if (authority.kind === 'mesh') return authority.service === SERVICE && authority.namespace === DEFAULT_NAMESPACE
    if (authority.address === 'ipv4') return authority.host.startsWith('127.')
    return authority.address === 'ipv6' ? authority.host === '::1' : authority.host === 'localhost'
  } catch {
    return false // not an authority at all: nobody's name
  }
}

const digest = (text: string): Buffer => hash('sha256', text, 'buffer')
