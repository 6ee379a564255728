// views.ts — Consul's JSON: the same members in the same shape, so that a Consul client reads it unchanged.
//
// Recorded from Consul 1.8.7; the conformance suite holds both side by side.

import type { CheckRecord, ServiceRecord } from './catalog.ts'

export interface Node {
  readonly id: string
  readonly name: string
  readonly address: string
  readonly index: number
}

type Json = Readonly<Record<string, unknown>>
export const DATACENTER = 'dc1'
/** What we say to be: our members are Consul 1.8's. */
export const VERSION = '1.8.7-fairlead'

const lanWan = (value: unknown): Json => ({ lan: value, lan_ipv4: value, wan: value, wan_ipv4: value })

export function nodeView(node: Node): Json {
  return {
    ID: node.id,
    Node: node.name,
    Address: node.address,
    Datacenter: DATACENTER,
    TaggedAddresses: lanWan(node.address),
    Meta: { 'consul-network-segment': '' },
    CreateIndex: node.index,
    ModifyIndex: node.index,
  }
}

export function healthEntry(node: Node, record: ServiceRecord): Json {
  const checks = sortedChecks(record).map((check) => checkView(node, record, check))
  return { Node: nodeView(node), Service: healthService(record), Checks: [serfHealth(node), ...checks] }
}

function healthService(record: ServiceRecord): Json {
  const r = record.registration
  return {
    ...(r.kind === '' ? {} : { Kind: r.kind }),
    ID: r.id,
    Service: r.service,
    Tags: r.tags,
    Address: r.address,
    ...taggedAddresses('TaggedAddresses', record),
    Meta: r.meta,
    Port: r.port,
    Weights: r.weights,
    EnableTagOverride: r.enableTagOverride,
    Proxy: proxyView(record),
    Connect: {},
    CreateIndex: record.createIndex,
    ModifyIndex: record.modifyIndex,
  }
}

export function catalogEntry(node: Node, record: ServiceRecord): Json {
  const r = record.registration
  return {
    ID: node.id,
    Node: node.name,
    Address: node.address,
    Datacenter: DATACENTER,
    TaggedAddresses: lanWan(node.address),
    NodeMeta: { 'consul-network-segment': '' },
    ServiceKind: r.kind,
    ServiceID: r.id,
    ServiceName: r.service,
    ServiceTags: r.tags,
    ServiceAddress: r.address,
    ...taggedAddresses('ServiceTaggedAddresses', record),
    ServiceWeights: r.weights,
    ServiceMeta: r.meta,
    ServicePort: r.port,
    ServiceEnableTagOverride: r.enableTagOverride,
    ServiceProxy: proxyView(record),
    ServiceConnect: {},
    CreateIndex: record.createIndex,
    ModifyIndex: record.modifyIndex,
  }
}

export function agentService(record: ServiceRecord): Json {
  const r = record.registration
  return {
    ...(r.kind === '' ? {} : { Kind: r.kind }),
    ID: r.id,
    Service: r.service,
    Tags: r.tags,
    Meta: r.meta ?? {},
    Port: r.port,
    Address: r.address,
    ...taggedAddresses('TaggedAddresses', record),
    Weights: r.weights,
    EnableTagOverride: r.enableTagOverride,
    ...(r.kind === '' ? {} : { Proxy: proxyView(record) }),
  }
}

export function checkView(node: Node, record: ServiceRecord, check: CheckRecord): Json {
  return {
    Node: node.name,
    CheckID: check.definition.id,
    Name: check.definition.name,
    Status: check.status,
    Notes: check.definition.notes,
    Output: check.output,
    ServiceID: record.registration.id,
    ServiceName: record.registration.service,
    ServiceTags: record.registration.tags,
    Type: 'ttl',
    Definition: {},
    CreateIndex: check.createIndex,
    ModifyIndex: check.modifyIndex,
  }
}

export function serfHealth(node: Node): Json {
  return {
    Node: node.name,
    CheckID: 'serfHealth',
    Name: 'Serf Health Status',
    Status: 'passing',
    Notes: '',
    Output: 'Agent alive and reachable',
    ServiceID: '',
    ServiceName: '',
    ServiceTags: [],
    Type: '',
    Definition: {},
    CreateIndex: node.index,
    ModifyIndex: node.index,
  }
}

export function agentSelf(node: Node, port: number): Json {
  return {
    Config: {
      Datacenter: DATACENTER,
      NodeName: node.name,
      NodeID: node.id,
      Revision: '',
      Server: true,
      Version: VERSION,
    },
    Member: { Name: node.name, Addr: node.address, Port: port, Tags: { dc: DATACENTER, id: node.id }, Status: 1 },
    Meta: { 'consul-network-segment': '' },
  }
}

export function sortedChecks(record: ServiceRecord): CheckRecord[] {
  return [...record.checks.values()].sort((a, b) => (a.definition.id < b.definition.id ? -1 : 1))
}

function proxyView(record: ServiceRecord): Json {
  return { MeshGateway: {}, Expose: {}, ...record.registration.proxy }
}

function taggedAddresses(member: string, record: ServiceRecord): Json {
  const { address, port } = record.registration
  if (!/^\d+\.\d+\.\d+\.\d+$/.test(address)) return {}
  const tagged = { Address: address, Port: port }
  return { [member]: { lan_ipv4: tagged, wan_ipv4: tagged } }
}
