// snapshot-diff.ts — two snapshots of one sidecar → what changes for it, by service, rule, backend and inbound.
//
// Pure. `self`, `version` and `schema` are no changes. Bounded: a rewrite of ten thousand routes is told as its first
// few hundred changes and their number.

import type { Rule, Service, Snapshot } from './snapshot.ts'

export const CHANGES_MAX = 500
const DETAILS_MAX = 20

export interface Change {
  readonly part: 'mesh' | 'service' | 'rule' | 'backend' | 'inbound'
  /** `worker`, `worker: default/split[0]`, or '' where there is one only. */
  readonly name: string
  readonly change: 'added' | 'removed' | 'changed' | 'reordered'
  /** Leaves that differ; of what is new or gone none. */
  readonly details: readonly Detail[]
}
export interface Detail {
  /** `policy.breaker.failures`, `match.headers[0].value` */
  readonly path: string
  /** JSON; undefined = nothing stood there. */
  readonly before?: unknown
  readonly after?: unknown
}
export interface SnapshotDiff {
  readonly changes: readonly Change[]
  /** All of them, also those past the bound. */
  readonly count: number
}

export function diffSnapshots(before: Snapshot, after: Snapshot): SnapshotDiff {
  const changes = [
    ...meshChanges(before, after),
    ...paired('service', keyed(before.services, serviceKey), keyed(after.services, serviceKey), bareService),
    ...ruleChanges(before, after),
    ...paired('backend', keyed(before.backends, keyOfBackend), keyed(after.backends, keyOfBackend), byInstance),
    ...changed('inbound', '', before.inbound, after.inbound),
  ]
  return { changes: changes.slice(0, CHANGES_MAX), count: changes.length }
}

function meshChanges(before: Snapshot, after: Snapshot): Change[] {
  const of = ({ trustDomain, trustBundle, tracing, revoked }: Snapshot) => ({
    ...{ trustDomain, trustBundle, tracing },
    ...(revoked === undefined ? {} : { revoked }),
  })
  return changed('mesh', '', of(before), of(after))
}

const serviceKey = ({ service, namespace }: Service): string =>
  namespace === 'default' ? service : `${service}.${namespace}`
const keyOfBackend = ({ name }: { readonly name: string }): string => name
/** Rules are told one by one. */
const bareService = ({ rules: _, ...rest }: Service): unknown => rest
/** Endpoints come and go by instance, not by their place in a list. */
const byInstance = ({ endpoints, ...rest }: Snapshot['backends'][number]): unknown => ({
  ...rest,
  endpoints: Object.fromEntries(endpoints.map((endpoint) => [endpoint.instance, endpoint])),
})

// ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function ruleChanges(before: Snapshot, after: Snapshot): Change[] {
  const old = keyed(before.services, serviceKey)
  return after.services.flatMap((service) => {
    const was = old.get(serviceKey(service))
    if (!was) return []
    const [from, to] = [bySource(was), bySource(service)]
    const changes = paired('rule', from, to, (rules) => rules.map(({ id: _, ...rule }) => rule))
    return [...changes, ...reordered(serviceKey(service), from, to)]
  })
}

/** The entries of one written rule, by `service: rule`. */
function bySource(service: Service): Map<string, Rule[]> {
  const groups = new Map<string, Rule[]>()
  for (const rule of service.rules) {
    const key = `${serviceKey(service)}: ${rule.id}`
    const group = groups.get(key)
    if (group) group.push(rule)
    else groups.set(key, [rule])
  }
  return groups
}

/** The order decides which rule wins; a rule that came or went is no new order of the others. */
function reordered(name: string, from: ReadonlyMap<string, unknown>, to: ReadonlyMap<string, unknown>): Change[] {
  const before = [...from.keys()].filter((key) => to.has(key))
  const after = [...to.keys()].filter((key) => from.has(key))
  if (before.every((key, at) => key === after[at])) return []
  return [{ part: 'rule', name, change: 'reordered', details: [{ path: 'order', before, after }] }]
}

// ── comparing ───────────────────────────────────────────────────────────────────────────────────────────────────────

const keyed = <T>(list: readonly T[], key: (one: T) => string): Map<string, T> =>
  new Map(list.map((one) => [key(one), one]))

function paired<T>(
  part: Change['part'],
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  view: (one: T) => unknown,
): Change[] {
  const gone = [...before.keys()].filter((name) => !after.has(name))
  return [
    ...gone.map((name): Change => ({ part, name, change: 'removed', details: [] })),
    ...[...after].flatMap(([name, one]): Change[] => {
      const was = before.get(name)
      return was === undefined
        ? [{ part, name, change: 'added', details: [] }]
        : changed(part, name, view(was), view(one))
    }),
  ]
}

function changed(part: Change['part'], name: string, before: unknown, after: unknown): Change[] {
  const details = leavesThatDiffer(before, after, '')
  return details.length === 0 ? [] : [{ part, name, change: 'changed', details: details.slice(0, DETAILS_MAX) }]
}

function leavesThatDiffer(before: unknown, after: unknown, path: string): Detail[] {
  if (isBranch(before) && isBranch(after) && Array.isArray(before) === Array.isArray(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])]
    return keys.flatMap((key) => leavesThatDiffer(before[key], after[key], step(path, key, Array.isArray(after))))
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return []
  return [{ path, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }]
}

const isBranch = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const step = (path: string, key: string, inList: boolean): string =>
  inList ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
