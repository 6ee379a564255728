// config.ts — `fairlead config validate|analyze PATH…`: every problem, or every finding in a valid config, with its place,
// the line shown and what to do about it.

import { FairleadError } from '../kernel/errors.ts'
import { analyzeConfig } from '../mesh-config/analysis/analyze.ts'
import { type MeshConfig, parseConfig } from '../mesh-config/config.ts'
import { readConfigFiles } from '../mesh-config/files.ts'
import { type ConfigProblem, plain, renderProblem } from '../mesh-config/problem.ts'
import type { ConfigFile } from '../mesh-config/source.ts'
import { contextOf } from './context.ts'
import { EXIT } from './exit.ts'
import type { Terminal } from './terminal.ts'

const SHOWN_MAX = 100

/** Exit code: 0 valid, 2 a path that cannot be read, 4 invalid. Problems go to stdout: they are the answer. */
export async function configValidate(
  paths: readonly string[],
  { json }: { readonly json: boolean },
  terminal: Terminal = contextOf({}).terminal,
): Promise<number> {
  const files = await filesOr(paths, terminal)
  if (!files) return EXIT.usage
  const parsed = parseConfig(files)
  const problems = 'problems' in parsed ? parsed.problems : []
  if (json) {
    const shown = [...problems, ...parsed.warnings].map(problemJson)
    terminal.json({ valid: problems.length === 0, files: files.map((file) => file.name), problems: shown })
  } else {
    for (const problem of [...problems, ...parsed.warnings].slice(0, SHOWN_MAX)) {
      terminal.say(`${renderProblem(problem, paintOf(terminal))}\n`)
    }
    terminal.say('problems' in parsed ? refusal(parsed, terminal) : acceptance(parsed, files, terminal))
  }
  return problems.length === 0 ? EXIT.ok : EXIT.configInvalid
}

/** Exit code: 0 nothing found, 1 findings, 2 a path that cannot be read, 4 not valid to begin with. */
export async function configAnalyze(
  paths: readonly string[],
  { json }: { readonly json: boolean },
  terminal: Terminal = contextOf({}).terminal,
): Promise<number> {
  const files = await filesOr(paths, terminal)
  if (!files) return EXIT.usage
  const analysis = analyzeConfig(files)
  const found = 'problems' in analysis ? [...analysis.problems, ...analysis.warnings] : analysis.findings
  if (json) {
    const shown = found.map(problemJson)
    const valid = !('problems' in analysis)
    terminal.json({ valid, findings: valid ? shown : [], problems: valid ? [] : shown })
  } else {
    for (const one of found.slice(0, SHOWN_MAX)) terminal.say(`${renderProblem(one, paintOf(terminal))}\n`)
    const nothing = `${terminal.green('Nothing found')} in ${counted(files.length, 'file')}.`
    if ('problems' in analysis) terminal.say(refusal(analysis, terminal))
    else terminal.say(found.length === 0 ? nothing : terminal.bold(`${counted(found.length, 'finding')}.`))
  }
  if ('problems' in analysis) return EXIT.configInvalid
  return found.length === 0 ? EXIT.ok : EXIT.negative
}

export interface LoadedConfig {
  readonly files: readonly ConfigFile[]
  readonly config: MeshConfig
  readonly warnings: readonly ConfigProblem[]
}

/** Undefined after the reason was written; `code` is then the exit code. */
export async function loadConfig(
  paths: readonly string[],
  terminal: Terminal,
): Promise<LoadedConfig | { readonly code: number }> {
  const files = await filesOr(paths, terminal)
  if (!files) return { code: EXIT.usage }
  const parsed = parseConfig(files)
  if (!('problems' in parsed)) return { ...parsed, files }
  for (const problem of parsed.problems.slice(0, SHOWN_MAX)) {
    terminal.note(`${renderProblem(problem, paintOf(terminal))}\n`)
  }
  terminal.note(refusal(parsed, terminal))
  return { code: EXIT.configInvalid }
}

async function filesOr(paths: readonly string[], terminal: Terminal): Promise<ConfigFile[] | undefined> {
  try {
    return await readConfigFiles(...paths)
  } catch (error) {
    if (!(error instanceof FairleadError)) throw error
    terminal.note(`${terminal.red('error')} ${error.message}`)
    return undefined
  }
}

const paintOf = (terminal: Terminal): typeof plain => ({
  ...plain,
  error: (text) => terminal.red(text),
  warning: (text) => terminal.bold(text),
  dim: (text) => terminal.dim(text),
})

/** What programs get: the place and the words, without the drawing. */
function problemJson({ caret: _caret, length: _length, ...problem }: ConfigProblem): Record<string, unknown> {
  return problem
}

function refusal(
  { problems, warnings }: { problems: readonly unknown[]; warnings: readonly unknown[] },
  terminal: Terminal,
): string {
  return terminal.red(`Invalid: ${counted(problems.length, 'problem')}${alsoWarnings(warnings)}.`)
}

function acceptance(
  { config, warnings }: Omit<LoadedConfig, 'files'>,
  files: readonly ConfigFile[],
  terminal: Terminal,
): string {
  const policies = config.trafficPolicies.length + config.authorizationPolicies.length
  const parts = [
    counted(config.services.length, 'service'),
    counted(config.routes.length, 'route'),
    counted(policies, 'policy', 'policies'),
  ]
  return `${terminal.green('Valid')}: ${parts.join(', ')} in ${counted(files.length, 'file')}${alsoWarnings(warnings)}.`
}

const alsoWarnings = (warnings: readonly unknown[]): string =>
  warnings.length === 0 ? '' : `, ${counted(warnings.length, 'warning')}`

const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`
