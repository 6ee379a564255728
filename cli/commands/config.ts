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
}

const collect = (value: string, before: string[]): string[] => [...before, value]
