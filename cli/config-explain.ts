// config-explain.ts — `fairlead config explain [SERVICE] --config PATH`: what holds, and which line or default says so.

import { type Effective, type EffectiveConfig, effectiveConfig, type Origin } from '../mesh-config/effective.ts'
import { Located } from '../mesh-config/located.ts'
import { nearest } from '../mesh-config/suggest.ts'
import { loadConfig } from './config.ts'
import { EXIT } from './exit.ts'
import { columnsOf, type Terminal } from './terminal.ts'

export interface ConfigExplainOptions {
  /** `name` or `name.namespace`; undefined = all, and the mesh. */
  readonly service: string | undefined
  readonly config: readonly string[]
  readonly json: boolean
}

/** Exit code: 0, 1 no such service, 2 a path that cannot be read, 4 invalid. */
export async function configExplain(options: ConfigExplainOptions, terminal: Terminal): Promise<number> {
  const loaded = await loadConfig(options.config, terminal)
  if ('code' in loaded) return loaded.code
  const all = effectiveConfig(loaded.config, new Located(loaded.files))
  const wanted = options.service?.replace(/\.default$/, '')
  const services = all.services.filter((one) => wanted === undefined || one.service === wanted)
  if (wanted !== undefined && services.length === 0) {
    const names = all.services.map((one) => one.service)
    const guess = nearest(wanted, names)
    const hint = guess ? `Did you mean ${guess}?` : `There are: ${names.join(', ') || 'none'}.`
    terminal.note(`${terminal.red('error')} no Service ${wanted} in this configuration. ${hint}`)
    return EXIT.negative
  }
  const answer: EffectiveConfig = { mesh: all.mesh, services }
  if (options.json) terminal.json(answer)
  else for (const line of linesOf(answer, wanted === undefined, terminal)) terminal.say(line)
  return EXIT.ok
}

function linesOf({ mesh, services }: EffectiveConfig, withMesh: boolean, terminal: Terminal): string[] {
  return [
    ...(withMesh ? [terminal.bold('Mesh'), ...fieldLines(mesh, terminal), ''] : []),
    ...services.flatMap((one) => [
      terminal.bold(`Service ${one.service}`),
      ...fieldLines(one.fields, terminal),
      ...one.rules.flatMap(({ rule, fields }) => [`  ${terminal.bold(rule)}`, ...fieldLines(fields, terminal, '    ')]),
      '',
    ]),
  ]
}

function fieldLines(fields: readonly Effective[], terminal: Terminal, indent = '  '): string[] {
  const rows = fields.map((one) => [one.field, valueText(one), originText(one.origin)])
  return columnsOf(rows).map((line, index) => {
    const origin = rows[index]![2]!
    return `${indent}${line.slice(0, line.length - origin.length)}${terminal.dim(origin)}`
  })
}

function valueText({ value, unit }: Effective): string {
  if (value === null) return 'none'
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ')
  if (unit === 'ms') return msText(Number(value))
  return `${String(value)}${unit === '' ? '' : ` ${unit}`}`
}

/** As config writes durations. */
function msText(ms: number): string {
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`
  if (ms % 60_000 === 0) return `${ms / 60_000}m`
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}

function originText(origin: Origin): string {
  if (origin.from === 'config') return `${origin.file}:${origin.line}:${origin.column} (${origin.resource})`
  return `${origin.from}: ${origin.reason}`
}
