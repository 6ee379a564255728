// times.ts — limits that fight each other: a request's time and its retries, a rule's time and its service's.

import type { RouteResource } from '../config.ts'
import { DEFAULT_RETRY } from '../defaults.ts'
import { durationMs } from '../duration.ts'
import { isServiceParent, type RouteRule } from '../kinds/http-route.ts'
import { limitMs, policiesFor, requestTimeoutOf } from '../policy.ts'
import type { ConfigProblem } from '../problem.ts'
import type { Path } from '../source.ts'
import type { Analysed } from './analyze.ts'

export function timeFindings(analysed: Analysed): ConfigProblem[] {
  const { config, located } = analysed
  const emptyBudgets = config.trafficPolicies.flatMap((policy) => {
    const { percent, minPerSecond } = policy.spec.retryBudget ?? {}
    if (percent !== 0 || minPerSecond !== 0) return []
    const message = 'a budget of 0 % and 0 per second: no request is ever retried'
    return [
      located.finding('TrafficPolicy', policy, ['spec', 'retryBudget'], 'key', { code: 'RETRY_BUDGET_EMPTY', message }),
    ]
  })
  const rules = config.routes.flatMap((route) =>
    (route.spec.rules ?? []).flatMap((rule, index) => ruleTimes(analysed, route, rule, index)),
  )
  return [...emptyBudgets, ...rules]
}

function ruleTimes(analysed: Analysed, route: RouteResource, rule: RouteRule, index: number): ConfigProblem[] {
  const path: Path = ['spec', 'rules', index]
  return [
    ...retriesOff(analysed, route, rule, path),
    ...retriesTooLong(analysed, route, rule, path),
    ...cutByPolicy(analysed, route, rule, path),
  ]
}

function retriesOff({ located }: Analysed, route: RouteResource, { retry }: RouteRule, path: Path): ConfigProblem[] {
  if (retry?.attempts !== 0 || (retry.codes === undefined && retry.backoff === undefined)) return []
  const message = 'attempts is 0, so codes and backoff do nothing'
  return [located.finding('HTTPRoute', route, [...path, 'retry', 'attempts'], 'value', { code: 'RETRY_OFF', message })]
}

/** At least: every try at its limit, and the shortest wait before each retry. */
function retriesTooLong(analysed: Analysed, route: RouteResource, rule: RouteRule, path: Path): ConfigProblem[] {
  if (!rule.retry) return []
  const attempts = rule.retry.attempts ?? DEFAULT_RETRY.attempts
  const wholeMs = rule.timeouts?.request === undefined ? policyMs(analysed, route) : limitMs(rule.timeouts.request)
  if (attempts === 0 || wholeMs === null) return []
  const oneMs = rule.timeouts?.backendRequest === undefined ? 0 : durationMs(rule.timeouts.backendRequest)
  const waitMs = rule.retry.backoff === undefined ? DEFAULT_RETRY.backoffMs : durationMs(rule.retry.backoff)
  const neededMs = (attempts + 1) * oneMs + attempts * waitMs
  if (neededMs <= wholeMs) return []
  const tries = oneMs > 0 ? `${attempts + 1} tries of ${oneMs} ms and ` : ''
  const message = `${tries}${attempts} waits of ${waitMs} ms or more need ${neededMs} ms; the request has ${wholeMs} ms`
  const own = rule.timeouts?.request !== undefined
  const at = own ? [...path, 'timeouts', 'request'] : [...path, 'retry']
  const say = { code: 'TIMEOUT_BELOW_RETRIES', message } as const
  return [analysed.located.finding('HTTPRoute', route, at, own ? 'value' : 'key', say)]
}

/** The called service's own sidecar enforces the request timeout of its policy, whatever a route allows. */
function cutByPolicy(analysed: Analysed, route: RouteResource, rule: RouteRule, path: Path): ConfigProblem[] {
  const { request } = rule.timeouts ?? {}
  if (request === undefined) return []
  const limit = policyMs(analysed, route)
  const askedMs = limitMs(request)
  if (limit === null || (askedMs !== null && askedMs <= limit)) return []
  const message = `the TrafficPolicy of the service ends requests after ${limit} ms; this rule allows ${request}`
  const at = [...path, 'timeouts', 'request']
  return [analysed.located.finding('HTTPRoute', route, at, 'value', { code: 'TIMEOUT_CUT', message })]
}

/** `timeouts.request` of the service that the route is for; null = none. Several services: the shortest. */
function policyMs({ config, destinations }: Analysed, route: RouteResource): number | null {
  const limits = route.spec.parentRefs.filter(isServiceParent).flatMap((ref) => {
    const namespace = ref.namespace ?? route.namespace
    const to = destinations.find((one) => one.name === ref.name && one.namespace === namespace)
    const ms = to && requestTimeoutOf(policiesFor(config, to.namespace, to.name, to.service))
    return ms === undefined || ms === null ? [] : [ms]
  })
  return limits.length === 0 ? null : Math.min(...limits)
}
