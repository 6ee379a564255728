// workers/audit/main.ts — the demo worker as a process: one handler, one version of it.
//
// Flags: --version v1|v2 --listen HOST:PORT --sidecar http://HOST:PORT [--slots 8] [--sink FILE] [--bad-canary]

import { parseArgs } from 'node:util'
import { parseAuthority } from '../../kernel/authority.ts'
import { systemClock } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { createLog } from '../../kernel/log.ts'
import { runProcess } from '../../kernel/process.ts'
import { systemRandom } from '../../kernel/random.ts'
import type { AnyHandler } from '../handler.ts'
import { startWorker } from '../worker.ts'
import { AUDIT_VERSIONS, type AuditVersion, auditHandler } from './handler.ts'
import { noSink, openSink } from './sink.ts'

const SLOTS_DEFAULT = 8
/** The SDK's own bound for running handlers and acks, and some. */
const DRAIN_MS_MAX = 35_000

const log = createLog({ process: 'worker' })

await runProcess({ log, drainMsMax: DRAIN_MS_MAX }, async (life) => {
  const flags = parseFlags(process.argv.slice(2))
  const sink = life.own(flags.sink === undefined ? noSink : await openSink(flags.sink))
  const { version, badCanary } = flags
  const handler = auditHandler({ version, sink, badCanary, clock: systemClock, pid: process.pid })
  const worker = await startWorker({
    handlers: [handler as unknown as AnyHandler],
    version,
    listen: flags.listen,
    sidecar: flags.sidecar,
    slots: flags.slots,
    log,
    clock: systemClock,
    random: systemRandom,
  })
  life.own(worker)
  return { ports: { app: worker.port } }
})

interface Flags {
  readonly version: AuditVersion
  readonly listen: { host: string; port: number }
  readonly sidecar: string
  readonly slots: number
  readonly sink: string | undefined
  readonly badCanary: boolean
}

function parseFlags(args: string[]): Flags {
  const { values } = parseArgs({
    args,
    options: {
      version: { type: 'string' },
      listen: { type: 'string' },
      sidecar: { type: 'string' },
      slots: { type: 'string' },
      sink: { type: 'string' },
      'bad-canary': { type: 'boolean', default: false },
    },
  })
  const version = AUDIT_VERSIONS.find((known) => known === values.version)
  if (version === undefined)
    throw new FairleadError('INVALID_INPUT', `--version is one of ${AUDIT_VERSIONS.join(', ')}.`)
  const slots = Number(values.slots ?? SLOTS_DEFAULT)
  if (!Number.isInteger(slots) || slots < 1)
    throw new FairleadError('INVALID_INPUT', '--slots is a whole number from 1.')
  const badCanary = values['bad-canary'] && version === 'v2'
  return {
    version,
    listen: parseListen(values.listen),
    sidecar: needed(values.sidecar, 'sidecar'),
    slots,
    sink: values.sink,
    badCanary,
  }
}

/** `HOST:PORT`; port 0 lets the system choose. */
function parseListen(text: string | undefined): { host: string; port: number } {
  const listen = needed(text, 'listen')
  if (listen.endsWith(':0')) return { host: listen.slice(0, -2), port: 0 }
  const authority = parseAuthority(listen)
  if (authority.kind !== 'outside' || authority.port === undefined) {
    throw new FairleadError('INVALID_INPUT', `--listen ${listen} is not HOST:PORT.`)
  }
  return { host: authority.host, port: authority.port }
}

function needed(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw new FairleadError('INVALID_INPUT', `--${name} is needed.`)
  return value
}
