// commands/config.ts — questions to a configuration: what is hardly meant, and what holds and why.

import type { Command } from 'commander'
import type { Act } from '../context.ts'

export function addConfigQuestions(config: Command, act: Act): void {
  config
    .command('analyze')
    .description('what a valid configuration hardly means: shadowed rules, policies that shut everybody out (exit 1)')
    .argument('<path...>', 'files or folders')
    .addHelpText(
      'after',
      '\nExamples:\n  $ fairlead config analyze mesh-config/demo\n  $ fairlead config analyze mesh/ --json',
    )
    .action(
      act(async ({ json }, paths: string[]) => {
        const { configAnalyze } = await import('../config.ts')
        return await configAnalyze(paths, { json })
      }),
    )
  config
    .command('explain')
    .description('the effective value of every field, and the line or the default that it comes from')
    .requiredOption('--config <path>', 'file or folder (may be repeated)', collect, [])
    .argument('[service]', 'Service, as NAME or NAME.NAMESPACE (default: all)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ fairlead config explain worker-v2 --config mesh-config/demo\n  $ fairlead config explain --config mesh/ --json',
    )
    .action(
      act(async ({ json, terminal }, service: string | undefined, flags: { config: string[] }) => {
        const { configExplain } = await import('../config-explain.ts')
        return await configExplain({ service, config: flags.config, json }, terminal)
      }),
    )
  addHistory(config, act)
}

function addHistory(config: Command, act: Act): void {
  config
    .command('history')
    .description('every configuration that the running mesh was given, newest first')
    .action(
      act(async (context) => {
        const { configHistory } = await import('../config-history.ts')
        return await configHistory(context)
      }),
    )
  config
    .command('diff')
    .description('what every sidecar of the running mesh would notice (exit 1 when something would change)')
    .argument('[path...]', 'files or folders')
    .option('--to <version>', 'a version of the history instead of files')
    .addHelpText(
      'after',
      '\nExamples:\n  $ fairlead config diff mesh-config/demo\n  $ fairlead config diff --to 3f2a9c --json',
    )
    .action(
      act(async (context, paths: string[], flags: { to?: string }) => {
        const { configDiff } = await import('../config-history.ts')
        return await configDiff(context, paths, flags.to)
      }),
    )
  config
    .command('rollback')
    .description('make an earlier version the configuration of the running mesh again')
    .argument('<version>', 'of `fairlead config history`, its first 6 digits or more')
    .addHelpText('after', '\nExample:\n  $ fairlead config diff --to 3f2a9c; fairlead config rollback 3f2a9c')
    .action(
      act(async (context, version: string) => {
        const { configRollback } = await import('../config-history.ts')
        return await configRollback(context, version)
      }),
    )
}

const collect = (value: string, before: string[]): string[] => [...before, value]
