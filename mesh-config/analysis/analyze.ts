// analyze.ts — a valid config → what in it is hardly meant: rules that never see a request, limits that fight each other,
// policies that shut everybody out.
//
// Pure. Findings are warnings with a place, a stable code and a hint; a finding is certain or it is not made. The rules
// looked at are compile's own, so the analysis cannot disagree with what the sidecars do.

import { destinationsOf } from '../compile.ts'
import { type MeshConfig, PROBLEMS_MAX, parseConfig } from '../config.ts'
import { Located } from '../located.ts'
import { byPlace, type ConfigProblem } from '../problem.ts'
import type { ConfigFile } from '../source.ts'
import { accessFindings } from './access.ts'
import { routeFindings } from './routes.ts'
import { serviceFindings } from './services.ts'
import { timeFindings } from './times.ts'

export interface Analysed {
  readonly config: MeshConfig
  readonly located: Located
  readonly destinations: ReturnType<typeof destinationsOf>
}

export type Analysis =
  /** Sorted by place; the warnings of `config validate` among them. */
  | { readonly findings: readonly ConfigProblem[] }
  | { readonly problems: readonly ConfigProblem[]; readonly warnings: readonly ConfigProblem[] }

export function analyzeConfig(files: readonly ConfigFile[]): Analysis {
  const parsed = parseConfig(files)
  if ('problems' in parsed) return parsed
  const { config, warnings } = parsed
  const analysed = { config, located: new Located(files), destinations: destinationsOf(config, []) }
  const parts = [routeFindings, timeFindings, accessFindings, serviceFindings]
  const findings = [...warnings, ...parts.flatMap((part) => part(analysed))]
  return { findings: withoutEchoes(findings).slice(0, PROBLEMS_MAX) }
}

/** One rule on two services is one mistake. */
function withoutEchoes(findings: readonly ConfigProblem[]): ConfigProblem[] {
  const seen = new Set<string>()
  return [...findings].sort(byPlace).filter(({ file, line, column, code }) => {
    const key = `${file}:${line}:${column}:${code}`
    return !seen.has(key) && seen.add(key)
  })
}
