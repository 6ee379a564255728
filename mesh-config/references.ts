// references.ts — what resources say about each other: names are unique, targets exist, policies do not contradict.
//
// A resource whose own shape is wrong still counts as existing, so that one mistake is one problem.

import { DEFAULT_NAMESPACE } from '../kernel/authority.ts'
import { DEFAULT_TRUST_DOMAIN } from './defaults.ts'
import type { AuthorizationPolicyDocument } from './kinds/authorization-policy.ts'
import type { Report } from './kinds/common.ts'
import { type HttpRoute, isServiceParent } from './kinds/http-route.ts'
import type { MeshDocument } from './kinds/mesh.ts'
import { trustDomainOf } from './kinds/principal.ts'
import type { ServiceDocument } from './kinds/service.ts'
import { type TrafficPolicyDocument, targetsOf } from './kinds/traffic-policy.ts'
import type { ConfigCode, Place } from './problem.ts'
import type { Path, SourceDocument } from './source.ts'
import { nearest } from './suggest.ts'

interface ParsedAs<Kind extends string, Value> {
  readonly kind: Kind
  readonly name: string
  readonly namespace: string
  readonly document: SourceDocument
  readonly report: Report
  /** Absent when the shape is too wrong to be read. */
  readonly value: Value | undefined
}
export type Parsed =
  | ParsedAs<'Mesh', MeshDocument>
  | ParsedAs<'Service', ServiceDocument>
  | ParsedAs<'HTTPRoute', HttpRoute>
  | ParsedAs<'TrafficPolicy', TrafficPolicyDocument>
  | ParsedAs<'AuthorizationPolicy', AuthorizationPolicyDocument>

export function checkReferences(all: readonly Parsed[]): void {
  checkUnique(all)
  const world = new World(all)
  for (const one of all) {
    if (one.kind === 'Service') world.checkHostnames(one)
    else if (one.kind === 'HTTPRoute') world.checkRoute(one)
    else if (one.kind === 'TrafficPolicy') world.checkTrafficPolicy(one)
    else if (one.kind === 'AuthorizationPolicy') world.checkAuthorization(one)
  }
}

function checkUnique(all: readonly Parsed[]): void {
  const first = new Map<string, Place>()
  for (const { kind, namespace, name, document, report } of all) {
    const key = kind === 'Mesh' ? 'Mesh' : `${kind} ${namespace}/${name}`
    const place = document.place(['metadata', 'name'])
    const before = first.get(key)
    if (before && name !== '') {
      const what = kind === 'Mesh' ? 'a second Mesh document' : `a second ${key}`
      const message = `${what}; the first is at ${before.file}:${before.line}`
      report.error(['metadata', 'name'], 'value', 'DUPLICATE_RESOURCE', message)
    } else first.set(key, place)
  }
}

/** Looking for the nearest name is the one dear thing here; the first misspellings get it. */
const GUESSES_MAX = 100

class World {
  private guesses = 0
  private readonly services = new Map<string, ServiceDocument | undefined>()
  private readonly hostnames = new Map<string, string>()
  private readonly targeted = new Map<string, Place>()
  private readonly trustDomain: string

  constructor(all: readonly Parsed[]) {
    for (const one of all) {
      if (one.kind === 'Service') this.services.set(`${one.namespace}/${one.name}`, one.value)
    }
    const mesh = all.find((one) => one.kind === 'Mesh')
    this.trustDomain = mesh?.value?.spec.trustDomain ?? DEFAULT_TRUST_DOMAIN
  }

  checkHostnames({ name, namespace, report, value }: Parsed & { kind: 'Service' }): void {
    for (const [index, hostname] of (value?.spec.hostnames ?? []).entries()) {
      const before = this.hostnames.get(hostname)
      if (before !== undefined) {
        const message = `${hostname} leads to the Service ${before} already`
        report.error(['spec', 'hostnames', index], 'value', 'DUPLICATE_HOSTNAME', message)
      }
      this.hostnames.set(hostname, `${namespace}/${name}`)
    }
  }

  checkRoute({ namespace, report, value }: Parsed & { kind: 'HTTPRoute' }): void {
    for (const [index, parent] of (value?.spec.parentRefs ?? []).entries()) {
      if (!isServiceParent(parent)) continue
      const path = ['spec', 'parentRefs', index]
      this.expect(report, path, parent.namespace ?? namespace, parent.name, 'UNKNOWN_PARENT')
      this.expectHttp(report, path, parent.namespace ?? namespace, parent.name)
    }
    for (const [index, rule] of (value?.spec.rules ?? []).entries()) {
      for (const [at, ref] of (rule.backendRefs ?? []).entries()) {
        const path = ['spec', 'rules', index, 'backendRefs', at]
        this.expect(report, path, ref.namespace ?? namespace, ref.name, 'UNKNOWN_BACKEND')
        this.expectHttp(report, path, ref.namespace ?? namespace, ref.name)
      }
    }
  }

  checkTrafficPolicy({ namespace, document, report, value }: Parsed & { kind: 'TrafficPolicy' }): void {
    for (const [path, name] of targetPaths(value)) {
      this.expect(report, path, namespace, name, 'UNKNOWN_TARGET')
      const key = `${namespace}/${name}`
      const before = this.targeted.get(key)
      const place = document.place([...path, 'name'])
      if (before) {
        const message = `${key} has a TrafficPolicy already, at ${before.file}:${before.line}`
        report.error([...path, 'name'], 'value', 'DUPLICATE_POLICY', message)
      } else this.targeted.set(key, place)
    }
  }

  checkAuthorization({ namespace, report, value }: Parsed & { kind: 'AuthorizationPolicy' }): void {
    for (const [path, name] of targetPaths(value)) {
      this.expect(report, path, namespace, name, 'UNKNOWN_TARGET')
      if (!this.services.get(`${namespace}/${name}`)?.spec.endpoints) continue
      const message = `${name} has static endpoints: no sidecar stands before them that could refuse`
      report.error([...path, 'name'], 'value', 'CONFLICT', message, 'Target a discovered Service.')
    }
    for (const [index, rule] of (value?.spec.rules ?? []).entries()) {
      for (const [at, principal] of (rule.from?.principals ?? []).entries()) {
        const domain = trustDomainOf(principal)
        if (domain === undefined || domain === this.trustDomain) continue
        const path = ['spec', 'rules', index, 'from', 'principals', at]
        const message = `the trust domain of this mesh is ${this.trustDomain}, not ${domain}`
        report.warn(path, 'value', 'FOREIGN_TRUST_DOMAIN', message)
      }
    }
  }

  private expect(report: Report, path: Path, namespace: string, name: string, code: ConfigCode): void {
    if (this.services.has(`${namespace}/${name}`)) return
    const where = namespace === DEFAULT_NAMESPACE ? '' : ` in the namespace ${namespace}`
    const message = `no Service "${name}"${where}`
    report.error([...path, 'name'], 'value', code, message, this.guess(namespace, name))
  }

  private expectHttp(report: Report, path: Path, namespace: string, name: string): void {
    if (this.services.get(`${namespace}/${name}`)?.spec.protocol !== 'tcp') return
    const message = `${name} has protocol tcp: there are no HTTP requests to route`
    report.error([...path, 'name'], 'value', 'CONFLICT', message, 'Declare protocol http, h2c or grpc.')
  }

  private guess(namespace: string, name: string): string | undefined {
    if (++this.guesses > GUESSES_MAX) return undefined
    const elsewhere = [...this.services.keys()].find((key) => key.endsWith(`/${name}`))
    if (elsewhere) return `There is one in the namespace ${elsewhere.split('/')[0]}; say namespace.`
    const here = [...this.services.keys()].filter((key) => key.startsWith(`${namespace}/`))
    const guess = nearest(
      name,
      here.map((key) => key.slice(namespace.length + 1)),
    )
    return guess && `Did you mean "${guess}"?`
  }
}

function targetPaths(policy: TrafficPolicyDocument | AuthorizationPolicyDocument | undefined): [Path, string][] {
  if (!policy) return []
  const list = policy.spec.targetRefs !== undefined
  return targetsOf(policy).map((target, index) => [
    list ? ['spec', 'targetRefs', index] : ['spec', 'targetRef'],
    target.name,
  ])
}
