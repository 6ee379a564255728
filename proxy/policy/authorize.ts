// authorize.ts — may this peer send this request to our app? DENY over ALLOW, then the default action.
//
// Compiled once per snapshot. Paths are canonical (the wire side refuses what two parsers could read differently), so
// a DENY cannot be walked around by spelling. A peer without identity ('') matches only rules that name nobody.

import type { AuthorizationRule, Inbound } from '../../mesh-config/snapshot.ts'
import type { Authorizer } from '../exchange.ts'

export interface Verdict {
  readonly allowed: boolean
  /** Policy that decided, or `default`. */
  readonly rule: string
}

interface Compiled {
  readonly verdict: Verdict
  matches(principal: string, method: string, path: string): boolean
}

export function compileAuthorizer(inbound: Inbound, trustDomain: string): Authorizer {
  const rules = inbound.rules.map((rule) => compileRule(rule, trustDomain))
  const deny = rules.filter((rule) => !rule.verdict.allowed)
  const allow = rules.filter((rule) => rule.verdict.allowed)
  const otherwise: Verdict = { allowed: inbound.defaultAction === 'allow', rule: 'default' }
  return {
    check(principal, method, path) {
      const fits = (rule: Compiled): boolean => rule.matches(principal, method, path)
      return (deny.find(fits) ?? allow.find(fits))?.verdict ?? otherwise
    },
  }
}

function compileRule(rule: AuthorizationRule, trustDomain: string): Compiled {
  const principal = anyOf(rule.principals)
  const path = anyOf(rule.paths)
  const methods = new Set(rule.methods)
  const namespaces = rule.namespaces.map((namespace) => `spiffe://${trustDomain}/ns/${namespace}/sa/`)
  return {
    verdict: { allowed: rule.action === 'ALLOW', rule: rule.policy },
    matches: (who, method, where) =>
      principal(who) &&
      (methods.size === 0 || methods.has(method)) &&
      (namespaces.length === 0 || namespaces.some((prefix) => who.startsWith(prefix))) &&
      path(where),
  }
}

/** Exact or with one trailing `*`; an empty list fits everything. */
function anyOf(patterns: readonly string[]): (text: string) => boolean {
  if (patterns.length === 0) return () => true
  const exact = new Set(patterns.filter((pattern) => !pattern.endsWith('*')))
  const prefixes = patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1))
  return (text) => exact.has(text) || prefixes.some((prefix) => prefix.length <= text.length && text.startsWith(prefix))
}
