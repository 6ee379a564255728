// defaults.ts — every value that config may leave out, once, with its reason.
//
// Never: read from the proxy or the control plane; a snapshot is fully resolved, so nobody downstream has defaults.

export const DEFAULT_TRUST_DOMAIN = 'fairlead.local'
/** Sampling decides before a span is made (DESIGN.md §5); 1 % shows every hot path within a minute at 2 req/s. */
export const DEFAULT_SAMPLE_PERCENT = 1
/** Renewed at 40–50 % of life, so two hours without a control plane are harmless (DESIGN.md §7). */
export const DEFAULT_LEAF_TTL_MS = 4 * 3_600_000
/** Below this, clock skew and a slow control plane would make expired leaves normal. */
export const LEAF_TTL_MIN_MS = 300_000

export const DEFAULT_PROTOCOL = 'http'
/** The standard's default (HTTPRoute backendRefs[].weight). */
export const DEFAULT_WEIGHT = 1
/** The standard's default (RequestRedirect.statusCode). */
export const DEFAULT_REDIRECT_STATUS = 302

/**
 * Whole request: none. An answer may be a stream that lasts as long as its job's handler (dispatch), a watch or a
 * download; a whole-request limit would cut exactly the traffic that matters. Callers bring their own deadline
 * (`fairlead-timeout`), the sidecar bounds idle streams, and routes say `timeouts.request` where an end is known.
 */
export const DEFAULT_REQUEST_TIMEOUT_MS: number | null = null
/** One try: bounded by the whole request only, as in Istio and Linkerd. */
export const DEFAULT_BACKEND_REQUEST_TIMEOUT_MS: number | null = null

/**
 * Two more tries, only where no byte can have reached the app (connect failure, mux refusal) or the method is
 * idempotent: no status codes and no other methods by default. Istio once had 503 here and paid out twice
 * (reference: istio#50506).
 */
export const DEFAULT_RETRY = {
  attempts: 2,
  codes: [] as readonly number[],
  /** Envoy's and Kuma's base; full jitter on top. */
  backoffMs: 25,
  /** Envoy's cap, ten times the base; a route's own `backoff` keeps the ratio. */
  backoffMaxFactor: 10,
  anyMethod: false,
} as const

export const DEFAULT_POLICY = {
  /** Power of two choices on least load: within a few percent of the best choice, without any shared state. */
  balance: 'leastRequest',
  /** Envoy's and Kuma's 1024 each. Istio's 2^32−1 is no limit at all. */
  limits: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024 },
  /** Linkerd's. Inside a data centre a connect that takes longer is a lost SYN: better to pick another instance. */
  connectTimeoutMs: 1_000,
  /** ≥ 5 failures and ≥ 50 % of the calls in 10 s → open 30 s → one probe (DESIGN.md §6). */
  breaker: { failures: 5, failurePercent: 50, windowMs: 10_000, openMs: 30_000 },
  /** Envoy's consecutive 5, base 30 s, max 300 s; at most half sits out: past that, we would be the outage. */
  outlier: { consecutiveFailures: 5, baseEjectionMs: 30_000, maxEjectionMs: 300_000, maxEjectionPercent: 50 },
  /** Linkerd's and GEP-3388's: a storm of retries stays under a fifth more load; 10/s let quiet services retry too. */
  retryBudget: { percent: 20, minPerSecond: 10 },
} as const

/**
 * An idle connection is dropped before its other end drops it, or the next request races the close. Plain: a Node app
 * closes after 5 s. Mesh: both ends are ours; a minute saves the handshake of anything called more often than that.
 */
export const DEFAULT_IDLE_TIMEOUT_MS = { plain: 4_000, mesh: 60_000 } as const
