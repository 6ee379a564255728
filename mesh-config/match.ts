// match.ts — does this request fit this rule? HTTPRoute matching (gateway.networking.k8s.io/v1), nothing else.
//
// Pure and hot: rules come sorted by precedence (order.ts), matchers are compiled once per Match object and remembered
// as long as it lives, headers and query are looked up only when a condition asks. The proxy, `route explain` and the
// quote surface all decide with this file, so they cannot disagree.

import { compileRegex } from './regex.ts'
import type { Match, PathRewrite, Rule } from './snapshot.ts'

export interface MatchInput {
  readonly method: string
  /** Canonical, without query. */
  readonly path: string
  /** With its `?`, or ''. */
  readonly query: string
  /** Value of the first field of that name (asked in lower case). */
  header(name: string): string | undefined
}

export type Matcher = (input: MatchInput) => Rule | undefined

/** One condition: `fits` for the data path, `why` for people. */
interface Condition {
  fits(input: MatchInput, query: QueryLookup): boolean
  why(input: MatchInput, query: QueryLookup): string
}

/** Rules in order of precedence → a function to the first that fits. */
export function compileMatcher(rules: readonly Rule[]): Matcher {
  const compiled = rules.map((rule) => ({ rule, conditions: conditionsOf(rule.match) }))
  return (input) => {
    const query = new QueryLookup(input.query)
    for (const { rule, conditions } of compiled) {
      if (fitsAll(conditions, input, query)) return rule
    }
    return undefined
  }
}

export function findRule(rules: readonly Rule[], input: MatchInput): Rule | undefined {
  const query = new QueryLookup(input.query)
  return rules.find((rule) => fitsAll(conditionsOf(rule.match), input, query))
}

export function matches(match: Match, input: MatchInput): boolean {
  return fitsAll(conditionsOf(match), input, new QueryLookup(input.query))
}

/** The conditions that fail, in words; '' when it matches. */
export function whyNot(match: Match, input: MatchInput): string {
  const query = new QueryLookup(input.query)
  return conditionsOf(match)
    .filter((condition) => !condition.fits(input, query))
    .map((condition) => condition.why(input, query))
    .join('; ')
}

/** Path after URLRewrite or in a redirect's Location. ReplacePrefixMatch by the standard's table. */
export function rewritePath(rewrite: PathRewrite, path: string): string {
  if (rewrite.type === 'ReplaceFullPath') return rewrite.value === '' ? '/' : rewrite.value
  const prefix = withoutTrailingSlash(rewrite.prefix)
  if (!underPrefix(prefix, path)) return path
  const rest = path.slice(prefix.length)
  return `${withoutTrailingSlash(rewrite.value)}${rest}` || '/'
}

// ── conditions ──────────────────────────────────────────────────────────────────────────────────────────────────────

const remembered = new WeakMap<Match, readonly Condition[]>()

function conditionsOf(match: Match): readonly Condition[] {
  let conditions = remembered.get(match)
  if (!conditions) {
    conditions = compileMatch(match)
    remembered.set(match, conditions)
  }
  return conditions
}

function fitsAll(conditions: readonly Condition[], input: MatchInput, query: QueryLookup): boolean {
  for (const condition of conditions) if (!condition.fits(input, query)) return false
  return true
}

/** Cheapest first. */
function compileMatch(match: Match): Condition[] {
  const conditions: Condition[] = []
  if (match.method !== undefined) conditions.push(methodIs(match.method))
  if (match.path.type !== 'PathPrefix' || withoutTrailingSlash(match.path.value) !== '') {
    conditions.push(pathIs(match.path))
  }
  for (const header of match.headers) {
    conditions.push(valueIs('header', header, (input) => input.header(header.name)))
  }
  for (const param of match.query) {
    conditions.push(valueIs('query parameter', param, (_, query) => query.get(param.name)))
  }
  return conditions
}

function methodIs(method: string): Condition {
  return {
    fits: (input) => input.method === method,
    why: (input) => `method is ${input.method}, the rule wants ${method}`,
  }
}

function pathIs(path: Match['path']): Condition {
  if (path.type === 'Exact') {
    return {
      fits: (input) => input.path === path.value,
      why: (input) => `path ${input.path} is not exactly ${path.value}`,
    }
  }
  if (path.type === 'RegularExpression') {
    const regex = compileRegex(path.value)
    return {
      fits: (input) => regex.test(input.path),
      why: (input) => `path ${input.path} does not match the expression ${path.value}`,
    }
  }
  const prefix = withoutTrailingSlash(path.value)
  return {
    fits: (input) => underPrefix(prefix, input.path),
    why: (input) => `path ${input.path} is not under the prefix ${path.value}`,
  }
}

function valueIs(
  what: string,
  want: Match['headers'][number],
  read: (input: MatchInput, query: QueryLookup) => string | undefined,
): Condition {
  const regex = want.type === 'RegularExpression' ? compileRegex(want.value) : undefined
  const wanted = regex ? `one that matches ${want.value}` : `"${want.value}"`
  return {
    fits: (input, query) => {
      const value = read(input, query)
      return value !== undefined && (regex ? regex.test(value) : value === want.value)
    },
    why: (input, query) => {
      const value = read(input, query)
      return `${what} ${want.name} is ${value === undefined ? 'absent' : `"${value}"`}, the rule wants ${wanted}`
    },
  }
}

/** By path element: /abc covers /abc, /abc/ and /abc/def, not /abcd. */
function underPrefix(prefix: string, path: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 47)
}

function withoutTrailingSlash(value: string): string {
  return value.endsWith('/') ? value.slice(0, -1) : value
}

// ── query ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** First value of each parameter; parsed only when the first condition asks. */
class QueryLookup {
  private readonly raw: string
  private values: Map<string, string> | undefined

  constructor(raw: string) {
    this.raw = raw
  }

  get(name: string): string | undefined {
    this.values ??= parseQuery(this.raw)
    return this.values.get(name)
  }
}

function parseQuery(raw: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(raw)) if (!values.has(name)) values.set(name, value)
  return values
}
