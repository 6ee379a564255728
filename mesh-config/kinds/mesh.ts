// mesh.ts — fairlead.dev/v1 Mesh: what holds for the whole mesh. At most one document.

import { z } from '../../kernel/parse.ts'
import { LEAF_TTL_MIN_MS } from '../defaults.ts'
import { durationMs } from '../duration.ts'
import { Duration, Metadata, type Report, SUBDOMAIN } from './common.ts'

export const OUR_API = 'fairlead.dev/v1'

export const MeshSchema = z.strictObject({
  apiVersion: z.literal(OUR_API),
  kind: z.literal('Mesh'),
  metadata: Metadata,
  spec: z.strictObject({
    trustDomain: z.string().max(255).regex(SUBDOMAIN).optional(),
    tracing: z.strictObject({ samplePercent: z.number().min(0).max(100).optional() }).optional(),
    /** Life of a sidecar's certificate. */
    ttl: z.strictObject({ leaf: Duration.optional() }).optional(),
  }),
})
export type MeshDocument = z.infer<typeof MeshSchema>

export function checkMesh(mesh: MeshDocument, report: Report): void {
  const leaf = mesh.spec.ttl?.leaf
  if (leaf !== undefined && durationMs(leaf) < LEAF_TTL_MIN_MS) {
    report.error(['spec', 'ttl', 'leaf'], 'value', 'OUT_OF_RANGE', `${leaf} is under the floor of 5m`)
  }
}
