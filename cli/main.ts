// main.ts — `fairlead …`: reads the command line, runs one command, ends with its exit code (cli/exit.ts).
//
// The modules of a command are loaded when it runs: `fairlead --version` must not pay for the others.

import { CommanderError } from 'commander'
import { type Context, contextOf, type GlobalOptions } from './context.ts'
import { EXIT, showError } from './exit.ts'
import { isProcessCommand, runProcessCommand } from './process-command.ts'
import { buildProgram } from './program.ts'

async function main(argv: readonly string[]): Promise<number> {
  if (isProcessCommand(argv)) return await runProcessCommand(argv)
  let code: number = EXIT.ok
  const program = buildProgram(
    <Args extends unknown[]>(run: (context: Context, ...args: Args) => Promise<number>) =>
      async (...args: unknown[]) => {
        const context = contextOf(program.opts<GlobalOptions>())
        try {
          // commander adds itself as the last argument; the others are what the command declared.
          code = await run(context, ...(args.slice(0, -1) as Args))
        } catch (error) {
          code = showError(error, context.terminal, context.debug)
        }
      },
  )
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
