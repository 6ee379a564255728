// cover.ts — does one condition take everything that another one takes? True only where that is certain.
//
// Pure. Regular expressions are compared as texts, tried on exact values, and known when they take all; past that the
// answer is no: an analysis that cries wolf is switched off.

import { compileRegex } from '../regex.ts'
import type { AuthorizationRule, Match } from '../snapshot.ts'

type Condition = Match['headers'][number]

/** Every request that fits `narrow` fits `wide`. */
export function coversMatch(wide: Match, narrow: Match): boolean {
  return (
    coversPath(wide.path, narrow.path) &&
    (wide.method === undefined || wide.method === narrow.method) &&
    wide.headers.every((want) => narrow.headers.some((have) => coversCondition(want, have))) &&
    wide.query.every((want) => narrow.query.some((have) => coversCondition(want, have)))
  )
}

function coversPath(wide: Match['path'], narrow: Match['path']): boolean {
  if (wide.type === 'PathPrefix') {
    const prefix = withoutSlash(wide.value)
    if (prefix === '') return true
    return narrow.type !== 'RegularExpression' && isUnder(prefix, withoutSlash(narrow.value))
  }
  if (wide.type === 'Exact') return narrow.type === 'Exact' && narrow.value === wide.value
  return coversText(wide.value, narrow.type, narrow.value) || takesAnyPath(wide.value)
}

function coversCondition(wide: Condition, narrow: Condition): boolean {
  if (wide.name !== narrow.name) return false
  if (wide.type === 'Exact') return narrow.type === 'Exact' && narrow.value === wide.value
  return wide.value === '.*' || coversText(wide.value, narrow.type, narrow.value)
}

/** An expression over another text or expression. */
function coversText(pattern: string, type: Match['path']['type'], value: string): boolean {
  if (type === 'RegularExpression') return pattern === value
  return type === 'Exact' && compileRegex(pattern).test(value)
}

/** The ways in which people write "any path". */
export const takesAnyPath = (pattern: string): boolean => ['.*', '/.*', '.+', '^.*$', '^/.*$'].includes(pattern)

const withoutSlash = (value: string): string => (value.endsWith('/') ? value.slice(0, -1) : value)
const isUnder = (prefix: string, path: string): boolean => path === prefix || path.startsWith(`${prefix}/`)

// ── who may call ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Every caller and request that fits `narrow` fits `wide`. */
export function coversRule(wide: AuthorizationRule, narrow: AuthorizationRule): boolean {
  return (
    coversList(wide.principals, narrow.principals, coversPattern) &&
    coversNamespaces(wide, narrow) &&
    coversList(wide.methods, narrow.methods, (a, b) => a === b) &&
    coversList(wide.paths, narrow.paths, coversPattern)
  )
}

/** An empty list takes all. */
function coversList(wide: readonly string[], narrow: readonly string[], covers: (a: string, b: string) => boolean) {
  if (wide.length === 0) return true
  return narrow.length > 0 && narrow.every((item) => wide.some((other) => covers(other, item)))
}

/** A principal that is exact, or a prefix past its namespace, says the namespace too. */
function coversNamespaces(wide: AuthorizationRule, narrow: AuthorizationRule): boolean {
  if (wide.namespaces.length === 0) return true
  if (narrow.namespaces.length > 0) return narrow.namespaces.every((item) => wide.namespaces.includes(item))
  return narrow.principals.length > 0 && narrow.principals.every((one) => wide.namespaces.includes(namespaceOf(one)))
}

/** '' when the principal leaves it open. */
export const namespaceOf = (principal: string): string => /^spiffe:\/\/[^/]+\/ns\/([^/*]+)\//.exec(principal)?.[1] ?? ''

/** Exact, or a prefix ending in `*`. */
export function coversPattern(wide: string, narrow: string): boolean {
  if (!wide.endsWith('*')) return wide === narrow
  const stem = wide.slice(0, -1)
  return (narrow.endsWith('*') ? narrow.slice(0, -1) : narrow).startsWith(stem)
}
