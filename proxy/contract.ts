// proxy/contract.ts — what a sidecar shows on its admin listener (loopback): /ready /metrics /config /clusters /drain.

import { z } from '../kernel/parse.ts'

/** GET /clusters */
export const ClustersSchema = z.object({
  snapshotVersion: z.string(),
  backends: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      breaker: z.enum(['closed', 'open', 'halfOpen']),
      /** How often it opened since start. */
      opened: z.int(),
      endpoints: z.array(
        z.object({
          instance: z.string(),
          address: z.string(),
          port: z.int(),
          active: z.int(),
          ejected: z.boolean(),
        }),
      ),
    }),
  ),
})
export type Clusters = z.infer<typeof ClustersSchema>

/** GET /ready: 200 when the sidecar has a snapshot and (unless standalone) a valid certificate; else 503 with reasons. */
export const ReadySchema = z.object({ ready: z.boolean(), reasons: z.array(z.string()), snapshotVersion: z.string() })
export type Ready = z.infer<typeof ReadySchema>
