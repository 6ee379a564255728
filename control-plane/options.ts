// options.ts — the flags of the control plane. Secrets come as files only.

import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { isTrustDomain } from '../certs/spiffe.ts'
import { FairleadError } from '../kernel/errors.ts'
import { type Listen, parseListen, parseLoopbackListen } from './loopback.ts'

export interface Options {
  readonly state: string
  readonly api: Listen
  readonly stream: Listen
  /** Undefined: no built-in registry. */
  readonly registry: Listen | undefined
  /** Undefined: the built-in registry. */
  readonly consul: string | undefined
  readonly apiKeyFile: string
  readonly sealSecretFile: string
  readonly trustDomain: string
  readonly config: string | undefined
  readonly dangerShortTtlMs: number | undefined
}

const TEXT = { type: 'string' } as const

/** @throws FairleadError INVALID_INPUT */
export function parseOptions(args: readonly string[], env: NodeJS.ProcessEnv): Options {
  const flags = read(args)
  const state = needed(flags, 'state')
  const trustDomain = flags['trust-domain'] ?? 'fairlead.local'
  if (!isTrustDomain(trustDomain)) throw bad(`--trust-domain ${trustDomain} is no trust domain.`)
  const { registry, consul } = flags
  if (registry === undefined && consul === undefined) throw bad('One of --registry and --consul is needed.')
  return {
    state,
    api: parseLoopbackListen(needed(flags, 'api'), '--api'),
    stream: parseListen(needed(flags, 'stream'), '--stream'),
    registry: registry === undefined ? undefined : parseLoopbackListen(registry, '--registry'),
    consul,
    apiKeyFile: needed(flags, 'api-key-file'),
    sealSecretFile: flags['seal-secret-file'] ?? env['FAIRLEAD_SEAL_SECRET_FILE'] ?? join(state, 'seal.secret'),
    trustDomain,
    config: flags.config,
    dangerShortTtlMs: flags['danger-short-ttl-ms'] === undefined ? undefined : ms(flags['danger-short-ttl-ms']),
  }
}

type Flags = ReturnType<typeof read>

function read(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        state: TEXT,
        api: TEXT,
        stream: TEXT,
        registry: TEXT,
        consul: TEXT,
        'api-key-file': TEXT,
        'seal-secret-file': TEXT,
        'trust-domain': TEXT,
        config: TEXT,
        'danger-short-ttl-ms': TEXT,
      },
    }).values
  } catch (cause) {
    throw new FairleadError('INVALID_INPUT', cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function needed(flags: Flags, name: keyof Flags): string {
  const value = flags[name]
  if (value === undefined || value === '') throw bad(`--${name} is needed.`)
  return value
}

function ms(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1000) throw bad('--danger-short-ttl-ms is at least 1000.')
  return value
}

const bad = (text: string): FairleadError => new FairleadError('INVALID_INPUT', text)
