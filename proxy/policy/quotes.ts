// quotes.ts — quotes: which version the next units go to, promised for a few seconds (docs/dispatch.md §1).
//
// Owns: the open quotes, at most QUOTES_MAX (the oldest ends early) and QUOTE_TTL_MS old. A quote runs the real route
// and the real split; what comes back unused, or was not drawn when it ends, goes back to that split.
// A backend that takes none has its share in `refused`; a half-open breaker lets one unit through, its probe.
// Never: picks an instance; that is the scheduler's placement.

import { parseAuthority } from '../../kernel/authority.ts'
import type { Clock, MonotonicMs } from '../../kernel/clock.ts'
import { type ErrorCode, FairleadError } from '../../kernel/errors.ts'
import type { OutcomeReport, Quote, QuoteRequest } from '../../kernel/local-surface.ts'
import type { Random } from '../../kernel/random.ts'
import type { Breaker, Fields, RouteTable, RuleBackend, RuleEntry } from '../exchange.ts'

export const QUOTE_TTL_MS = 10_000
export const QUOTES_MAX = 4096
/** For shares that no timer frees: the caller adds jitter. */
const REFUSED_RETRY_MS = 1000

interface Share {
  units: number
  drawn: boolean
  /** Set when one of the units is the probe of a half-open breaker. */
  readonly probe: Breaker | undefined
}

interface OpenQuote {
  readonly expiresAt: MonotonicMs
  readonly rule: RuleEntry
  /** False when pinned: the split was skipped and gets nothing back. */
  readonly split: boolean
  readonly shares: Map<string, Share>
}

export class QuoteLedger {
  readonly #clock: Clock
  readonly #random: Random
  /** In order of expiry: one TTL for all. */
  readonly #open = new Map<string, OpenQuote>()

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  get size(): number {
    return this.#open.size
  }

  /** @throws FairleadError BAD_REQUEST, EGRESS_DENIED, ROUTE_NOT_FOUND */
  quote(table: RouteTable, request: QuoteRequest): Quote {
    this.sweep()
    const rule = routeOf(table, request)
    const { pinned, units } = request
    const shares = pinned === undefined ? rule.share(units) : pinnedShare(table, rule, pinned, units)
    const granted: Quote['backends'] = []
    const refused: Quote['refused'] = []
    const open = new Map<string, Share>()
    for (const share of shares) grant(share.to, share.units, open, granted, refused)
    const told = shares.reduce((sum, share) => sum + share.units, 0)
    if (told < units) refused.push(refusal('', pinned ?? '', units - told, emptyCode(pinned), REFUSED_RETRY_MS))
    const quote = Buffer.from(this.#random.bytes(12)).toString('base64url')
    this.#remember(quote, rule, pinned === undefined, open)
    const snapshotVersion = table.snapshot.version
    return { quote, expiresInMs: QUOTE_TTL_MS, backends: granted, refused, snapshotVersion }
  }

  /** A request went to that backend under the quote: its units do not go back by themselves any more. */
  drawn(quote: string, backend: string): void {
    const share = this.#open.get(quote)?.shares.get(backend)
    if (share) share.drawn = true
  }

  /** Unknown or ended quotes are passed over: what was theirs went back already. */
  unused(items: OutcomeReport['unused']): void {
    for (const { quote, backend, units } of items) {
      const open = this.#open.get(quote)
      const share = open?.shares.get(backend)
      if (!open || !share) continue
      const back = Math.min(units, share.units)
      share.units -= back
      if (open.split) open.rule.giveBack(backend, back)
      if (share.units === 0) {
        share.probe?.forget()
        open.shares.delete(backend)
      }
    }
  }

  /** Ends what is due; called before each quote and by a timer. */
  sweep(): void {
    const now = this.#clock.now()
    for (const [id, open] of this.#open) {
      if (open.expiresAt > now) break
      this.#end(id, open)
    }
  }

  #remember(id: string, rule: RuleEntry, split: boolean, shares: Map<string, Share>): void {
    for (const [oldest, open] of this.#open) {
      if (this.#open.size < QUOTES_MAX) break
      this.#end(oldest, open)
    }
    const expiresAt = (this.#clock.now() + QUOTE_TTL_MS) as MonotonicMs
    if (shares.size > 0) this.#open.set(id, { expiresAt, rule, split, shares })
  }

  #end(id: string, open: OpenQuote): void {
    this.#open.delete(id)
    for (const [backend, share] of open.shares) {
      if (share.drawn) continue
      if (open.split) open.rule.giveBack(backend, share.units)
      share.probe?.forget()
    }
  }
}

function routeOf(table: RouteTable, request: QuoteRequest): RuleEntry {
  const service = table.service(parseAuthority(request.authority))
  if (!service) throw new FairleadError('EGRESS_DENIED', `No service of the mesh is called ${request.authority}.`)
  const at = request.path.indexOf('?')
  const path = at < 0 ? request.path : request.path.slice(0, at)
  const rule = service.rule(request.method, path, at < 0 ? '' : request.path.slice(at), fieldsOf(request.headers))
  if (rule) return rule
  throw new FairleadError('ROUTE_NOT_FOUND', `No rule of ${request.authority} takes ${request.method} ${path}.`)
}

function fieldsOf(headers: Readonly<Record<string, string>>): Fields {
  return Object.entries(headers).flatMap(([name, value]) => [name.toLowerCase(), value])
}

/** Every unit to the backend of that version: among those of the rule, weight 0 included, else of the same service. */
function pinnedShare(
  table: RouteTable,
  rule: RuleEntry,
  version: string,
  units: number,
): ReturnType<RuleEntry['share']> {
  for (const ref of rule.rule.backends) {
    const entry = ref.invalid === undefined ? table.backend(ref.backend) : undefined
    if (entry?.backend.version === version) return [{ to: { ref, entry }, units }]
  }
  return []
}

function emptyCode(pinned: string | undefined): ErrorCode {
  return pinned === undefined ? 'BACKEND_INVALID' : 'NO_HEALTHY_INSTANCE'
}

function grant(
  to: RuleBackend,
  units: number,
  open: Map<string, Share>,
  granted: Quote['backends'],
  refused: Quote['refused'],
): void {
  const backend = to.ref.backend
  const version = to.entry?.backend.version ?? ''
  const taking = takingOf(to, units)
  if (taking.units > 0) {
    const before = open.get(backend)
    open.set(backend, { units: taking.units + (before?.units ?? 0), drawn: false, probe: taking.probe })
    granted.push({ backend, version, units: taking.units })
  }
  if (taking.units < units) refused.push(refusal(backend, version, units - taking.units, taking.code, taking.afterMs))
}

interface Taking {
  readonly units: number
  readonly probe?: Breaker
  /** Why the rest is refused, and when it may ask again. */
  readonly code: ErrorCode
  readonly afterMs: number
}

function takingOf({ entry }: RuleBackend, units: number): Taking {
  if (!entry) return { units: 0, code: 'BACKEND_INVALID', afterMs: REFUSED_RETRY_MS }
  if (entry.endpoints.length === 0) return { units: 0, code: 'NO_HEALTHY_INSTANCE', afterMs: REFUSED_RETRY_MS }
  const { breaker } = entry
  const code = 'UPSTREAM_CIRCUIT_OPEN'
  const halfOpen = breaker.state === 'halfOpen'
  if (!breaker.allow()) return { units: 0, code, afterMs: breaker.reopensInMs() || REFUSED_RETRY_MS }
  return { units: halfOpen ? 1 : units, code, afterMs: REFUSED_RETRY_MS, ...(halfOpen ? { probe: breaker } : {}) }
}

const refusal = (
  backend: string,
  version: string,
  units: number,
  code: ErrorCode,
  retryAfterMs: number,
): Quote['refused'][number] => ({ backend, version, units, code, retryAfterMs })
