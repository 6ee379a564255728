// config.ts — YAML files → typed config, or every problem at once.
//
// Stages, each over everything: YAML (source.ts) → kind → shape (shape.ts) → rules of the kind (kinds/) → references
// between resources (references.ts). One error anywhere and there is no config: a mesh never runs on half of it.

import { DEFAULT_NAMESPACE } from '../kernel/authority.ts'
import { DEFAULT_LEAF_TTL_MS, DEFAULT_SAMPLE_PERCENT, DEFAULT_TRUST_DOMAIN } from './defaults.ts'
import { durationMs } from './duration.ts'
import type { AuthorizationPolicyDocument } from './kinds/authorization-policy.ts'
import type { Report, Resource } from './kinds/common.ts'
import type { HttpRoute } from './kinds/http-route.ts'
import { isKindName, KINDS, type KindName, OTHER_KINDS } from './kinds/kinds.ts'
import { type MeshDocument, OUR_API } from './kinds/mesh.ts'
import type { ServiceDocument } from './kinds/service.ts'
import type { TrafficPolicyDocument } from './kinds/traffic-policy.ts'
import { byPlace, type ConfigProblem, type Place } from './problem.ts'
import { checkReferences, type Parsed } from './references.ts'
import { checkShape, type Shape } from './shape.ts'
import { type ConfigFile, type Path, readDocuments, type SourceDocument } from './source.ts'
import { nearest } from './suggest.ts'

export interface MeshSettings {
  readonly trustDomain: string
  readonly samplePercent: number
  readonly leafTtlMs: number
}
export type ServiceResource = Resource<ServiceDocument['spec']>
export type RouteResource = Resource<HttpRoute['spec']> & {
  /** Where each rule stands, by index. */
  readonly rulePlaces: readonly Place[]
}
export type TrafficPolicyResource = Resource<TrafficPolicyDocument['spec']>
export type AuthorizationPolicyResource = Resource<AuthorizationPolicyDocument['spec']>

export interface MeshConfig {
  readonly mesh: MeshSettings
  readonly services: readonly ServiceResource[]
  readonly routes: readonly RouteResource[]
  readonly trafficPolicies: readonly TrafficPolicyResource[]
  readonly authorizationPolicies: readonly AuthorizationPolicyResource[]
}

export type ParsedConfig =
  | { readonly config: MeshConfig; readonly warnings: readonly ConfigProblem[] }
  | { readonly problems: readonly ConfigProblem[]; readonly warnings: readonly ConfigProblem[] }

/** Past this many, the rest is not collected: nobody reads it, and hostile input must not grow it. */
export const PROBLEMS_MAX = 1000

/** Pure. `problems` (errors) and `warnings` come sorted by place. No files = the empty config, all defaults. */
export function parseConfig(files: readonly ConfigFile[]): ParsedConfig {
  const found = new Findings()
  const parsed: Parsed[] = []
  for (const file of files) {
    const { documents, problems } = readDocuments(file)
    for (const problem of problems) found.push(problem)
    for (const document of documents) parseDocument(document, parsed, found)
  }
  checkReferences(parsed)
  const sorted = withoutEchoes(found.problems)
  const warnings = sorted.filter((problem) => problem.severity === 'warning')
  const problems = sorted.filter((problem) => problem.severity === 'error')
  return problems.length > 0 ? { problems, warnings } : { config: assemble(parsed), warnings }
}

/** Errors and warnings are bounded apart: a flood of warnings must not hide the error that refuses the config. */
class Findings {
  private readonly errors: ConfigProblem[] = []
  private readonly warnings: ConfigProblem[] = []

  get problems(): ConfigProblem[] {
    return [...this.errors, ...this.warnings]
  }

  push(problem: ConfigProblem): void {
    const list = problem.severity === 'error' ? this.errors : this.warnings
    if (list.length < PROBLEMS_MAX) list.push(problem)
  }
}

/** One problem for one code at one place. */
function withoutEchoes(found: readonly ConfigProblem[]): ConfigProblem[] {
  const seen = new Set<string>()
  return [...found].sort(byPlace).filter((problem) => {
    const key = `${problem.file}:${problem.line}:${problem.column}:${problem.code}:${problem.message}`
    return !seen.has(key) && seen.add(key)
  })
}

// ── one document ────────────────────────────────────────────────────────────────────────────────────────────────────

function parseDocument(document: SourceDocument, parsed: Parsed[], found: Findings): void {
  const kind = kindOf(document, found)
  if (kind === undefined) return
  const { usable, problems, patched } = shapeOf(kind, document)
  for (const problem of problems) found.push(problem)
  const report = reportTo(document, found, patched)
  parsed.push({ kind, document, report, value: usable, ...nameOf(document.value) } as Parsed)
  if (usable !== undefined) checkMeaning(kind, usable, report)
}

/** The table pairs each schema with its check; the two calls here must not be given different kinds. */
const shapeOf = (kind: KindName, document: SourceDocument): Shape<unknown> =>
  checkShape<unknown>(document, KINDS[kind].schema)
const checkMeaning = (kind: KindName, value: unknown, report: Report): void =>
  (KINDS[kind].check as (value: unknown, report: Report) => void)(value, report)

/** Silent about objects that hold a stand-in: what is wrong with those has been said. */
function reportTo(document: SourceDocument, found: Findings, patched: readonly Path[]): Report {
  const silent = (path: Path): boolean =>
    patched.some((stand) => stand.slice(0, -1).every((part, index) => path[index] === part))
  return {
    error(path, aim, code, message, hint) {
      if (!silent(path)) found.push(document.problem(path, aim, code, message, hint))
    },
    warn(path, aim, code, message, hint) {
      const problem = document.problem(path, aim, code, message, hint)
      if (!silent(path)) found.push({ ...problem, severity: 'warning' })
    },
  }
}

function kindOf(document: SourceDocument, found: Findings): KindName | undefined {
  const { value } = document
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    found.push(document.problem([], 'value', 'NOT_AN_OBJECT', 'this document is no mapping'))
    return undefined
  }
  const { apiVersion, kind } = value as Record<string, unknown>
  for (const [field, given] of [
    ['apiVersion', apiVersion],
    ['kind', kind],
  ] as const) {
    if (typeof given === 'string') continue
    if (given === undefined) found.push(document.problem([], 'value', 'MISSING_FIELD', `"${field}" is missing`))
    else found.push(document.problem([field], 'value', 'WRONG_TYPE', 'expected text'))
  }
  return typeof apiVersion === 'string' && typeof kind === 'string'
    ? knownKind(document, apiVersion, kind, found)
    : undefined
}

function knownKind(document: SourceDocument, apiVersion: string, kind: string, found: Findings): KindName | undefined {
  const other = OTHER_KINDS.get(kind)
  if (other !== undefined && apiVersion === OUR_API) {
    found.push({ ...document.problem(['kind'], 'value', 'OTHER_APPLIER', `${kind} is ${other}`), severity: 'warning' })
    return undefined
  }
  if (!isKindName(kind) && other === undefined) {
    const guess = nearest(kind, [...Object.keys(KINDS), ...OTHER_KINDS.keys()])
    const hint = guess ? `Did you mean "${guess}"?` : `Kinds: ${Object.keys(KINDS).join(', ')}.`
    found.push(document.problem(['kind'], 'value', 'UNKNOWN_KIND', `unknown kind "${kind.slice(0, 60)}"`, hint))
    return undefined
  }
  const ours = isKindName(kind) ? kind : undefined
  const expected = ours ? KINDS[ours].apiVersion : OUR_API
  if (apiVersion === expected) return ours
  const message = `${kind} belongs to ${expected}, not to "${apiVersion.slice(0, 60)}"`
  found.push(document.problem(['apiVersion'], 'value', 'UNKNOWN_KIND', message, `Write apiVersion: ${expected}.`))
  return undefined
}

/** Also of documents whose shape is wrong: others may refer to them, and that reference is no second mistake. */
function nameOf(value: unknown): { name: string; namespace: string } {
  const metadata = (value as { metadata?: { name?: unknown; namespace?: unknown } }).metadata
  const name = typeof metadata?.name === 'string' ? metadata.name : ''
  const namespace = typeof metadata?.namespace === 'string' ? metadata.namespace : DEFAULT_NAMESPACE
  return { name, namespace }
}

// ── all of them ─────────────────────────────────────────────────────────────────────────────────────────────────────

function assemble(parsed: readonly Parsed[]): MeshConfig {
  const of = <K extends KindName>(kind: K): (Parsed & { kind: K })[] =>
    parsed.filter((one): one is Parsed & { kind: K } => one.kind === kind)
  const resource = <S>(one: Parsed, spec: S): Resource<S> => ({
    name: one.name,
    namespace: one.namespace,
    place: one.document.place(['metadata', 'name']),
    spec,
  })
  return {
    mesh: settingsOf(of('Mesh')[0]?.value),
    services: of('Service').map((one) => resource(one, one.value!.spec)),
    routes: of('HTTPRoute').map((one) => ({
      ...resource(one, one.value!.spec),
      rulePlaces: (one.value!.spec.rules ?? []).map((_, index) => one.document.place(['spec', 'rules', index])),
    })),
    trafficPolicies: of('TrafficPolicy').map((one) => resource(one, one.value!.spec)),
    authorizationPolicies: of('AuthorizationPolicy').map((one) => resource(one, one.value!.spec)),
  }
}

function settingsOf(mesh: MeshDocument | undefined): MeshSettings {
  const leaf = mesh?.spec.ttl?.leaf
  return {
    trustDomain: mesh?.spec.trustDomain ?? DEFAULT_TRUST_DOMAIN,
    samplePercent: mesh?.spec.tracing?.samplePercent ?? DEFAULT_SAMPLE_PERCENT,
    leafTtlMs: leaf === undefined ? DEFAULT_LEAF_TTL_MS : durationMs(leaf),
  }
}
