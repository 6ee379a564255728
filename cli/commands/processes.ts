// commands/processes.ts — what starts processes and tells about them: up, run, status, and one command per process.

import { type Command, InvalidArgumentError } from 'commander'
import type { Act } from '../context.ts'
import { PROCESS_COMMANDS } from '../process-command.ts'

interface UpFlags {
  demo?: boolean
  exit?: boolean
  ephemeral?: boolean
  badCanary?: boolean
  dir?: string
  report?: string
  config?: string
  consul?: string
  portBase?: number
  database?: string
}

export interface RunFlags {
  service: string
  namespace: string
  appVersion: string
  instance?: string
  app?: string
  healthPath: string
}

const UP_EXAMPLES = `
Examples:
  $ fairlead up --demo                            demo mesh, audit of our own node_modules, then stays up
  $ fairlead up --demo --exit --report r.json     ends after the report; exit 0 only if every job succeeded
  $ fairlead up --demo --bad-canary               the new version fails and hangs; watch the mesh take it out
  $ fairlead up --config my-mesh/                 control plane and scheduler only, with your configuration`

const RUN_EXAMPLES = `
Examples:
  $ fairlead run --service web --app 8080 -- python3 -m http.server 8080
  $ fairlead run --service batch -- curl -s http://worker.mesh/`

export function addProcessCommands(program: Command, act: Act): void {
  program
    .command('up')
    .description('run all of Fairlead on this machine, supervised')
    .option('--demo', 'with two versions of a worker, demo configuration, and the audit')
    .option('--exit', 'end after the audit')
    .option('--ephemeral', 'keep nothing')
    .option('--dir <path>', 'audit the packages below this directory (default: our node_modules)')
    .option('--report <file>', 'write the report as JSON')
    .option('--bad-canary', 'worker v2 fails some jobs and hangs on some')
    .option('--config <path>', 'YAML file or folder to apply instead of the demo')
    .option('--consul <env|addr>', 'use that Consul instead of the built-in registry')
    .option('--database <env|url>', 'use that PostgreSQL instead of the embedded store')
    .option('--port-base <n>', 'take ports from here on; 0: anywhere free', wholeNumber)
    .addHelpText('after', UP_EXAMPLES)
    .action(
      act(async (context, flags: UpFlags) => {
        const { up } = await import('../up/command.ts')
        return await up(context, flags)
      }),
    )
  program
    .command('run')
    .description('run any command beside a sidecar of its own')
    .requiredOption('--service <name>', 'service that the command is an instance of')
    .option('--namespace <name>', 'its namespace', 'default')
    .option('--app-version <version>', 'version of its code', 'v1')
    .option('--instance <id>', 'stable instance id (default: service and process id)')
    .option('--app <port>', 'port that the command listens on; without it nobody can call it')
    .option('--health-path <path>', 'path of the app that answers 2xx when it is ready', '/')
    .argument('<command...>', 'after --')
    .addHelpText('after', RUN_EXAMPLES)
    .action(
      act(async (context, command: string[], flags: RunFlags) => {
        const { runBeside } = await import('../run/run.ts')
        return await runBeside(context, command, flags)
      }),
    )
  program
    .command('status')
    .description('what runs in the data directory')
    .action(
      act(async (context) => {
        const { showStatus } = await import('../status.ts')
        return await showStatus(context)
      }),
    )
  program
    .command('check')
    .description('is all well here? Each failure with a hint and the command that mends it (exit 1)')
    .addHelpText('after', '\nExamples:\n  $ fairlead check\n  $ fairlead check --json --data-dir /var/lib/fairlead')
    .action(
      act(async (context) => {
        const { check } = await import('../check/check.ts')
        return await check(context)
      }),
    )
  for (const [name, { summary, help }] of Object.entries(PROCESS_COMMANDS)) {
    program.command(name).description(summary).allowUnknownOption().allowExcessArguments().addHelpText('after', help)
  }
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}
