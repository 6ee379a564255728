// order.ts — which rule comes first: the precedence of HTTPRoute, over all matches of all rules of all routes.
//
// Exact path > longest PathPrefix (characters) > has a method > most header conditions > most query conditions; then
// {namespace}/{name} of the route, then the rule's place in it, then the match's place in the rule. Regular-expression
// paths are the implementation's choice: ours stand between Exact and PathPrefix, longest expression first, since who
// writes one means something narrower than a prefix.

import type { Match } from './snapshot.ts'

export interface Ranked {
  readonly match: Match
  /** `{namespace}/{name}` */
  readonly route: string
  readonly ruleIndex: number
  readonly matchIndex: number
}

/** Negative = `a` first. Total: 0 only for the same match of the same rule. */
export function byPrecedence(a: Ranked, b: Ranked): number {
  return (
    pathRank(b.match) - pathRank(a.match) ||
    pathLength(b.match) - pathLength(a.match) ||
    Number(b.match.method !== undefined) - Number(a.match.method !== undefined) ||
    b.match.headers.length - a.match.headers.length ||
    b.match.query.length - a.match.query.length ||
    compareText(a.route, b.route) ||
    a.ruleIndex - b.ruleIndex ||
    a.matchIndex - b.matchIndex
  )
}

/** Why `winner` stands before `loser`, in words. */
export function whyFirst(winner: Ranked, loser: Ranked): string {
  const [a, b] = [winner.match, loser.match]
  if (pathRank(a) !== pathRank(b)) return `a path of type ${a.path.type} goes before ${b.path.type}`
  if (pathLength(a) !== pathLength(b)) return `the longer path goes first (${a.path.value} before ${b.path.value})`
  if ((a.method === undefined) !== (b.method === undefined)) return 'a match with a method goes first'
  if (a.headers.length !== b.headers.length) return 'more header conditions go first'
  if (a.query.length !== b.query.length) return 'more query conditions go first'
  if (winner.route !== loser.route) return `equal otherwise; ${winner.route} comes before ${loser.route} by name`
  return 'equal otherwise; the earlier rule of the route goes first'
}

const PATH_RANK = { PathPrefix: 0, RegularExpression: 1, Exact: 2 } as const
const pathRank = (match: Match): number => PATH_RANK[match.path.type]

/** All Exact paths that fit one request are equal, so their length must not decide; a trailing slash counts nothing. */
function pathLength(match: Match): number {
  if (match.path.type === 'Exact') return 0
  const { value } = match.path
  return value.endsWith('/') && match.path.type === 'PathPrefix' ? value.length - 1 : value.length
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
