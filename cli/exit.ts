// exit.ts — exit codes of every command (DESIGN.md §11), and the one place where an error becomes a line and a code.

import { asFairleadError, type FairleadError } from '../kernel/errors.ts'
import type { Terminal } from './terminal.ts'

export const EXIT = {
  ok: 0,
  negative: 1,
  usage: 2,
  unreachable: 3,
  configInvalid: 4,
  interrupted: 130,
} as const

const PROBLEMS_SHOWN_MAX = 20

export function exitCodeOf(error: FairleadError): number {
  if (error.code === 'UNREACHABLE') return EXIT.unreachable
  if (error.code === 'CONFIG_INVALID') return EXIT.configInvalid
  return EXIT.negative
}

/** One clear line, the problems, a hint; the stack only with --debug. Returns the exit code. */
export function showError(thrown: unknown, terminal: Terminal, debug: boolean): number {
  const error = asFairleadError(thrown)
  const internal = error.code === 'INTERNAL' && error.cause instanceof Error
  const said = internal ? (error.cause as Error).message : error.message
  terminal.note(`${terminal.red('error')} ${error.code}: ${said}`)
  const [only] = error.problems
  const saidIt = error.problems.length === 1 && said.includes(only!.message)
  for (const { path, message } of saidIt ? [] : error.problems.slice(0, PROBLEMS_SHOWN_MAX)) {
    terminal.note(`  ${path}: ${message}`)
  }
  const more = error.problems.length - PROBLEMS_SHOWN_MAX
  if (more > 0) terminal.note(`  … and ${more} more`)
  terminal.note(`${terminal.dim('hint')}  ${internal ? 'Run it again with --debug to see where.' : error.spec.hint}`)
  if (debug) terminal.note(internal ? String((error.cause as Error).stack) : String(error.stack))
  return exitCodeOf(error)
}
