// reasons.ts — why each default is what it is, in a sentence, for `fairlead config explain` (values: defaults.ts).

export const DEFAULT_REASONS = {
  trustDomain: 'a name that cannot be a public one',
  samplePercent: 'one in a hundred shows every hot path within a minute at 2 requests a second',
  leafTtl: 'renewed at 40–50 % of life: two hours without a control plane are harmless',
  protocol: 'HTTP/1.1 is what nearly every app speaks',
  balance: 'the better of two random instances: nearly the best choice, without shared state',
  maxConnections: "Envoy's and Kuma's; a number without end is no limit",
  maxPendingRequests: "Envoy's and Kuma's; past it a caller is better told at once",
  maxRequests: "Envoy's and Kuma's; bounds what one backend can hold of a sidecar",
  connect: "Linkerd's: inside a data centre a slower connect is a lost SYN, and another instance is better",
  idle: 'dropped before the other end drops it; between sidecars a minute saves handshakes',
  request: 'an answer may be a stream that lasts as long as its job; say a limit where an end is known',
  backendRequest: 'bounded by the whole request only, as in Istio and Linkerd',
  'breaker.failures': 'a single failed call says nothing about a backend',
  'breaker.failurePercent': 'half of the calls failing is no accident',
  'breaker.window': 'long enough to count, short enough to act',
  'breaker.open': 'long enough to recover, then one probe',
  'outlier.consecutiveFailures': "Envoy's",
  'outlier.baseEjection': "Envoy's; grows with each ejection",
  'outlier.maxEjection': "Envoy's; never below baseEjection",
  'outlier.maxEjectionPercent': 'past half of the instances, ejecting would be the outage',
  'retryBudget.percent': "Linkerd's and GEP-3388's: a storm of retries stays under a fifth more load",
  'retryBudget.minPerSecond': "Linkerd's and GEP-3388's: quiet services can retry too",
  'retry.attempts': 'two more tries, only where nothing can have run or the method is idempotent',
  'retry.codes': 'a status is the app speaking, and repeating it can pay out twice (istio#50506)',
  'retry.backoff': "Envoy's and Kuma's base, full jitter on top, doubling to ten times",
  defaultAction: 'no AuthorizationPolicy names the service; the first one makes it default-deny',
} as const satisfies Record<string, string>

export type ReasonKey = keyof typeof DEFAULT_REASONS
