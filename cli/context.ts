// context.ts — what every command is given: where it writes, which data directory it looks at, and how.

import { type Clock, systemClock } from '../kernel/clock.ts'
import { type Random, systemRandom } from '../kernel/random.ts'
import { openTerminal, type Terminal } from './terminal.ts'

export interface Context {
  readonly terminal: Terminal
  readonly json: boolean
  readonly debug: boolean
  /** As given; undefined: the default (`.fairlead`). */
  readonly dataDir: string | undefined
  readonly clock: Clock
  readonly random: Random
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Options that every command takes, as commander parses them. */
export interface GlobalOptions {
  readonly json?: boolean
  readonly debug?: boolean
  readonly color?: boolean
  readonly dataDir?: string
}

/** Wraps a command's runner into what commander calls; its answer is the exit code. */
export type Act = <Args extends unknown[]>(
  run: (context: Context, ...args: Args) => Promise<number>,
) => (...args: unknown[]) => Promise<void>

export function contextOf(options: GlobalOptions): Context {
  const { env, stdout, stderr } = process
  return {
    terminal: openTerminal({ out: stdout, err: stderr, env, noColor: options.color === false }),
    json: options.json ?? false,
    debug: options.debug ?? false,
    dataDir: options.dataDir,
    clock: systemClock,
    random: systemRandom,
    env,
  }
}
