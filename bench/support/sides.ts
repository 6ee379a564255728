// sides.ts — one running proxy chain: where the load goes, and which processes' CPU counts.

export interface Side {
  readonly name: string
  readonly port: number
  /** Proxies only: neither load generator nor upstream. */
  readonly pids: readonly number[]
  stop(): Promise<void>
}

export interface Scene {
  /** `one`: plain in → mTLS out. `two`: plain in → mTLS → plain out. */
  readonly hops: 'one' | 'two'
  readonly plainUpstream: number
  readonly tlsUpstream: number
}
