// local-surface.ts — /.fairlead/* for the own app: who am I, which version next, how did it end (docs/dispatch.md §1).
//
// The listener has checked that the caller is the own app (loopback, Host, Origin) and bounded the body.

import { FairleadError } from '../kernel/errors.ts'
import {
  OUTCOME_PATH,
  parseOutcomeReport,
  parseQuoteRequest,
  QUOTE_PATH,
  SELF_PATH,
  type Self,
} from '../kernel/local-surface.ts'
import { parseJson } from '../kernel/parse.ts'
import type { Fields, LocalAnswer, LocalSurface, RouteTable } from './exchange.ts'
import { applyOutcomes } from './policy/outcomes.ts'
import type { QuoteLedger } from './policy/quotes.ts'

export const LOCAL_BODY_BYTES_MAX = 1024 * 1024

export interface LocalSurfaceParts {
  readonly self: () => Omit<Self, 'snapshotVersion'>
  readonly table: () => RouteTable | undefined
  readonly quotes: QuoteLedger
}

export function localSurface(parts: LocalSurfaceParts): LocalSurface {
  const calls: Record<string, { method: string; run: (body: unknown) => LocalAnswer }> = {
    [SELF_PATH]: {
      method: 'GET',
      run: () => ({
        status: 200,
        body: { ...parts.self(), snapshotVersion: parts.table()?.snapshot.version ?? '' } satisfies Self,
      }),
    },
    [QUOTE_PATH]: {
      method: 'POST',
      run: (body) => ({ status: 200, body: parts.quotes.quote(tableOf(parts), parseQuoteRequest(body)) }),
    },
    [OUTCOME_PATH]: {
      method: 'POST',
      run(body) {
        const report = parseOutcomeReport(body)
        applyOutcomes(tableOf(parts), report.outcomes)
        parts.quotes.unused(report.unused)
        return { status: 204, body: undefined }
      },
    },
  }
  return {
    async handle(method: string, path: string, _fields: Fields, body: Buffer): Promise<LocalAnswer> {
      const call = calls[path]
      if (!call) throw new FairleadError('ROUTE_NOT_FOUND', `The local surface has no ${path}.`)
      if (method !== call.method) throw new FairleadError('BAD_REQUEST', `${path} takes ${call.method}, not ${method}.`)
      return call.run(method === 'GET' ? undefined : parseJson(body, path, LOCAL_BODY_BYTES_MAX))
    },
    drawn: (quote, backend) => parts.quotes.drawn(quote, backend),
  }
}

function tableOf(parts: LocalSurfaceParts): RouteTable {
  const table = parts.table()
  if (!table) throw new FairleadError('NOT_READY', 'No snapshot yet.')
  return table
}
