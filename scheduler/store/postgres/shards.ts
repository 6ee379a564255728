// shards.ts — which shard a job belongs to (DESIGN.md §9).
//
// Jobs of one ordering or concurrency key share a shard; a job without one goes to any shard that this instance leads,
// one per commit, so that a commit of new jobs holds few shard rows.

import { createHash } from 'node:crypto'
import type { JobRow } from '../contract.ts'

/** Fixed when a database is made; another number there is refused. */
export const SHARDS = 64

export function shardOf(job: Pick<JobRow, 'tenant' | 'orderingKey' | 'concurrencyKey'>, keyless: number): number {
  const key = job.orderingKey ?? job.concurrencyKey
  if (key === null) return keyless
  return createHash('sha256').update(`${job.tenant}\0${key}`).digest().readUInt32BE(0) % SHARDS
}
