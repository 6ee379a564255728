// program.ts — every command with its options and help, as commander knows them; runners come in by `act`.

import { Command } from 'commander'
import { addDbCommands } from './commands/db.ts'
import { addJobCommands } from './commands/jobs.ts'
import { addMeshCommands } from './commands/mesh.ts'
import { addProcessCommands } from './commands/processes.ts'
import { addScheduleCommands } from './commands/schedules.ts'
import type { Act } from './context.ts'
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
In the repository, \`npm run -s fairlead -- …\` is \`fairlead …\`.

Exit codes: 0 ok, 1 negative answer, 2 usage, 3 unreachable, 4 config invalid, 130 interrupted.`

export function buildProgram(act: Act): Command {
  const program = new Command('fairlead')
  program
    .description('A service mesh whose first citizen is a job scheduler.')
    .version(fairleadVersion(), '-V, --version', 'print the version')
    .option('--json', 'print JSON (schemas: docs/cli.md)')
    .option('--data-dir <dir>', 'directory of the running Fairlead (default: .fairlead)')
    .option('--debug', 'print stacks of errors')
    .option('--no-color', 'print without colour (also: NO_COLOR)')
    .helpCommand(true)
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(add --help for the options and examples)')
    .showSuggestionAfterError(true)
    .addHelpText('after', EXAMPLES)
    .exitOverride()
  addProcessCommands(program, act)
  addMeshCommands(program, act)
  addJobCommands(program, act)
  addScheduleCommands(program, act)
  addDbCommands(program, act)
  return program
}
