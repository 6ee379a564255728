// commands/schedules.ts — schedules: so far the one that needs no server.

import type { Command } from 'commander'
import type { Act } from '../context.ts'
import type { ScheduleNextFlags } from '../schedule.ts'

export function addScheduleCommands(program: Command, act: Act): void {
  const schedule = program.command('schedule').description('when things happen (docs/time.md)')
  schedule
    .command('next')
    .description('the next fires of an expression, without a server')
    .argument('<expression>', "5 or 6 cron fields, @hourly … @yearly, or '@every 90s'; quote it")
    .option('--tz <zone>', 'IANA time zone', 'UTC')
    .option('--from <time>', 'fires after this time (RFC 3339) instead of now; @every counts from it')
    .option('--count <n>', 'how many, at most 1000', '10')
    .option('--dst-gap <rule>', 'a wall time that does not exist: fireAtGapEnd, skip, shift', 'fireAtGapEnd')
    .option('--dst-overlap <rule>', 'a wall time that comes twice: first, second, both', 'first')
    .option('--day-match <rule>', 'day of month and day of week both given: or, and', 'or')
    .option('--name <name>', "the schedule's name, which decides the place of H")
    .addHelpText(
      'after',
      "\nExamples:\n  $ fairlead schedule next '30 2 * * *' --tz America/New_York --from 2025-03-08T00:00:00Z --count 3\n  $ fairlead schedule next '0 9 LW * *' --tz Europe/Berlin --json\n  $ fairlead schedule next 'H H(0-5) * * *' --name nightly-report",
    )
    .action(
      act(async (context, expression: string, flags: ScheduleNextFlags) => {
        const { scheduleNext } = await import('../schedule.ts')
        return await scheduleNext(context, expression, flags)
      }),
    )
}
