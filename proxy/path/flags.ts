// flags.ts — response flag of each error that ends a request here (the field's letters; reference: Envoy).

import type { ErrorCode } from '../../kernel/errors.ts'
import type { Flag } from '../exchange.ts'

const FLAGS: Partial<Record<ErrorCode, Flag>> = {
  BAD_REQUEST: 'DPE',
  HEADERS_TOO_LARGE: 'DPE',
  REQUEST_TIMEOUT: 'DPE',
  UNSUPPORTED: 'DPE',
  EGRESS_DENIED: 'UAEX',
  POLICY_DENIED: 'UAEX',
  ROUTE_NOT_FOUND: 'NR',
  NO_HEALTHY_INSTANCE: 'UH',
  INSTANCE_GONE: 'UH',
  ENDPOINT_MISMATCH: 'UF',
  UPSTREAM_CONNECT_FAILED: 'UF',
  UPSTREAM_TLS: 'UF',
  UPSTREAM_CIRCUIT_OPEN: 'UO',
  UPSTREAM_SATURATED: 'UO',
  UPSTREAM_RESET: 'UC',
  UPSTREAM_PROTOCOL: 'UPE',
  UPSTREAM_TIMEOUT: 'UT',
  RETRY_BUDGET_EXHAUSTED: 'URX',
  OVERLOADED: 'OM',
  DRAINING: 'LH',
  NOT_READY: 'LH',
}

export const flagOf = (code: ErrorCode): Flag => FLAGS[code] ?? '-'
