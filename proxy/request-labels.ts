// request-labels.ts — the labels of one request: Istio's (both ends, by workload and principal) and ours. Pure.

import type { Backend } from '../mesh-config/snapshot.ts'
import type { Exchange } from './exchange.ts'
import type { Labels } from './request-series.ts'

export const ISTIO_LABELS = [
  'reporter',
  'source_workload',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'destination_workload',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_service',
  'destination_service_name',
  'destination_service_namespace',
  'request_protocol',
  'response_code',
  'response_flags',
  'connection_security_policy',
] as const
export const OWN_LABELS = ['direction', 'service', 'backend', 'version', 'code', 'flags'] as const
const UNKNOWN = 'unknown'

/** One end of a request. */
export interface Party {
  readonly app: string
  readonly namespace: string
  readonly version: string
  readonly principal: string
}

type DestinationBackend = Pick<Backend, 'service' | 'namespace' | 'identity'>

export function istioLabels(exchange: Exchange, own: Party, backend: DestinationBackend | undefined): Labels {
  const outbound = exchange.direction === 'outbound'
  const peer = peerOf(exchange, backend)
  const [source, destination] = outbound ? [own, peer] : [peer, own]
  return {
    reporter: outbound ? 'source' : 'destination',
    source_workload: source.app,
    source_workload_namespace: source.namespace,
    source_principal: source.principal || UNKNOWN,
    source_app: source.app,
    source_version: source.version,
    destination_workload: destination.app,
    destination_workload_namespace: destination.namespace,
    destination_principal: destination.principal || UNKNOWN,
    destination_app: destination.app,
    destination_version: destination.version,
    destination_service: destination.app === UNKNOWN ? UNKNOWN : `${destination.app}.${destination.namespace}.mesh`,
    destination_service_name: destination.app,
    destination_service_namespace: destination.namespace,
    request_protocol: 'http',
    response_code: String(exchange.status),
    response_flags: exchange.flag,
    connection_security_policy: outbound ? UNKNOWN : exchange.principal ? 'mutual_tls' : 'none',
  }
}

export const ownLabels = (exchange: Exchange): Labels => ({
  direction: exchange.direction,
  service: exchange.service,
  backend: exchange.backend,
  version: exchange.version,
  code: String(exchange.status),
  flags: exchange.flag,
})

/** Where requests count once there are too many sets of labels. */
export const OTHER_LABELS: readonly Labels[] = [
  Object.fromEntries(ISTIO_LABELS.map((name) => [name, 'other'])),
  Object.fromEntries(OWN_LABELS.map((name) => [name, 'other'])),
]

const SERVICE_ID = /\/ns\/([^/]+)\/sa\/([^/]+)$/

function peerOf(exchange: Exchange, backend: DestinationBackend | undefined): Party {
  if (exchange.direction === 'outbound') {
    return {
      app: backend?.service ?? (exchange.service || UNKNOWN),
      namespace: backend?.namespace ?? UNKNOWN,
      version: exchange.version || UNKNOWN,
      principal: backend?.identity ?? '',
    }
  }
  const id = SERVICE_ID.exec(exchange.principal)
  return {
    app: id?.[2] ?? UNKNOWN,
    namespace: id?.[1] ?? UNKNOWN,
    version: UNKNOWN,
    principal: exchange.principal,
  }
}
