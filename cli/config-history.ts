// config-history.ts — `fairlead config history|diff|rollback`: what ran, what would change, and the way back.

import {
  ConfigAppliedSchema,
  type ConfigDiff,
  ConfigDiffSchema,
  ConfigHistorySchema,
} from '../control-plane/contract.ts'
import { FairleadError } from '../kernel/errors.ts'
import { parseWith } from '../kernel/parse.ts'
import { readConfigFiles } from '../mesh-config/files.ts'
import { printable } from '../mesh-config/problem.ts'
import { authorHeader } from './author.ts'
import type { Context } from './context.ts'
import { withControl } from './control-api.ts'
import { EXIT } from './exit.ts'
import { columnsOf, type Terminal } from './terminal.ts'

const HISTORY = '/api/v1/config/history'
const DIFF = '/api/v1/config/diff'
const ROLLBACK = '/api/v1/config/rollback'
const VERSION = /^[0-9a-f]{6,16}$/
const SHOWN_MAX = 100

export async function configHistory(context: Context): Promise<number> {
  const raw = await withControl(context, (api) => api.call(HISTORY))
  const { history } = parseWith(ConfigHistorySchema, raw, `answer of ${HISTORY}`)
  if (context.json) {
    context.terminal.json({ history })
    return EXIT.ok
  }
  if (history.length === 0) context.terminal.note('No configuration was applied yet.')
  const rows = history.map(({ version, appliedAt, author, sources }, at) => [
    ...[at === 0 ? `${version} *` : version, appliedAt, printable(author)],
    printable(
      sources.length > 3 ? `${sources.slice(0, 3).join(', ')} and ${sources.length - 3} more` : sources.join(', '),
    ),
  ])
  if (rows.length > 0)
    for (const line of columnsOf([['VERSION', 'APPLIED', 'BY', 'FILES'], ...rows])) context.terminal.say(line)
  return EXIT.ok
}

/** Exit code: 0 nothing would change, 1 something would, 2 neither files nor version, 4 the candidate is invalid. */
export async function configDiff(
  context: Context,
  paths: readonly string[],
  version: string | undefined,
): Promise<number> {
  if ((paths.length === 0) === (version === undefined)) {
    context.terminal.note('Give either files or --to VERSION.')
    return EXIT.usage
  }
  const body = version === undefined ? { files: await readConfigFiles(...paths) } : { version: asVersion(version) }
  const headers = authorHeader(context)
  const raw = await withControl(context, (api) => api.call(DIFF, { method: 'POST', body, headers }))
  const diff = parseWith(ConfigDiffSchema, raw, `answer of ${DIFF}`)
  if (context.json) context.terminal.json(diff)
  else for (const line of diffLines(diff, context.terminal)) context.terminal.say(line)
  return diff.sidecars.some((one) => one.count > 0) ? EXIT.negative : EXIT.ok
}

export async function configRollback(context: Context, version: string): Promise<number> {
  const body = { version: asVersion(version) }
  const headers = authorHeader(context)
  const raw = await withControl(context, (api) => api.call(ROLLBACK, { method: 'POST', body, headers }))
  const applied = parseWith(ConfigAppliedSchema, raw, `answer of ${ROLLBACK}`)
  if (context.json) context.terminal.json(applied)
  else if (!applied.changed) context.terminal.say(`Version ${applied.version} runs already.`)
  else {
    context.terminal.say(`Version ${applied.version} runs again, instead of ${applied.before}.`)
    context.terminal.note('See `fairlead status` for how many sidecars have taken it.')
  }
  return EXIT.ok
}

function asVersion(text: string): string {
  if (VERSION.test(text)) return text
  throw new FairleadError('CONFIG_VERSION_UNKNOWN', `${text} is no version: 6 to 16 hexadecimal digits.`)
}

// ── for people ──────────────────────────────────────────────────────────────────────────────────────────────────────

function diffLines(diff: ConfigDiff, terminal: Terminal): string[] {
  const changing = diff.sidecars.filter((one) => one.count > 0)
  const quiet = diff.sidecars.filter((one) => one.count === 0).flatMap((one) => one.instances)
  return [
    `${diff.current || 'no config'} → ${diff.version}`,
    ...diff.warnings.map(({ path, message }) => `warning  ${printable(path)}: ${printable(message)}`),
    ...changing.flatMap((one) => sidecarLines(one, terminal)),
    '',
    ...(quiet.length > 0 ? [`Unchanged: ${quiet.join(', ')}`] : []),
    ...(diff.sidecars.length === 0 ? ['No sidecar is known yet; the configuration compiles.'] : []),
  ]
}

function sidecarLines(
  { service, namespace, version, instances, count, changes }: ConfigDiff['sidecars'][number],
  terminal: Terminal,
): string[] {
  const title = `${namespace === 'default' ? service : `${service}.${namespace}`}${version === '' ? '' : ` ${version}`}`
  const shown = changes.slice(0, SHOWN_MAX)
  return [
    '',
    `${terminal.bold(title)}  (${instances.join(', ')})`,
    ...shown.flatMap((change) => changeLines(change, terminal)),
    ...(count > shown.length ? [`  … and ${count - shown.length} more changes (--json shows up to 500)`] : []),
  ]
}

const SIGNS = { added: '+', removed: '-', changed: '~', reordered: '~' } as const

function changeLines(change: ConfigDiff['sidecars'][number]['changes'][number], terminal: Terminal): string[] {
  const paint = change.change === 'added' ? terminal.green : change.change === 'removed' ? terminal.red : terminal.bold
  const word = change.change === 'reordered' ? ' (order)' : ''
  return [
    `  ${paint(SIGNS[change.change])} ${`${change.part} ${printable(change.name)}`.trimEnd()}${word}`,
    ...change.details.map(({ path, before, after }) => `      ${path}: ${valueText(before)} → ${valueText(after)}`),
  ]
}

/** JSON on one line, of bounded length. */
function valueText(value: unknown): string {
  const text = value === undefined ? '(nothing)' : printable(JSON.stringify(value))
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}
