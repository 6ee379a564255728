// options.ts — the flags of the scheduler. Secrets come as files only.

import { parseArgs } from 'node:util'
import { type Authority, parseAuthority } from '../kernel/authority.ts'
import { FairleadError } from '../kernel/errors.ts'

export interface Options {
  readonly state: string
  readonly host: string
  readonly port: number
  /** Origin of the own sidecar's outbound listener. */
  readonly sidecar: string
  readonly apiKeyFile: string
  /** URL of a PostgreSQL; undefined: the embedded store in `state`. */
  readonly database: string | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

const TEXT = { type: 'string' } as const

/** @throws FairleadError INVALID_INPUT */
export function parseOptions(args: readonly string[], env: Environment = {}): Options {
  const flags = read(args)
  return {
    state: needed(flags, 'state'),
    ...parseListen(needed(flags, 'listen')),
    sidecar: parseSidecar(needed(flags, 'sidecar')),
    apiKeyFile: needed(flags, 'api-key-file'),
    database: parseDatabase(flags.database, env),
  }
}

/** `--database URL|env|embedded`; without it DATABASE_URL counts when it is set. @throws INVALID_INPUT */
export function parseDatabase(flag: string | undefined, env: Environment): string | undefined {
  if (flag === 'embedded') return undefined
  const text = flag === undefined || flag === 'env' ? env['DATABASE_URL'] : flag
  if (flag === undefined && (text === undefined || text === '')) return undefined
  if (text === undefined || text === '') throw bad('--database env: DATABASE_URL is not set.')
  const url = URL.canParse(text) ? new URL(text) : undefined
  // The URL itself is not repeated: it may hold a password.
  if (url && (url.protocol === 'postgresql:' || url.protocol === 'postgres:')) return text
  throw bad('--database: expected postgresql://USER@HOST/NAME, env, or embedded.')
}

type Flags = ReturnType<typeof read>

function read(args: readonly string[]) {
  try {
    const options = { state: TEXT, listen: TEXT, sidecar: TEXT, 'api-key-file': TEXT, database: TEXT }
    return parseArgs({ args: [...args], options }).values
  } catch (cause) {
    throw new FairleadError('INVALID_INPUT', cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function needed(flags: Flags, name: keyof Flags): string {
  const value = flags[name]
  if (value === undefined || value === '') throw bad(`--${name} is needed.`)
  return value
}

/** `HOST:PORT` on loopback: callers from other machines come through the mesh. Port 0 = any free one. */
function parseListen(text: string): { host: string; port: number } {
  const zero = text.endsWith(':0')
  const authority = authorityOf(zero ? text.slice(0, -2) : text)
  const port = zero ? 0 : authority.port
  if (port === undefined) throw bad(`--listen ${text}: expected HOST:PORT.`)
  if (authority.kind === 'outside') {
    const { address, host } = authority
    if (host === 'localhost' || host === '::1' || (address === 'ipv4' && host.startsWith('127.'))) return { host, port }
  }
  throw bad(`--listen ${text}: only loopback addresses are served here; others call through the mesh.`)
}

function authorityOf(text: string): Authority {
  try {
    return parseAuthority(text)
  } catch (cause) {
    throw new FairleadError('INVALID_INPUT', `--listen ${text}: expected HOST:PORT.`, { cause })
  }
}

function parseSidecar(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'http:' || url.pathname !== '/' || url.username !== '' || url.search !== '') {
    throw bad(`--sidecar ${text}: expected http://HOST:PORT.`)
  }
  return url.origin
}

const bad = (text: string): FairleadError => new FairleadError('INVALID_INPUT', text)
