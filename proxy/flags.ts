// flags.ts — the command line of a sidecar: `--name value` in, a typed setting out; every mistake is told at once.
//
// Two ways to run: in a mesh (control plane, registry, identity) or standalone on a snapshot file.

import { parseArgs } from 'node:util'
import { isServiceName } from '../kernel/authority.ts'
import { FairleadError, type Problem } from '../kernel/errors.ts'

export interface HostPort {
  readonly host: string
  readonly port: number
}

export interface MeshSettings {
  readonly service: string
  readonly namespace: string
  readonly version: string
  readonly instance: string
  readonly region: string
  readonly healthPath: string
  readonly controlPlanes: readonly URL[]
  readonly trustBundleFile: string
  readonly joinTokenFile: string | undefined
  readonly consul: URL | undefined
  readonly stateDir: string
}

export interface StandaloneSettings {
  readonly snapshotFile: string
  /** All three or none. */
  readonly certificate: { readonly cert: string; readonly key: string; readonly trustBundle: string } | undefined
}

export interface Settings {
  readonly outbound: HostPort
  readonly inbound: HostPort | undefined
  readonly app: HostPort | undefined
  readonly admin: HostPort
  /** A file, `off`, or undefined for stdout. */
  readonly accessLog: string | undefined
  readonly mesh: MeshSettings | undefined
  readonly standalone: StandaloneSettings | undefined
}

const TEXT = { type: 'string' } as const
const OPTIONS = {
  service: TEXT,
  namespace: TEXT,
  version: TEXT,
  instance: TEXT,
  region: TEXT,
  app: TEXT,
  outbound: TEXT,
  inbound: TEXT,
  admin: TEXT,
  'control-plane': TEXT,
  'trust-bundle': TEXT,
  'join-token-file': TEXT,
  consul: TEXT,
  state: TEXT,
  'health-path': TEXT,
  'access-log': TEXT,
  snapshot: TEXT,
  cert: TEXT,
  key: TEXT,
} as const
type Flag = keyof typeof OPTIONS
type Values = Readonly<Partial<Record<Flag, string>>>

const MESH_NEEDS: readonly Flag[] = [
  'service',
  'version',
  'instance',
  'app',
  'inbound',
  'control-plane',
  'trust-bundle',
  'state',
]
const MESH_ONLY: readonly Flag[] = ['control-plane', 'join-token-file', 'consul', 'state', 'health-path']
const STANDALONE_ONLY: readonly Flag[] = ['cert', 'key']
const LABEL_VALUE = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/

/** @throws FairleadError INVALID_INPUT with every problem */
export function parseFlags(argv: readonly string[]): Settings {
  const problems: Problem[] = []
  const values = readFlags(argv)
  const read = new FlagReader(values, problems)
  const standalone = values.snapshot !== undefined
  for (const flag of standalone ? MESH_ONLY : STANDALONE_ONLY) {
    if (values[flag] !== undefined) read.bad(flag, `not used ${standalone ? 'with' : 'without'} --snapshot`)
  }
  if (!standalone) for (const flag of MESH_NEEDS) if (values[flag] === undefined) read.bad(flag, 'is needed')
  const settings: Settings = {
    outbound: read.hostPort('outbound') ?? { host: '127.0.0.1', port: 15_001 },
    inbound: read.hostPort('inbound'),
    app: read.hostPort('app'),
    admin: read.hostPort('admin') ?? { host: '127.0.0.1', port: 0 },
    accessLog: values['access-log'],
    mesh: standalone ? undefined : meshSettings(values, read),
    standalone: standalone ? standaloneSettings(values, read) : undefined,
  }
  if (settings.inbound && !settings.app) read.bad('app', 'is needed with --inbound')
  if (problems.length === 0) return settings
  const first = problems[0]!
  throw new FairleadError('INVALID_INPUT', `${first.path} ${first.message} (${problems.length} problem(s))`, {
    problems,
  })
}

function readFlags(argv: readonly string[]): Values {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: false }).values
  } catch (cause) {
    throw new FairleadError('INVALID_INPUT', cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function meshSettings(values: Values, read: FlagReader): MeshSettings {
  return {
    service: read.name('service', isServiceName),
    namespace: read.name('namespace', isServiceName, 'default'),
    version: read.name('version', (text) => LABEL_VALUE.test(text)),
    instance: read.name('instance', (text) => LABEL_VALUE.test(text)),
    region: read.name('region', (text) => text === '' || LABEL_VALUE.test(text)),
    healthPath: read.name('health-path', (text) => text === '' || text.startsWith('/'), '/readyz'),
    controlPlanes: (values['control-plane'] ?? '')
      .split(',')
      .filter((text) => text !== '')
      .flatMap((text) => read.url('control-plane', text, ['https:']) ?? []),
    trustBundleFile: values['trust-bundle'] ?? '',
    joinTokenFile: values['join-token-file'],
    consul: values.consul === undefined ? undefined : read.url('consul', values.consul, ['http:', 'https:']),
    stateDir: values.state ?? '',
  }
}

function standaloneSettings(values: Values, read: FlagReader): StandaloneSettings {
  const { cert, key, 'trust-bundle': trustBundle } = values
  const given = [cert, key].filter((value) => value !== undefined).length
  if (given === 1) read.bad(cert === undefined ? 'cert' : 'key', 'belongs to --cert, --key and --trust-bundle')
  const certificate =
    cert !== undefined && key !== undefined && trustBundle !== undefined ? { cert, key, trustBundle } : undefined
  if (given === 2 && trustBundle === undefined) read.bad('trust-bundle', 'is needed with --cert and --key')
  return { snapshotFile: values.snapshot!, certificate }
}

class FlagReader {
  readonly #values: Values
  readonly #problems: Problem[]

  constructor(values: Values, problems: Problem[]) {
    this.#values = values
    this.#problems = problems
  }

  bad(flag: Flag, message: string): void {
    this.#problems.push({ path: `--${flag}`, message })
  }

  name(flag: Flag, fits: (text: string) => boolean, otherwise = ''): string {
    const text = this.#values[flag]
    if (text === undefined) return otherwise
    if (!fits(text)) this.bad(flag, `is not valid: ${JSON.stringify(text)}`)
    return text
  }

  hostPort(flag: Flag): HostPort | undefined {
    const text = this.#values[flag]
    if (text === undefined) return undefined
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
    const port = Number(match?.[3])
    if (match && port <= 65_535) return { host: (match[1] ?? match[2])!, port }
    this.bad(flag, `is not HOST:PORT: ${JSON.stringify(text)}`)
    return undefined
  }

  url(flag: Flag, text: string, protocols: readonly string[]): URL | undefined {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url && protocols.includes(url.protocol) && url.pathname === '/' && url.search === '') return url
    this.bad(
      flag,
      `is not ${protocols.map((protocol) => `${protocol}//HOST:PORT`).join(' or ')}: ${JSON.stringify(text)}`,
    )
    return undefined
  }
}
