// main.ts — `fairlead …`: reads the command line, runs one command, ends with its exit code (cli/exit.ts).
//
// The modules of a command are loaded when it runs: `fairlead --version` must not pay for the others.

import { Command, CommanderError } from 'commander'
import { addJobCommands } from './commands/jobs.ts'
import { addMeshCommands } from './commands/mesh.ts'
import { addProcessCommands } from './commands/processes.ts'
import { type Act, type Context, contextOf, type GlobalOptions } from './context.ts'
import { EXIT, showError } from './exit.ts'
import { isProcessCommand, runProcessCommand } from './process-command.ts'
import { fairleadVersion } from './version.ts'

const EXAMPLES = `
Examples:
  $ npm start                                     everything on this machine, and the demo audit
  $ fairlead up --demo --exit --report r.json     the same, ends after the report
  $ fairlead status                               what runs here
  $ fairlead config validate mesh-config/demo     every problem, with file, line and column
  $ fairlead route explain --config mesh-config/demo http://worker.mesh/
  $ fairlead job submit package.audit --payload '{"root":"/srv/app/node_modules","path":"zod","run":"one"}'
  $ fairlead job list --state failed --json

Exit codes: 0 ok, 1 negative answer, 2 usage, 3 unreachable, 4 config invalid, 130 interrupted.`

async function main(argv: readonly string[]): Promise<number> {
  if (isProcessCommand(argv)) return await runProcessCommand(argv)
  let code: number = EXIT.ok
  const program = new Command('fairlead')
  const act: Act =
    <Args extends unknown[]>(run: (context: Context, ...args: Args) => Promise<number>) =>
    async (...args: unknown[]) => {
      const context = contextOf(program.opts<GlobalOptions>())
      try {
        // commander adds itself as the last argument; the others are what the command declared.
        code = await run(context, ...(args.slice(0, -1) as Args))
      } catch (error) {
        code = showError(error, context.terminal, context.debug)
      }
    }
  program
    .description('A service mesh whose first citizen is a job scheduler.')
    .version(fairleadVersion(), '-V, --version', 'print the version')
    .option('--json', 'print JSON (schemas: docs/cli.md)')
    .option('--data-dir <dir>', 'directory of the running Fairlead (default: .fairlead)')
    .option('--debug', 'print stacks of errors')
    .option('--no-color', 'print without colour (also: NO_COLOR)')
    .helpCommand(true)
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showHelpAfterError('(add --help for the options and examples)')
    .showSuggestionAfterError(true)
    .addHelpText('after', EXAMPLES)
    .exitOverride()
  addProcessCommands(program, act)
  addMeshCommands(program, act)
  addJobCommands(program, act)
  try {
    await program.parseAsync(argv, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    throw error
  }
}

// `fairlead job list | head`: the reader may leave before we are done.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.negative),
)

process.exit(await main(process.argv.slice(2)))
