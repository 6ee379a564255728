// process-command.ts — `fairlead control-plane|proxy|scheduler|worker FLAGS`: one deployable process, flags as they are.
//
// It takes our place: same terminal, signals passed on, its exit code is ours. These honour the shell's environment,
// unlike `up`. `proxy --standalone FILE.yaml` first compiles the YAML (standalone.ts).

import { join, resolve } from 'node:path'
import { contextOf } from './context.ts'
import { showError } from './exit.ts'
import { runInOurPlace } from './in-our-place.ts'

const ROOT = resolve(import.meta.dirname, '..')

export const PROCESS_COMMANDS = {
  'control-plane': {
    summary: 'run a control plane',
    script: 'control-plane/main.ts',
    help: `
Flags:
  --state DIR --api HOST:PORT --stream HOST:PORT --api-key-file FILE
  [--registry HOST:PORT]          built-in registry there, and use it
  [--consul URL]                  use that Consul agent
  [--config PATH] [--trust-domain fairlead.local]`,
  },
  proxy: {
    summary: 'run a sidecar, or one without a control plane',
    script: 'proxy/main.ts',
    help: `
Flags:
  --service NAME --version V --instance ID --app HOST:PORT --outbound HOST:PORT --inbound HOST:PORT --admin HOST:PORT
  --control-plane URL[,URL] --trust-bundle FILE --join-token-file FILE --consul URL --state DIR
  [--namespace default] [--region R] [--health-path /readyz] [--access-log FILE|off]
or on static endpoints of a YAML file, which is watched:
  --standalone FILE.yaml [--outbound HOST:PORT] [--inbound HOST:PORT --app HOST:PORT] [--admin HOST:PORT]
  [--cert FILE --key FILE --trust-bundle FILE] [--access-log FILE|off]

Examples:
  $ fairlead proxy --standalone mesh.yaml --outbound 127.0.0.1:15001
  $ curl -x http://127.0.0.1:15001 http://web.mesh/`,
  },
  scheduler: {
    summary: 'run a scheduler',
    script: 'scheduler/main.ts',
    help: `
Flags:
  --state DIR --listen HOST:PORT --sidecar http://HOST:PORT --api-key-file FILE
  [--database URL|env|embedded]   PostgreSQL (schema by \`fairlead db migrate\`); default: DATABASE_URL if set, else the
                                  embedded store in --state`,
  },
  worker: {
    summary: 'run the demo worker',
    script: 'workers/audit/main.ts',
    help: `
Flags:
  --version v1|v2 --listen HOST:PORT --sidecar http://HOST:PORT [--slots 8] [--sink FILE] [--bad-canary]`,
  },
} as const satisfies Record<string, { summary: string; script: string; help: string }>

type ProcessName = keyof typeof PROCESS_COMMANDS

/** Its flags are the process's own, so commander does not see them; `--help` is ours. */
export function isProcessCommand(argv: readonly string[]): boolean {
  return Object.hasOwn(PROCESS_COMMANDS, argv[0] ?? '') && !argv.includes('--help') && !argv.includes('-h')
}

export async function runProcessCommand([name, ...flags]: readonly string[]): Promise<number> {
  const { script } = PROCESS_COMMANDS[name as ProcessName]
  if (name !== 'proxy' || !flags.some((flag) => flag.startsWith('--standalone'))) {
    return await runInOurPlace([join(ROOT, script), ...flags])
  }
  const context = contextOf({})
  try {
    const { runStandalone } = await import('./standalone.ts')
    return await runStandalone(flags, context)
  } catch (error) {
    return showError(error, context.terminal, flags.includes('--debug'))
  }
}
